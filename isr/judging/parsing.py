"""From answers to verdicts: strict, total and pure. Nothing is salvaged from prose."""

from __future__ import annotations

import json
import re
from typing import Any

from isr.judging.rubrics import Field, Rubric
from isr.types import Answer, AnswerReason, Finish, Value, Verdict

PARSER_VERSION = 1

_FENCE = re.compile(r"\A```(?:json)?[ \t]*\n(.*)\n```\Z", re.DOTALL)
_REFUSAL = re.compile(
    r"\b(i(?:'|’)?\s?a?m sorry|i apologi[sz]e|i (?:can(?:no|')t|can’t|cannot|am (?:not able|unable)|won(?:'|’)t|"
    r"will not|must decline)|i(?:'|’)m (?:not able|unable)|unable to (?:assist|help|comply|evaluate|analy[sz]e)|"
    r"(?:against|violates?) (?:my|our|the) (?:guidelines|policy|policies)|as an ai\b)",
    re.IGNORECASE,
)


def parse(answer: Answer, rubric: Rubric) -> Verdict:
    """The verdict in a judge's answer, or ``undecided`` with the first reason that applies.

    The answer must be one JSON object (a code fence around the whole of it is allowed) with every field of
    the rubric, of its type and on its scale. Extra fields are ignored. The verdict decides; a score
    contradicts it only at the opposite extreme. A rubric without a verdict decides by its lowest grade, which
    is then the score.
    """
    if answer.finish_reason is Finish.CONTENT_FILTER:
        return _undecided(AnswerReason.CONTENT_FILTER)
    if answer.refusal:
        return _undecided(AnswerReason.REFUSAL, answer.refusal)
    if answer.finish_reason is Finish.LENGTH:
        return _undecided(AnswerReason.TRUNCATED, answer.text)
    text = answer.text.strip()
    if not text:
        return _undecided(AnswerReason.EMPTY)
    fields = _json_object(text)
    if fields is None:
        refused = _REFUSAL.search(text[:400])
        return _undecided(AnswerReason.REFUSAL if refused else AnswerReason.NOT_JSON, text)
    reason = next(filter(None, (_fault(f, fields) for f in rubric.fields)), None)
    if reason:
        return _undecided(reason, text)
    grades = {f.name: fields[f.name] for f in rubric.fields if f.type == "integer"}
    reasoning = _writable(str(fields.get("reasoning", "")))
    if rubric.decision is not None:
        lowest = min(grades[name] for name in rubric.decision.fields)
        by_grades = Value.FAILS if lowest < rubric.decision.fails_below else Value.FINE
        return Verdict(value=by_grades, score=lowest, grades=grades, reasoning=reasoning)
    score, value = grades.pop("score", None), Value(fields["verdict"])
    if _contradict(rubric, score, value):
        return _undecided(AnswerReason.CONTRADICTION, text)
    return Verdict(value=value, score=score, grades=grades, reasoning=reasoning, p_yes=answer.p_yes)


def _undecided(reason: AnswerReason, text: str = "") -> Verdict:
    return Verdict(value=Value.UNDECIDED, reason=reason, reasoning=_writable(text[:600]))


def _writable(text: str) -> str:
    """The text with lone surrogates, which no file can hold, as U+FFFD: JSON lets a judge write them as escapes."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _json_object(text: str) -> dict[str, Any] | None:
    fenced = _FENCE.match(text)
    try:
        value = json.loads(
            fenced[1] if fenced else text, object_pairs_hook=_without_duplicates, parse_constant=_refuse
        )
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
