"""Hosts as they are on a good day, each with what it asks of a request: keys, names of models, forms of schemas.

Facts from the hosts' own documents; what a host refuses here, it refuses there.
"""

from __future__ import annotations

import json

from tests.judges.hosts.behaviours_answers import THOUGHTS
from tests.judges.hosts.replies import Ask, Reply, answer, behaviour, completed, error, payload, refused

KEY = "key-of-a-host-0123456789"


def _no_key(ask: Ask) -> Reply | None:
    if ask.http.headers.get("Authorization") == f"Bearer {KEY}":
        return None
    return error(401, "No auth credentials found", code=401)


def _form(ask: Ask) -> str:
    return str(ask.body.get("response_format", {}).get("type", ""))


@behaviour()
def host_vllm(ask: Ask) -> Reply:
    """vLLM: one model under the name with which it was started; thoughts in ``reasoning``."""
    if ask.model != "Qwen/Qwen3.5-9B":
        return error(404, f"The model `{ask.model}` does not exist.", type="NotFoundError", code=404)
    return answer(ask, reasoning=THOUGHTS)


@behaviour()
def host_sglang(ask: Ask) -> Reply:
    """SGLang: any name is taken; which token ended a reply is told beside how it ended."""
    body = payload(ask, reasoning_content=None, tool_calls=None)
    body["choices"][0]["matched_stop"] = 151645
    return completed(ask, body)


@behaviour()
def host_ollama(ask: Ask) -> Reply:
    """Ollama: models by the names of its own list; thoughts in ``reasoning``; no key."""
    if ":" not in ask.model:
        return error(404, f'model "{ask.model}" not found, try pulling it first', type="api_error")
    return completed(ask, {**payload(ask, reasoning=THOUGHTS), "system_fingerprint": "fp_ollama"})


@behaviour()
def host_lmstudio(ask: Ask) -> Reply:
    """LM Studio: schemas, and no bare JSON objects (lmstudio-ai/lmstudio-bug-tracker#189)."""
    if _form(ask) == "json_object":
        return refused(400, {"error": "'response_format.type' must be 'json_schema' or 'text'"})
    return completed(ask, {**payload(ask), "stats": {}})


@behaviour()
def host_llamacpp(ask: Ask) -> Reply:
    """llama.cpp: one model, whatever is asked for; it reports the file."""
    return completed(ask, {**payload(ask), "timings": {"predicted_per_second": 41.0}})


@behaviour()
def host_openrouter(ask: Ask) -> Reply:
    """OpenRouter: a key, a name with its vendor, and the provider that answered."""
    if "/" not in ask.model:
        return error(400, f"{ask.model} is not a valid model ID", code=400)
    return _no_key(ask) or completed(ask, {**payload(ask, reasoning=THOUGHTS), "provider": "Alibaba"})


@behaviour()
def host_dashscope(ask: Ask) -> Reply:
    """DashScope: a key; JSON objects where the words ask for JSON; schemas not from every model."""
    said = json.dumps(ask.body["messages"]).lower()
    if _form(ask) == "json_schema" or "json" not in said:
        return error(
            400, "'messages' must contain the word 'json' in some form, to use 'response_format'.",
            code="invalid_parameter_error",
        )  # fmt: skip
    return _no_key(ask) or answer(ask, reasoning_content="")


@behaviour()
def host_azure(ask: Ask) -> Reply:
    """Azure: a key, the newer name of the output limit, results of its filter beside every answer."""
    if "max_tokens" in ask.body:
        return error(400, "Unsupported parameter: 'max_tokens'.", code="unsupported_parameter")
    safe = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "sexual", "violence")}
    body = {**payload(ask), "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": safe}]}
    body["choices"][0]["content_filter_results"] = safe
    return _no_key(ask) or completed(ask, {**body, "model": f"{ask.model}-2025-04-14"})


@behaviour()
def host_openai(ask: Ask) -> Reply:
    """OpenAI: a key, the newer name of the output limit, strict schemas without lengths."""
    if "max_tokens" in ask.body:
        return error(400, "Unsupported parameter: 'max_tokens'.", code="unsupported_parameter")
    if "maxLength" in json.dumps(ask.body["response_format"]):
        return error(
            400, "Invalid schema for response_format: 'maxLength' is not permitted.", param="response_format"
        )
    return _no_key(ask) or answer(ask)


@behaviour()
def host_gemini(ask: Ask) -> Reply:
    """Google's compatible endpoint: a key, and no seed."""
    if "seed" in ask.body:
        return refused(400, [{"error": {"code": 400, "message": 'Unknown name "seed": Cannot find field.'}}])
    return _no_key(ask) or answer(ask)
