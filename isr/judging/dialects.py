"""What hosts mean by a status and an error: one table, read from the top; the first row that fits decides.

The same status is a wrong key at one host and one flagged picture at another, and a 200 may hold any error: so codes
and words are looked at before the status.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from isr.judging.host_words import Said


class Meaning(StrEnum):
    """What a reply that is no completion means for the request, and for the run."""

    FILTERED = "filtered"  # the host's content filter refused: an answer
    TOO_LONG = "too_long"  # this request has more tokens than the model takes
    KEY = "key"  # no request will be answered with this key
    QUOTA = "quota"  # the account has nothing left, or nothing more for today
    NO_MODEL = "no_model"  # the host does not serve the model at this address
    FORBIDDEN = "forbidden"  # this request, or all of them: what was answered before tells
    LIMITED = "limited"  # too many requests: wait
    OVERLOADED = "overloaded"  # the host is too busy: wait, and ask less at once
    TEMPORARY = "temporary"  # ask again
    REFUSED = "refused"  # asking again would give the same


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row. It fits if the status is one of ``statuses`` (none: any) and one of the three others is found (none: all)."""

    meaning: Meaning
    hosts: str
    statuses: frozenset[int] = frozenset()
    codes: frozenset[str] = frozenset()
    words: re.Pattern[str] | None = None
    fits: Callable[[Said], bool] | None = field(default=None)

    def matches(self, status: int, said: Said) -> bool:
        """Whether a reply is what this row is about."""
        if self.statuses and status not in self.statuses:
            return False
        tests = [
            bool(self.codes & said.codes) if self.codes else None,
            bool(self.words.search(said.words)) if self.words else None,
            self.fits(said) if self.fits else None,
        ]
        asked = [t for t in tests if t is not None]
        return any(asked) or not asked


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


_OK_OR_CLIENT = frozenset({200, 400, 403, 422, 451})
_DISGUISED = frozenset({200, 500, 501})

_ACCOUNT = r"(?:account|organi[sz]ation|project|user|api key)\b.{0,60}\b(?:suspended|disabled|deactivated|banned|terminated|leaked|revoked)"
_PARAMETER = r"unsupported|invalid value|unknown (?:parameter|field|name)|unrecognized"
_FILTER = (
    r"content exists risk|prohibited_content|violat\w* (?:\w+ ){0,3}(?:usage )?(?:guidelines|polic(?:y|ies))|"
    r"flagged (?:by|as|for)|input was flagged|content management policy|inappropriate content|safety system|"
    r"blocked by (?:the |our )?(?:content|safety)|usage polic(?:y|ies)|content moderation"
)
_OF_A_DAY = r"per[ _-]?day|daily (?:limit|quota)|limit: 0\b"
_SOON = r"(?:try again|retry) in \d"  # a limit that rolls on


def _says(pattern: str, but: str = "") -> Callable[[Said], bool]:
    """Whether a reply has the words of one pattern, and none of another."""
    found, without = (re.compile(p, re.IGNORECASE) if p else None for p in (pattern, but))
    return lambda said: (
        bool(found and found.search(said.words)) and not (without and without.search(said.words))
    )


