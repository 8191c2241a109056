"""Content filters in the dialects of the hosts; each flags about every third picture, unless it says otherwise."""

from __future__ import annotations

from tests.judges.hosts.replies import Ask, Reply, answer, behaviour, completed, error, payload, refused


@behaviour("flagged")
def azure_filter(ask: Ask) -> Reply:
    """stepfun-ai/Step1X-Edit#143: Azure's 400 with the categories of its filter."""
    inner = {
        "code": "ResponsibleAIPolicyViolation",
        "content_filter_result": {"jailbreak": {"filtered": True, "detected": True}},
    }
    return error(
        400, "The prompt triggered the content management policy.", code="content_filter", innererror=inner
    )


@behaviour("flagged")
def azure_filtered_answer(ask: Ask) -> Reply:
    """Azure's filter of answers: a 200 that ends by ``content_filter``."""
    return answer(ask, "", "content_filter")


@behaviour("flagged")
def openai_policy(ask: Ask) -> Reply:
    """OpenAI's 400 with the code ``content_policy_violation``."""
    return error(400, "Rejected by the safety system.", code="content_policy_violation", type="image_error")


@behaviour("flagged")
def gemini_finish(ask: Ask) -> Reply:
    """Gemini's compatible endpoint: a 200 that ends by ``content_filter: PROHIBITED_CONTENT``."""
    return completed(
        ask,
        {
            **payload(ask),
            "choices": [{"index": 0, "finish_reason": "content_filter: PROHIBITED_CONTENT", "message": {"role": "assistant"}}],
        },
    )  # fmt: skip


@behaviour("flagged")
def gemini_direct(ask: Ask) -> Reply:
    """google-gemini: a 200 without candidates, the reason of the block in ``promptFeedback``."""
    return refused(200, {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "modelVersion": ask.model})


@behaviour("flagged")
def gemini_through_gateway(ask: Ask) -> Reply:
    """UKGovernmentBEIS/inspect_ai#5108: Gemini's block through OpenRouter is a 400."""
    return error(
        400, "Gemini blocked the request: PROHIBITED_CONTENT", code=400, metadata={"provider_name": "Google"}
    )


@behaviour("flagged")
def openrouter_moderation(ask: Ask) -> Reply:
    """Portkey-AI/gateway#1459 and OpenRouter's documents: 403 with the reasons of its moderation."""
    metadata = {
        "reasons": ["sexual"],
        "flagged_input": "...",
        "provider_name": "OpenAI",
        "model_slug": ask.model,
    }
    return error(403, "Input was flagged by moderation", code=403, metadata=metadata)


@behaviour("flagged")
def grok_guidelines(ask: Ask) -> Reply:
    """UKGovernmentBEIS/inspect_ai#2267: Grok's 403, the error a text beside a code."""
    return refused(403, {"code": "forbidden", "error": "Content violates usage guidelines."})


@behaviour("flagged")
def dashscope_inspection(ask: Ask) -> Reply:
    """QwenLM/qwen-code#3145, camel-ai/owl#432: DashScope's 400 ``data_inspection_failed``."""
    message = "Input data may contain inappropriate content."
    return error(400, message, code="data_inspection_failed", type="data_inspection_failed")


@behaviour("flagged")
def zhipu_1301(ask: Ask) -> Reply:
    """Zhipu's list of errors: 400 with the code 1301, and the level of its filter beside the error."""
    body = {
        "contentFilter": [{"level": 1, "role": "user"}],
        "error": {"code": "1301", "message": "The system has detected unsafe or sensitive content."},
    }
    return refused(400, body)


@behaviour("flagged")
def zhipu_sensitive(ask: Ask) -> Reply:
    """Zhipu's list of finishes: a 200 that ends by ``sensitive`` without a text."""
    return answer(ask, "", "sensitive")


@behaviour("flagged")
def deepseek_risk(ask: Ask) -> Reply:
    """deepseek-ai/awesome-deepseek-integration#13: DeepSeek's 400, told apart by its words only."""
    return error(400, "Content Exists Risk", type="invalid_request_error", code="invalid_request_error")


@behaviour("flagged")
def choices_null(ask: Ask) -> Reply:
    """NVIDIA/garak#1525, langchain-ai/langchain#32252, Just-Curieous/Curie#110: a filtered reply has no choices."""
    return completed(ask, {**payload(ask), "choices": None})


@behaviour("flagged")
def invalid_prompt_filter(ask: Ask) -> Reply:
    """microsoft/PyRIT#1463: ``invalid_prompt`` for what the usage policy forbids."""
    message = "Invalid prompt: your prompt was flagged as potentially violating our usage policy."
    return error(400, message, code="invalid_prompt", type="invalid_request_error")


@behaviour()
def invalid_prompt_form(ask: Ask) -> Reply:
    """microsoft/PyRIT#1463: ``invalid_prompt`` for a request of a form that the host does not read; every time."""
    message = "Invalid prompt: expected a list of messages with string contents."
    return error(400, message, code="invalid_prompt", type="invalid_request_error")


@behaviour()
def filter_of_all(ask: Ask) -> Reply:
    """CommandCodeAI/command-code#813: a false positive that never passes, here for every request."""
    return error(400, "Input data may contain inappropriate content.", code="data_inspection_failed")


@behaviour("flagged")
def error_in_200_filter(ask: Ask) -> Reply:
    """OpenRouterTeam/openrouter-examples#14: a provider's filter inside a 200."""
    metadata = {"raw": '{"error":{"code":"content_filter"}}', "provider_name": "Azure"}
    return refused(200, {"error": {"code": 403, "message": "Input was flagged", "metadata": metadata}})
