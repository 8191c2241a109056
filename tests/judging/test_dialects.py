"""What hosts mean: the table, row by row, and what it must never mix up."""

from __future__ import annotations

from typing import Any

import pytest

from isr.judging.dialects import TABLE, Meaning, meaning_of
from isr.judging.host_words import said

CASES: list[tuple[int, Any, Meaning]] = [
    (400, {"error": {"code": "content_filter"}}, Meaning.FILTERED),
    (400, {"error": {"innererror": {"code": "ResponsibleAIPolicyViolation"}}}, Meaning.FILTERED),
    (400, {"error": {"code": "data_inspection_failed"}}, Meaning.FILTERED),
    (400, {"error": {"code": "1301"}, "contentFilter": [{"level": 1}]}, Meaning.FILTERED),
    (403, {"error": {"code": 403, "message": "flagged", "metadata": {"reasons": ["violence"]}}}, Meaning.FILTERED),
    (403, {"error": "Content violates usage guidelines."}, Meaning.FILTERED),
    (400, {"error": {"message": "Content Exists Risk"}}, Meaning.FILTERED),
    (400, {"error": {"message": "Gemini blocked the request: PROHIBITED_CONTENT"}}, Meaning.FILTERED),
    (400, {"error": {"code": "invalid_prompt", "message": "violating our usage policy"}}, Meaning.FILTERED),
    (400, {"error": {"code": "invalid_prompt", "message": "expected a list of messages"}}, Meaning.REFUSED),
    (403, {"error": "Your account was suspended because it violates our usage policies"}, Meaning.KEY),
    (403, {"error": {"message": "Your API key was reported as leaked. Please use another API key."}}, Meaning.KEY),
    (400, {"error": {"message": "Invalid value for 'safety_settings': unsupported safety system"}}, Meaning.REFUSED),
    (429, {"error": {"message": "Limit: 10000 requests per day. Please try again in 8.64s."}}, Meaning.LIMITED),
    (400, {"error": {"message": "This model's maximum context length is 4096 tokens"}}, Meaning.TOO_LONG),
    (400, {"error": {"type": "exceed_context_size_error"}}, Meaning.TOO_LONG),
    (401, None, Meaning.KEY),
    (400, {"error": {"message": "API key not valid."}}, Meaning.KEY),
    (402, {"error": {"message": "can only afford 1200"}}, Meaning.QUOTA),
    (429, {"error": {"code": "insufficient_quota"}}, Meaning.QUOTA),
    (429, {"error": {"message": "Rate limit exceeded: free-models-per-day"}}, Meaning.QUOTA),
    (429, {"error": {"details": [{"violations": [{"quotaId": "RequestsPerDayPerProject"}]}]}}, Meaning.QUOTA),
    (429, {"error": {"details": [{"violations": [{"quotaId": "RequestsPerMinutePerProject"}]}]}}, Meaning.LIMITED),
    (429, None, Meaning.LIMITED),
    (403, "<html>Request blocked by WAF</html>", Meaning.FORBIDDEN),
    (404, None, Meaning.NO_MODEL),
    (400, {"error": {"message": "foo/bar is not a valid model ID"}}, Meaning.NO_MODEL),
    (500, {"error": {"message": "image input is not supported - hint: provide the mmproj"}}, Meaning.REFUSED),
    (500, {"error": {"message": "oops"}}, Meaning.TEMPORARY),
    (502, None, Meaning.TEMPORARY),
    (503, {"error": {"message": "Loading model"}}, Meaning.OVERLOADED),
    (529, None, Meaning.OVERLOADED),
    (422, {"detail": [{"loc": ["body"], "msg": "Extra inputs"}]}, Meaning.REFUSED),
    (400, None, Meaning.REFUSED),
    (413, None, Meaning.REFUSED),
    (200, {"error": {"code": 400, "message": "Provider returned error"}}, Meaning.REFUSED),
    (200, {"error": {"code": 429}}, Meaning.LIMITED),
    (200, {"error": {"code": 402}}, Meaning.QUOTA),
    (200, {"error": {"code": 502}}, Meaning.TEMPORARY),
    (200, {"error": "Unexpected endpoint or method."}, Meaning.REFUSED),
    (200, {"error": {"message": "aborted"}}, Meaning.TEMPORARY),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "meaning"), CASES)
def test_what_a_host_means(status: int, body: Any, meaning: Meaning) -> None:
    assert meaning_of(status, said(body)) is meaning


def test_every_row_of_the_table_decides_something() -> None:
    decided = set()
    for status, body, _ in CASES:
        found = said(body)
        counts = found.status if status == 200 and found.status is not None else status
        decided.add(next(i for i, row in enumerate(TABLE) if row.matches(counts, found)))
    assert decided == set(range(len(TABLE)))


@pytest.mark.parametrize("status", [*range(400, 600), 200])
def test_every_status_without_a_word_has_a_meaning(status: int) -> None:
    assert meaning_of(status, said(None)) in Meaning
