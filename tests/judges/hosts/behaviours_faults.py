"""Errors that do not pass by waiting: of a key, a model, a form, a length, a server that lacks a part."""

from __future__ import annotations

from aiohttp import web

from tests.judges.hosts.replies import Ask, Reply, behaviour, error, refused

LOGIN = (
    "<!DOCTYPE html>\n<html><head><title>Sign in to Campus Network</title></head><body>Sign in</body></html>"
)


# Keys, doors and models


@behaviour()
def key_refused(ask: Ask) -> Reply:
    """Every host: 401 for a key that it does not know."""
    return error(401, "Incorrect API key provided.", code="invalid_api_key")


@behaviour()
def forbidden(ask: Ask) -> Reply:
    """BerriAI/litellm#12421, #20441: a firewall before the gateway answers 403 to everything."""
    return refused(
        403, "<html><head><title>403 Forbidden</title></head><body>Request blocked by WAF.</body></html>"
    )


@behaviour("flagged")
def forbidden_some(ask: Ask) -> Reply:
    """BerriAI/litellm#20441: a firewall before the gateway answers 403 by what a request holds."""
    return refused(
        403, "<html><head><title>403 Forbidden</title></head><body>Request blocked by WAF.</body></html>"
    )


@behaviour()
def no_such_model(ask: Ask) -> Reply:
    """open-compass/VLMEvalKit#419, lmarena/arena-hard-auto#20: vLLM serves the model under another name."""
    return error(404, f"The model `{ask.model}` does not exist.", code=404, type="NotFoundError")


@behaviour()
def ollama_no_model(ask: Ask) -> Reply:
    """ollama/ollama: the model was never pulled."""
    return error(404, f'model "{ask.model}" not found, try pulling it first', type="api_error", code=None)


@behaviour()
def unexpected_endpoint(ask: Ask) -> Reply:
    """lmstudio-ai/lmstudio-bug-tracker: a wrong path is a 200 with a text as its error."""
    return refused(200, {"error": "Unexpected endpoint or method. (POST /chat/completions)"})


@behaviour()
def login_page(ask: Ask) -> Reply:
    """A proxy or a captive portal answers everything with its own page and status 200."""
    return web.Response(text=LOGIN, content_type="text/html")


@behaviour()
def event_stream(ask: Ask) -> Reply:
    """A gateway that streams though nobody asked for it."""
    text = 'data: {"id":"1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"{"}}]}\n\n'
    return web.Response(text=text + "data: [DONE]\n\n", content_type="text/event-stream")


# The form of a request


@behaviour()
def no_max_tokens(ask: Ask) -> Reply:
    """sbintuitions/flexeval#111: newer models of OpenAI take another name for the limit of the output."""
    message = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    return error(400, message, type="invalid_request_error", param="max_tokens", code="unsupported_parameter")


@behaviour()
def no_temperature(ask: Ask) -> Reply:
    """SeraphimSerapis/tool-eval-bench#72: reasoning models take one temperature only."""
    message = "Unsupported value: 'temperature' does not support 0.0 with this model."
    return error(400, message, type="invalid_request_error", param="temperature", code="unsupported_value")


@behaviour()
def no_response_format(ask: Ask) -> Reply:
    """khoj-ai/khoj#1336, gregreindel/llm-exe#662: DeepSeek has no schemas for this model."""
    return error(400, "This response_format type is unavailable now", type="invalid_request_error")


@behaviour()
def lmstudio_json_object(ask: Ask) -> Reply:
    """lmstudio-ai/lmstudio-bug-tracker#189: the error is a text."""
    return refused(400, {"error": "'response_format.type' must be 'json_schema' or 'text'"})


@behaviour()
def fastapi_detail(ask: Ask) -> Reply:
    """Servers on FastAPI (SGLang, TGI and their like): 422 with a list of what is wrong where."""
    wrong = {
        "type": "extra_forbidden",
        "loc": ["body", "seed"],
        "msg": "Extra inputs are not permitted",
        "input": 0,
    }
    return refused(422, {"detail": [wrong]})


@behaviour()
def one_image(ask: Ask) -> Reply:
    """vllm-project/vllm#13513, #17757, #13397: a server that was started for one image in a request."""
    message = "At most 1 image(s) may be provided in one request. You can set `--limit-mm-per-prompt` to increase this limit"
    return error(400, message, type="BadRequestError", code=400)


@behaviour()
def provider_raw(ask: Ask) -> Reply:
    """diegosouzapw/OmniRoute#3044, open-webui/computer#293: the words of the provider lie in ``metadata.raw``."""
    raw = '{"error":{"message":"This model supports at most 1 image per prompt"}}'
    return error(400, "Provider returned error", code=400, metadata={"raw": raw, "provider_name": "Novita"})


@behaviour("flagged")
def rejected_some(ask: Ask) -> Reply:
    """langchain-ai: a provider that cannot read some pictures: 400, without a word of a filter."""
    return error(
        400, "Unable to process input image. Please retry or report.", code=400, status="INVALID_ARGUMENT"
    )


@behaviour("flagged")
def context_some(ask: Ask) -> Reply:
    """vllm-project/vllm: 400 for requests that are longer than the model's context; some are."""
    return _context()


@behaviour()
def context_all(ask: Ask) -> Reply:
    """vllm-project/vllm: 400 for requests that are longer than the model's context; all are."""
    return _context()


def _context() -> Reply:
    message = "This model's maximum context length is 1024 tokens. However, you requested 1912 tokens (1400 in the messages)."
    return error(400, message, type="BadRequestError", code="context_length_exceeded")


# Permanent, and dressed as what passes


@behaviour()
def no_mmproj(ask: Ask) -> Reply:
    """ggml-org/llama.cpp#15377, #13566: 500 where the server was started without the part that sees."""
    message = "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj"
    return error(500, message, code=500, type="server_error")


@behaviour()
def error_in_200_form(ask: Ask) -> Reply:
    """OpenRouterTeam/openrouter-examples#14: a provider's 400 inside a 200."""
    raw = '{"error":{"code":400,"message":"Invalid JSON payload received. Unknown name \\"additionalProperties\\""}}'
    metadata = {"raw": raw, "provider_name": "Google AI Studio"}
    return refused(200, {"error": {"code": 400, "message": "Provider returned error", "metadata": metadata}})


@behaviour("flagged")
def error_in_200_some(ask: Ask) -> Reply:
    """OpenRouterTeam/openrouter-examples#14: a provider's 400 inside a 200, for some requests."""
    return refused(
        200, {"error": {"code": 400, "message": "Provider returned error", "metadata": {"raw": "bad image"}}}
    )


@behaviour()
def error_in_200_credit(ask: Ask) -> Reply:
    """OpenRouterTeam/openrouter-examples#14: no credit, inside a 200."""
    return refused(
        200,
        {"error": {"code": 402, "message": "This request requires more credits. You can only afford 1200."}},
    )


@behaviour()
def no_credit(ask: Ask) -> Reply:
    """OpenRouter's 402."""
    message = "This request requires more credits, or fewer max_tokens. You requested up to 4096 tokens, but can only afford 1200."
    return error(402, message, code=402)
