"""The table: what a user must get from each behaviour of ``tests.judges.hosts.server``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

IN_FLIGHT = 4  # the card's concurrency
ALL = 32  # 4 photographs x 2 prompts x 2 arms x 2 questions
FLAGGED = (
    13,
    14,
)  # requests about one of 7 flagged pictures; the very first one is answered, whichever it is
AFTER_20 = range(20, 24)  # 20 useless answers stop a run; up to three more are in flight then
ONCE = 38  # 1.2 x ALL: every question asked once
AT_ONCE = 4  # what is in flight when the first reply comes; 1.2 x 4 is no fifth request
SOON = 10  # a permanent error is recognised after so many requests at most
STOPPED = 28  # 1.2 x 23
SHORT = {"max_wait_s": 0.3}  # seconds that a request may wait in all
RETRIED = 55  # 1.2 x (32 + 14): each flagged request comes twice


@dataclass(frozen=True, kw_only=True)
class Row:
    """One behaviour and what must come of it.

    undecided: requests by reason, ``None`` where only the exit code counts. most: requests. once: words that stand
    in the output one time at most.
    """

    behaviour: str
    code: int
    case: str = ""
    command: str = "score"
    model: str = "qwen2.5vl:7b"
    fields: str = ""
    limits: Mapping[str, float] = field(default_factory=dict)
    args: tuple[str, ...] = ()
    undecided: Mapping[str, Iterable[int]] | None = field(default_factory=dict)
    most: int = ONCE
    why_more: str = ""
    words: tuple[str, ...] = ()
    never: tuple[str, ...] = ("Traceback",)
    once: tuple[str, ...] = ()
    slow: bool = False

    @property
    def path(self) -> str:
        """The first part of the address: counts of its own for each row."""
        return f"{self.behaviour}~{self.case}" if self.case else self.behaviour


def _sound(*behaviours: str) -> list[Row]:
    return [Row(behaviour=b, code=0) for b in behaviours]


def _filtered(*behaviours: str) -> list[Row]:
    """A flagged picture is an answer: kept, terminal, and the others are scored."""
    return [Row(behaviour=b, code=0, undecided={"content_filter": FLAGGED}) for b in behaviours]


def _useless(behaviour: str, reason: str, *words: str) -> Row:
    """20 first answers of one kind end the run with the cause."""
    undecided = {reason: AFTER_20, "not_asked": range(9, 13)}
    return Row(
        behaviour=behaviour, code=3, undecided=undecided, most=STOPPED, words=(reason, "--keep-going", *words)
    )


def _refused(behaviour: str, *words: str, most: int = SOON) -> Row:
    """Nothing was answered, the host said why, and no verdict is there."""
    return Row(behaviour=behaviour, code=2, undecided={}, most=most, words=words, limits=SHORT)


SERVES = 'serves = ["gpt-4.1"]\n'


def _named(behaviour: str, reported: str, *, same: bool) -> list[Row]:
    """The model asked for is gpt-4.1: with ``serves`` another one is refused, without it both names are told."""
    words = () if same else ("gpt-4.1", reported)
    refused = Row(
        behaviour=behaviour, case="serves", model="gpt-4.1", fields=SERVES, code=2, most=AT_ONCE, words=words
    )
    kept = Row(behaviour=behaviour, case="serves", model="gpt-4.1", fields=SERVES, code=0)
    told = Row(behaviour=behaviour, model="gpt-4.1", code=0, words=words)
    return [kept if same else refused, told]


ROWS: tuple[Row, ...] = (
    # sound answers
    *_sound(
        "plain",
        "fence",
        "think-block",
        "think-fenced",
        "turn-end",
        "keep-alive",
        "byte-order-mark",
        "text-plain",
        "parts",
        "parts-thinking",
        "usage-null",
        "usage-missing",
    ),
    Row(
        behaviour="plain", case="limit", code=0, args=("--limit", "4"), most=19
    ),  # 1.2 x (4 edits x 2 arms x 2)
    # useless ones: every reply
    _useless("fence-prose", "not_json"),
    _useless("trailing-comma", "not_json"),
    _useless("missing-comma", "not_json"),
    _useless("string-score", "off_scale"),
    _useless("off-scale", "off_scale"),
    _useless("missing-field", "missing_field"),
    _useless("content-empty-reasoning", "empty", "reasoning", "thinking = false"),
    _useless("content-null-reasoning", "empty", "reasoning", "thinking = false"),
    _useless("thoughts-to-the-limit", "truncated", "512", "max_tokens"),
    _useless("endless-whitespace", "truncated", "max_tokens"),
    _useless("choices-empty", "empty"),
    _useless("tool-call", "aborted"),
    _useless("aborted", "aborted"),
    Row(
        behaviour="content-null-reasoning",
        case="keep-going",
        code=3,
        args=("--keep-going",),
        undecided={"empty": [ALL]},
    ),
    # useless ones: some replies
    Row(behaviour="some-prose", code=0, undecided={"not_json": FLAGGED}),
    Row(behaviour="refusal-field", code=0, undecided={"refusal": FLAGGED}),
    Row(behaviour="cannot-view", code=0, undecided={"refusal": FLAGGED}),
    # judges that do not look: a score cannot know, a check with a known answer does
    *_sound("blind", "context-cut"),
    Row(behaviour="plain", case="check", command="check", code=0, most=4, undecided=None),
    Row(behaviour="blind", case="check", command="check", code=3, most=4, undecided=None, words=("picture",)),
    Row(
        behaviour="context-cut",
        case="check",
        command="check",
        code=3,
        most=4,
        undecided=None,
        words=("2050", "OLLAMA_CONTEXT_LENGTH"),
    ),
    Row(
        behaviour="fence-prose",
        case="check",
        command="check",
        code=3,
        most=4,
        undecided=None,
        words=("not_json",),
    ),
    Row(
        behaviour="content-null-reasoning",
        case="check",
        command="check",
        code=3,
        most=4,
        undecided=None,
        words=("reasoning", "thinking = false"),
    ),
    Row(
        behaviour="no-mmproj",
        case="check",
        command="check",
        code=3,
        most=4,
        undecided=None,
        words=("mmproj",),
    ),
    # who answered
    *_named("model-mini", "gpt-4.1-mini-2025-04-14", same=False),
    *_named("model-nano", "gpt-4.1-nano", same=False),
    *_named("model-lite", "gpt-4.1-lite", same=False),
    *_named("model-other", "llava:7b", same=False),
    *_named("model-dated", "", same=True),
    *_named("model-build", "", same=True),
    *_named("model-vendor", "", same=True),
    Row(
        behaviour="model-none",
        case="serves",
        model="gpt-4.1",
        fields=SERVES,
        code=2,
        most=AT_ONCE,
        words=("gpt-4.1", "model"),
    ),
    Row(behaviour="model-none", model="gpt-4.1", code=0),
    Row(behaviour="models-two", model="gpt-4.1", code=0, words=("gpt-4.1-mini",)),
    Row(behaviour="providers-two", code=0, words=("Alibaba", "DeepInfra")),
    # content filters in every dialect
    *_filtered(
        "azure-filter",
        "azure-filtered-answer",
        "openai-policy",
        "gemini-finish",
        "gemini-direct",
        "gemini-through-gateway",
        "openrouter-moderation",
        "grok-guidelines",
        "dashscope-inspection",
        "zhipu-1301",
        "zhipu-sensitive",
        "deepseek-risk",
        "choices-null",
        "invalid-prompt-filter",
        "error-in-200-filter",
    ),
    Row(behaviour="filter-of-all", code=3, undecided={"content_filter": [ALL]}),  # no edit was decided
    # one request that a host does not take, after it has answered others
    Row(
        behaviour="rejected-some",
        code=0,
        undecided={"request_rejected": FLAGGED},
        words=("request_rejected",),
    ),
    Row(
        behaviour="forbidden-some",
        code=0,
        undecided={"request_rejected": FLAGGED},
        words=("request_rejected",),
    ),
    Row(behaviour="error-in-200-some", code=0, undecided={"request_rejected": FLAGGED}),
    Row(behaviour="context-some", code=0, undecided={"prompt_too_long": FLAGGED}, words=("prompt_too_long",)),
    # no request is taken: the host's own words, and nothing is scored
    _refused("key-refused", "401", most=AT_ONCE),
    _refused("forbidden", "403", "Request blocked by WAF"),
    _refused("no-such-model", "qwen2.5vl:7b", "does not exist", most=AT_ONCE),
    _refused("ollama-no-model", "try pulling it first", most=AT_ONCE),
    _refused("unexpected-endpoint", "Unexpected endpoint or method"),
    _refused("login-page", "Sign in"),
    _refused("event-stream", "event-stream"),
    _refused("no-max-tokens", "max_completion_tokens"),
    _refused("no-temperature", "temperature"),
    _refused("no-response-format", "This response_format type is unavailable now", "structured"),
    _refused("lmstudio-json-object", "'response_format.type' must be"),
    _refused("fastapi-detail", "Extra inputs are not permitted", "seed"),
    _refused("one-image", "At most 1 image", "side_by_side"),
    _refused("provider-raw", "supports at most 1 image per prompt"),
    _refused("invalid-prompt-form", "expected a list of messages"),
    _refused("context-all", "maximum context length is 1024"),
    _refused("no-mmproj", "provide the mmproj"),
    _refused("error-in-200-form", "additionalProperties"),
    _refused("error-in-200-credit", "can only afford 1200", most=AT_ONCE),
    _refused("no-credit", "can only afford 1200", most=AT_ONCE),
    # what passes by waiting
    Row(behaviour="loading-model", code=0, most=42, why_more="1.2 x (32 + the 3 while it loads)"),
    Row(behaviour="overloaded-once", code=0, most=RETRIED, why_more="a flagged request comes twice"),
    Row(behaviour="error-in-200-limited", code=0, most=RETRIED, why_more="a flagged request comes twice"),
    Row(behaviour="retry-after-ms", code=0, most=RETRIED, why_more="a flagged request comes twice"),
    Row(behaviour="retry-info", code=0, most=RETRIED, why_more="a flagged request comes twice"),
    Row(behaviour="rate-limit-reset", code=0, most=RETRIED, why_more="a flagged request comes twice"),
    Row(
        behaviour="busy",
        code=0,
        most=48,
        why_more="1.2 x (32 + 3 of the first four + 3 + 2 while the number sinks)",
    ),
    Row(
        behaviour="one-slot",
        code=0,
        limits={"concurrency": 8, "timeout_s": 1.0},
        args=("--limit", "4"),
        most=38,
        words=("limits.concurrency",),
        slow=True,
        # 16 requests; of the first 8 four come in time. 4 + 4 + 4 + 2 + 1 more time out while 8 become 1
        why_more="1.2 x (16 + 15)",
    ),
    # what does not pass
    Row(
        behaviour="overloaded-always",
        code=3,
        limits={"max_attempts": 3},
        undecided=None,
        most=72,
        why_more="1.2 x (18 + 14 x 3)",
        words=("The model is overloaded", "server_error"),
        once=("was given up",),
    ),
    Row(
        behaviour="crash",
        code=3,
        limits={"max_attempts": 2},
        undecided=None,
        most=40,
        words=("connection",),
        once=("was given up",),
        why_more="1.2 x (8 + (10 + 3) x 2)",
    ),
    _refused("quota-of-the-day", "quota", "PerDay", most=AT_ONCE),
    Row(
        behaviour="quota-of-the-day-later",
        code=3,
        undecided={"not_asked": range(20, 25)},
        most=13,
        limits=SHORT,
        words=("quota", "PerDay"),
    ),  # 8 answered and 4 in flight; 1.2 x 8 + 4
    _refused("free-models-of-the-day", "free-models-per-day", most=AT_ONCE),
)

NOT_YET: frozenset[str] = frozenset(
    {
        "fence-prose",
        "trailing-comma",
        "missing-comma",
        "string-score",
        "off-scale",
        "missing-field",
        "content-empty-reasoning",
        "content-null-reasoning",
        "thoughts-to-the-limit",
        "endless-whitespace",
        "choices-empty",
        "tool-call",
        "aborted",
        "content-null-reasoning~keep-going",
        "some-prose",
        "refusal-field",
        "cannot-view",
        "blind~check",
        "context-cut~check",
        "content-null-reasoning~check",
        "no-mmproj~check",
        "model-mini~serves",
        "model-mini",
        "model-nano~serves",
        "model-nano",
        "model-lite~serves",
        "model-lite",
        "model-other",
        "model-vendor~serves",
        "model-none~serves",
        "providers-two",
        "azure-filter",
        "azure-filtered-answer",
        "openai-policy",
        "gemini-finish",
        "gemini-direct",
        "gemini-through-gateway",
        "openrouter-moderation",
        "grok-guidelines",
        "dashscope-inspection",
        "zhipu-1301",
        "zhipu-sensitive",
        "deepseek-risk",
        "choices-null",
        "invalid-prompt-filter",
        "error-in-200-filter",
        "filter-of-all",
        "rejected-some",
        "forbidden-some",
        "error-in-200-some",
        "context-some",
        "forbidden",
        "unexpected-endpoint",
        "login-page",
        "event-stream",
        "no-response-format",
        "lmstudio-json-object",
        "fastapi-detail",
        "one-image",
        "provider-raw",
        "invalid-prompt-form",
        "no-mmproj",
        "error-in-200-form",
        "error-in-200-credit",
        "no-credit",
        "retry-info",
        "rate-limit-reset",
        "busy",
        "overloaded-always",
        "crash",
        "quota-of-the-day",
        "quota-of-the-day-later",
        "free-models-of-the-day",
        "one-slot",
    }
)
"""Rows that fail today, by their paths."""