TABLE = (
    Row(
        meaning=Meaning.KEY,
        hosts="all: an account or a key that is blocked, whatever the reason",
        statuses=frozenset({200, 400, 401, 403}),
        words=_words(_ACCOUNT),
    ),
    Row(
        meaning=Meaning.FILTERED,
        hosts="OpenAI, Azure, DashScope, Zhipu, Gemini",
        statuses=_OK_OR_CLIENT,
        codes=frozenset(
            {
                "content_filter", "content_policy_violation", "responsibleaipolicyviolation", "data_inspection_failed",
                "datainspectionfailed", "1301", "prohibited_content", "image_safety", "safety", "blocklist", "spii",
                "recitation", "moderation_blocked", "image_content_policy_violation",
            }
        ),
    ),
    Row(
        meaning=Meaning.FILTERED,
        hosts="OpenRouter",
        statuses=frozenset({200, 403}),
        fits=lambda said: bool({"reasons", "flagged_input"} & said.keys),
    ),
    Row(
        meaning=Meaning.FILTERED,
        hosts="DeepSeek, Grok, Gemini and OpenAI behind gateways, and OpenAI's invalid_prompt",
        statuses=_OK_OR_CLIENT,
        fits=_says(_FILTER, but=_PARAMETER),
    ),
    Row(
        meaning=Meaning.TOO_LONG,
        hosts="OpenAI, vLLM, SGLang, llama.cpp, OpenRouter",
        statuses=frozenset({200, 400, 413, 422, 500}),
        codes=frozenset({"context_length_exceeded", "exceed_context_size_error"}),
        words=_words(
            r"maximum context length|context (?:length|window|size)|prompt is too long|too many (?:input )?tokens|"
            r"input (?:is )?too long|longer than the (?:maximum )?model|exceeds? the (?:available|maximum) context"
        ),
    ),
    Row(
        meaning=Meaning.QUOTA,
        hosts="OpenAI, OpenRouter, DashScope, Zhipu",
        codes=frozenset(
            {
                "insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "insufficient_credits",
                "insufficient_balance", "arrearage", "402",
            }
        ),
    ),
    Row(meaning=Meaning.QUOTA, hosts="all", statuses=frozenset({402})),
    Row(
        meaning=Meaning.QUOTA,
        hosts="Gemini, OpenRouter: a limit of the day, which no waiting of a run outlasts",
        statuses=frozenset({200, 403, 429}),
        fits=lambda said: (
            any("perday" in c or "per-day" in c or "per_day" in c for c in said.codes) or _says(_OF_A_DAY, but=_SOON)(said)
        ),
    ),
    Row(
        meaning=Meaning.KEY,
        hosts="Gemini, xAI, DashScope",
        statuses=frozenset({200, 400, 403}),
        codes=frozenset({"invalid_api_key", "api_key_invalid", "invalidapikey", "authentication_error", "401"}),
        words=_words(r"(?:invalid|incorrect|missing|expired) api[ _-]?key|api[ _-]?key (?:not valid|is invalid|expired)"),
    ),
    Row(meaning=Meaning.KEY, hosts="all", statuses=frozenset({401})),
    Row(
        meaning=Meaning.NO_MODEL,
        hosts="OpenAI, vLLM, Ollama, OpenRouter",
        statuses=frozenset({200, 400, 403, 404}),
        codes=frozenset({"model_not_found", "invalid_model", "modelnotfound"}),
        words=_words(r"model .{0,200}(?:does not exist|not found|is not (?:available|a valid model))|is not a valid model"),
    ),
    Row(meaning=Meaning.NO_MODEL, hosts="all", statuses=frozenset({404})),
    Row(
        meaning=Meaning.REFUSED,
        hosts="llama.cpp, LM Studio, gateways: what can never succeed, as a server's error or in a 200",
        statuses=_DISGUISED,
        words=_words(
            r"mmproj|(?:image|vision|multimodal) (?:input )?(?:is |are )?not supported|does not support (?:image|vision|multi)|"
            r"unexpected endpoint|unknown (?:name|field|parameter)|unsupported (?:parameter|value|field)|extra inputs"
        ),
    ),
    Row(meaning=Meaning.LIMITED, hosts="all", statuses=frozenset({429})),
    Row(meaning=Meaning.OVERLOADED, hosts="all; Anthropic's 529", statuses=frozenset({503, 529})),
    Row(meaning=Meaning.FORBIDDEN, hosts="all", statuses=frozenset({403})),
    Row(meaning=Meaning.TEMPORARY, hosts="all", statuses=frozenset({408, 409, 425, *range(500, 600)})),
    Row(meaning=Meaning.REFUSED, hosts="all", statuses=frozenset(range(400, 500))),
    Row(meaning=Meaning.TEMPORARY, hosts="all: an error inside a 200 without a word that is known"),
)  # fmt: skip


def meaning_of(status: int, said: Said) -> Meaning:
    """What a reply means. status: the HTTP status; of an error inside a 200 the one in the body counts, if there is one."""
    counts = said.status if status == 200 and said.status is not None else status
    return next(row.meaning for row in TABLE if row.matches(counts, said))
