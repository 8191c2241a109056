"""Hosts that are busy, loading, limited or gone: what passes by waiting, and quotas that do not."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from tests.judges.hosts.replies import Ask, Reply, answer, behaviour, error, refused

LIMIT_S = 0.3  # how long a limit holds; a client that asks again at once meets it again and again
ANSWER_S = 0.25  # of the host with one slot
GOOD_BEFORE = 8  # answers before a host breaks down


def _waits_over(ask: Ask) -> bool:
    """Whether this request has been refused before and its limit is over by now."""
    now = asyncio.get_running_loop().time()
    return now >= ask.seen.ready.setdefault(ask.digest, now + LIMIT_S)


def _quota(metric: str, per: str, delay: str) -> dict[str, Any]:
    """Google's body of a 429."""
    google = "type.googleapis.com/google.rpc."
    violation = {
        "quotaMetric": metric,
        "quotaId": f"GenerateRequests{per}PerProjectPerModel-FreeTier",
        "quotaValue": "250",
    }
    details = [
        {"@type": f"{google}QuotaFailure", "violations": [violation]},
        {"@type": f"{google}RetryInfo", "retryDelay": delay},
    ]
    message = f"You exceeded your current quota. Quota exceeded for metric: {metric}, limit: 250"
    return {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": message, "details": details}}


@behaviour()
def loading_model(ask: Ask) -> Reply:
    """ggml-org/llama.cpp: 503 while the model is loaded, here for the first three calls."""
    if ask.seen.tries.total() <= 3:
        return error(503, "Loading model", code=503, type="unavailable_error")
    return answer(ask)


@behaviour("flagged")
def overloaded_once(ask: Ask) -> Reply:
    """google-gemini/gemini-cli#7227, lobehub/lobe-chat#9728: 503 in a list, gone at the next try."""
    if ask.tries > 1:
        return answer(ask)
    return refused(
        503, [{"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}]
    )


@behaviour("flagged")
def overloaded_always(ask: Ask) -> Reply:
    """google-gemini/gemini-cli#7227: 503 that does not pass, for some requests."""
    return error(503, "The model is overloaded. Please try again later.", code=503, status="UNAVAILABLE")


@behaviour()
async def busy(ask: Ask) -> Reply:
    """ollama/ollama#4159, #4124: one request at a time, 503 for any other."""
    if ask.seen.slot.locked():
        return error(503, "server busy, please try again. maximum pending requests exceeded")
    async with ask.seen.slot:
        await asyncio.sleep(0.01)
        return answer(ask)


@behaviour()
async def one_slot(ask: Ask) -> Reply:
    """ollama/ollama#1187, promptfoo/promptfoo#360: one at a time, the others wait; goes on for clients that left."""

    async def work() -> None:
        async with ask.seen.slot:
            await asyncio.sleep(ANSWER_S)

    await asyncio.shield(asyncio.ensure_future(work()))
    return answer(ask)


@behaviour("flagged")
def retry_after_ms(ask: Ask) -> Reply:
    """Azure: the time to wait in milliseconds, in a header of its own."""
    if _waits_over(ask):
        return answer(ask)
    return error(
        429,
        "Requests have exceeded the call rate limit.",
        {"retry-after-ms": str(1000 * LIMIT_S)},
        code="429",
    )


@behaviour("flagged")
def retry_info(ask: Ask) -> Reply:
    """google-gemini/gemini-cli#8437: a limit by the minute; the time to wait stands in the body."""
    if _waits_over(ask):
        return answer(ask)
    return refused(429, _quota("generate_content_free_tier_requests", "PerMinute", f"{LIMIT_S}s"))


@behaviour("flagged")
def rate_limit_reset(ask: Ask) -> Reply:
    """OpenRouter: a limit by the minute; a header says when it ends, in milliseconds since 1970."""
    if _waits_over(ask):
        return answer(ask)
    return _openrouter("free-models-per-min", LIMIT_S)


def _openrouter(limit: str, seconds: float) -> Reply:
    reset = str(int(1000 * (datetime.now(UTC).timestamp() + seconds)))
    headers = {"X-RateLimit-Limit": "20", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}
    return error(429, f"Rate limit exceeded: {limit}. ", headers, code=429, metadata={"headers": headers})


@behaviour()
def quota_of_the_day(ask: Ask) -> Reply:
    """google-gemini/gemini-cli#8437: the requests of the day are used up; the body asks to wait 41 s all the same."""
    return refused(429, _quota("generate_content_free_tier_requests", "PerDay", "41s"))


@behaviour()
def quota_of_the_day_later(ask: Ask) -> Reply:
    """google-gemini/gemini-cli#8437: the requests of the day are used up in the middle of a run."""
    if ask.seen.answered >= GOOD_BEFORE:
        return refused(429, _quota("generate_content_free_tier_requests", "PerDay", "41s"))
    return answer(ask)


@behaviour()
def free_models_of_the_day(ask: Ask) -> Reply:
    """OpenRouter: the free requests of the day are used up; they come back after hours."""
    return _openrouter("free-models-per-day", 40_000)


@behaviour("flagged")
def error_in_200_limited(ask: Ask) -> Reply:
    """OpenRouterTeam/openrouter-examples#14: a provider's 429 inside a 200, gone at the next try."""
    if ask.tries > 1:
        return answer(ask)
    return refused(200, {"error": {"code": 429, "message": "Provider is temporarily rate-limited upstream."}})


@behaviour()
def crash(ask: Ask) -> Reply:
    """A vLLM server that dies in the middle of a run: every later connection breaks off."""
    if ask.seen.answered < GOOD_BEFORE:
        return answer(ask)
    if ask.http.transport is not None:
        ask.http.transport.abort()
    return refused(500, "")
