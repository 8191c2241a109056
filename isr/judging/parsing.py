"""From answers to verdicts: strict, total and pure. Nothing is salvaged from prose.

Parser 2 reads an answer through the marks of protocols around it (a byte order mark, a ``<think>`` block before it, a
turn's end behind it, a code fence of any spelling), leaves undecided what a host ended for a reason of its own, and
knows refusals in other languages. Parser 1, that of isr 0.1.0, stays for what was made with it.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from isr.judging.rubrics import Field, Rubric
from isr.types import Answer, AnswerReason, Finish, Value, Verdict

PARSER_VERSION = 2
VERSIONS = (1, 2)

_FENCE_1 = re.compile(r"\A```(?:json)?[ \t]*\n(.*)\n```\Z", re.DOTALL)
_REFUSAL_1 = re.compile(
    r"\b(i(?:'|’)?\s?a?m sorry|i apologi[sz]e|i (?:can(?:no|')t|can’t|cannot|am (?:not able|unable)|won(?:'|’)t|"
    r"will not|must decline)|i(?:'|’)m (?:not able|unable)|unable to (?:assist|help|comply|evaluate|analy[sz]e)|"
    r"(?:against|violates?) (?:my|our|the) (?:guidelines|policy|policies)|as an ai\b)",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    _REFUSAL_1.pattern
    + r"|\b(?:lo siento|no puedo|je suis d[ée]sol[ée]e?|je ne (?:peux|puis) pas|es tut mir leid|ich kann (?:\w+ )?nicht|"
    r"leider kann ich|desculpe|sinto muito|n[ãa]o posso|mi dispiace|non posso|het spijt me|ik kan (?:\w+ )?niet|przykro mi|"
    r"nie mog[ęe]|üzgünüm|извините|простите|я не могу)"
    r"|抱歉|对不起|對不起|我(?:无法|無法|不能)|申し訳|(?:評価|お答え|お手伝い)できません|죄송|(?:평가|판단|도와)(?:할|드릴) 수 없|عذر[اًا]|آسف|"
    r"لا (?:يمكنني|أستطيع)|क्षमा|माफ़",
    re.IGNORECASE,
)
_MARK = re.compile(r"[a-z_]{1,32}")
_SEARCHED = 400  # characters at the beginning in which a refusal is looked for
# What hosts call an end that is none of the model's own, in lower case
_BROKEN_OFF = {
    "abort", "aborted", "cancelled", "canceled", "error", "function_call", "insufficient_system_resource",
    "malformed_function_call", "network_error", "pause_turn", "tool_calls", "tool_use",
}  # fmt: skip
_FILTERED = {
    "blocklist", "image_safety", "language", "prohibited_content", "recitation", "refusal", "safety", "sensitive", "spii",
}  # fmt: skip


_BY_THE_HOST = (AnswerReason.CONTENT_FILTER, AnswerReason.REQUEST_REJECTED, AnswerReason.PROMPT_TOO_LONG)


def parse(answer: Answer, rubric: Rubric, version: int = PARSER_VERSION) -> Verdict:
    """The verdict in a judge's answer, or ``undecided`` with the first reason that applies.

    The answer must be one JSON object with every field of the rubric, of its type and on its scale; around the whole
    of it marks of a protocol are allowed. Extra fields are ignored. The verdict decides; a score contradicts it only at
    the opposite extreme. A rubric without a verdict decides by its lowest grade, which is then the score; where it names
    no threshold either, the score waits for one that is learnt (``uncalibrated``).
    """
    ended = _ended(answer, version)
    if ended in _BY_THE_HOST:
        return _undecided(ended, answer.refusal)
    if answer.refusal:
        return _undecided(AnswerReason.REFUSAL, answer.refusal)
    if ended is not None:
        return _undecided(ended, answer.text)
    text = answer.text.strip()
    if not text:
        return _undecided(AnswerReason.EMPTY)
    fields = _json_object(_bare(text, version))
    if fields is None:
        refused = (_REFUSAL_1 if version == 1 else _REFUSAL).search(text[:_SEARCHED])
        return _undecided(AnswerReason.REFUSAL if refused else AnswerReason.NOT_JSON, text)
    reason = next(filter(None, (_fault(f, fields) for f in rubric.fields)), None)
    if reason:
        return _undecided(reason, text)
    grades = {f.name: fields[f.name] for f in rubric.fields if f.type == "integer"}
    reasoning = _writable(str(fields.get("reasoning", "")))
    if rubric.decision is not None:
        lowest = min(grades[name] for name in rubric.decision.fields)
        graded = Verdict(value=Value.UNDECIDED, score=lowest, grades=grades, reasoning=reasoning)
        if rubric.decision.fails_below is None:
            return replace(graded, reason=AnswerReason.UNCALIBRATED)
        return replace(graded, value=Value.FAILS if lowest < rubric.decision.fails_below else Value.FINE)
    score, value = grades.pop("score", None), Value(fields["verdict"])
    if _contradict(rubric, score, value):
        return _undecided(AnswerReason.CONTRADICTION, text)
    return Verdict(value=value, score=score, grades=grades, reasoning=reasoning, p_yes=answer.p_yes)


def disagrees(verdict: Verdict, rubric: Rubric) -> bool:
    """Whether a decided verdict and its score speak for different sides of the scale's middle.

    The verdict counts; a judge that often disagrees with itself is not reading the scale.
    """
    scale = next((f for f in rubric.fields if f.name == "score"), None)
    if rubric.decision is not None or scale is None or verdict.score is None or verdict.reason:
        return False
    if scale.minimum is None or scale.maximum is None:
        return False
    side = 2 * verdict.score - (scale.minimum + scale.maximum)
    return side > 0 if verdict.value is Value.FAILS else side < 0


def _ended(answer: Answer, version: int) -> AnswerReason | None:
    """The reason in how a reply ended; ``None`` for one that is complete."""
    if answer.finish_reason is Finish.CONTENT_FILTER:
        return AnswerReason.CONTENT_FILTER
    if answer.finish_reason is Finish.REJECTED:
        return AnswerReason.REQUEST_REJECTED
    if answer.finish_reason is Finish.TOO_LONG:
        return AnswerReason.PROMPT_TOO_LONG
    if answer.finish_reason is Finish.LENGTH:
        return AnswerReason.TRUNCATED
    word = answer.served.get("finish_reason", "").lower() if answer.finish_reason is Finish.OTHER else ""
    if version == 1:
        return None
    if word in _FILTERED:
        return AnswerReason.CONTENT_FILTER
    return AnswerReason.ABORTED if word in _BROKEN_OFF else None


def _bare(text: str, version: int) -> str:
    """The text without the marks of protocols around it; they are no prose, and say nothing."""
    if version == 1:
        fenced = _FENCE_1.match(text)
        return fenced[1] if fenced else text
    return _unfenced(_without_turn_ends(_without_thoughts(text)))


# The marks are taken off without regular expressions: an answer is a stranger's, and theirs may take time without end.


def _without_thoughts(text: str) -> str:
    """The text behind the blocks of thoughts with which it begins; a block without an end stays."""
    start = 0
    while True:
        while start < len(text) and (text[start].isspace() or text[start] == "\ufeff"):
            start += 1
        end = text.find("</think>", start) if text.startswith("<think>", start) else -1
        if end < 0:
            return text[start:]
        start = end + len("</think>")


def _without_turn_ends(text: str) -> str:
    """The text before the marks of the end of a turn (``<|im_end|>``, ``</s>``)."""
    end = len(text)
    while True:
        while end and text[end - 1].isspace():
            end -= 1
        if text.endswith("</s>", 0, end):
            end -= len("</s>")
            continue
        start = text.rfind("<|", max(0, end - 36), end) if text.endswith("|>", 0, end) else -1
        if start < 0 or not _MARK.fullmatch(text, start + 2, end - 2):
            return text[:end]
        end = start


def _unfenced(text: str) -> str:
    """What stands in the code fence around the whole text; the text itself if there is none."""
    if len(text) < 6 or not (text.startswith("```") and text.endswith("```")):
        return text
    inner = text[3:-3]
    if inner[:4].lower() == "json" and not (inner[4:5].isalnum() or inner[4:5] == "_"):
        inner = inner[4:]
    return inner.strip()


def _undecided(reason: AnswerReason, text: str = "") -> Verdict:
    return Verdict(value=Value.UNDECIDED, reason=reason, reasoning=_writable(text[:600]))


def _writable(text: str) -> str:
    """The text with lone surrogates, which no file can hold, as U+FFFD: JSON lets a judge write them as escapes."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _json_object(text: str) -> dict[str, Any] | None:
    try:
        value = _STRICT.decode(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("a field stands twice")
    return out


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


_STRICT = json.JSONDecoder(object_pairs_hook=_without_duplicates, parse_constant=_refuse)


def _fault(field: Field, found: dict[str, Any]) -> AnswerReason | None:
    if field.name not in found:
        return AnswerReason.MISSING_FIELD
    value = found[field.name]
    if field.type == "integer":
        whole = isinstance(value, int) and not isinstance(value, bool)
        low = -float("inf") if field.minimum is None else field.minimum
        high = float("inf") if field.maximum is None else field.maximum
        return None if whole and low <= value <= high else AnswerReason.OFF_SCALE
    if not isinstance(value, str) or (field.choices and value not in field.choices):
        return AnswerReason.OFF_SCALE
    return None


def _contradict(rubric: Rubric, score: int | None, verdict: Value) -> bool:
    scale = next((f for f in rubric.fields if f.name == "score"), None)
    if scale is None or score is None:
        return False
    return (score == scale.maximum and verdict is Value.FAILS) or (
        score == scale.minimum and verdict is Value.FINE
    )


def recorded_answer(raw: Any, rubric: Rubric) -> Answer:
    """A recorded answer as the reply that the rubric asks for: the scores under the names of its grades.

    Only a list of exactly as many scores is given names; anything else is handed on as recorded, for the parser
    to call undecided. Nothing recorded is an empty reply. Scores recorded without a reasoning are read.
    """
    if raw is None:
        return Answer(text="", finish_reason=Finish.STOP)
    names = rubric.decision.fields if rubric.decision else ()
    scores = raw.get("scores") if isinstance(raw, dict) else None
    if not names or not isinstance(scores, list) or len(scores) != len(names):
        return Answer(text=json.dumps(raw), finish_reason=Finish.STOP)
    said = raw.get("reasoning")
    reply = {"reasoning": said if isinstance(said, str) else "", **dict(zip(names, scores, strict=True))}
    return Answer(text=json.dumps(reply), finish_reason=Finish.STOP)
