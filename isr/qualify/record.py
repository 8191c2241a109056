"""What a qualification found: the record, and the page of text that is printed of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from isr.judging.qualification import SCHEMA
from isr.qualify.checks import DOUBTFUL, FAILED, LEVEL, NOT_TESTED, Found
from isr.scoring.judge_words import named
from isr.scoring.records import JudgeRecord

FIT, RESERVED, UNFIT = "fit", "fit with reservations", "unfit"


@dataclass(frozen=True, slots=True)
class Qualification:
    """The verdict on a judge, with every probe behind it."""

    signature: str
    judge: JudgeRecord
    rubrics: tuple[Mapping[str, str], ...]
    data: Mapping[str, Any]
    found: tuple[Found, ...]

    @property
    def verdict(self) -> str:
        """``unfit``: an essential probe is failed. ``fit with reservations``: anything else is not passed that applies."""
        if any(f.status == FAILED and f.check.essential for f in self.found):
            return UNFIT
        open_ = [f for f in self.found if f.status in (FAILED, DOUBTFUL)]
        blind = [f for f in self.found if f.status == NOT_TESTED and f.check.essential]
        return RESERVED if open_ or blind else FIT

    @property
    def reservations(self) -> list[str]:
        """Names of the probes that were failed, left in doubt or could not be tested."""
        return [
            f"{f.check.name} ({f.status})" for f in self.found if f.status in (FAILED, DOUBTFUL, NOT_TESTED)
        ]

    def as_dict(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "signature": self.signature,
            "judge": dict(self.judge),
            "rubrics": [dict(r) for r in self.rubrics],
            "data": dict(self.data),
            "verdict": self.verdict,
            "reservations": self.reservations,
            "probes": [f.as_dict() for f in self.found],
        }

    def to_json(self) -> str:
        """The bytes of ``qualification.json``; the same whenever the answers are the same."""
        return json.dumps(self.as_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def render(q: Qualification) -> str:
    """The qualification as a readable table."""
    return "\n".join(_lines(q)) + "\n"


def _lines(q: Qualification) -> Iterator[str]:
    yield f"{named(q.judge)}: {q.verdict.upper()}"
    yield f"{q.data['images']} images, {q.data['answers']} answers; marks and meanings: docs/qualify.md"
    yield ""
    yield f"  {'probe':16}{'status':16}{'value':>8}  {f'{LEVEL:.0%} interval':>17}{'mark':>6}{'n':>5}"
    for f in q.found:
        yield _row(f)
        for note in f.notes:
            yield f"  {'':16}{note}"
        if f.undecided:
            reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(f.undecided.items()))
            yield f"  {'':16}undecided: {reasons}"
    yield ""
    yield "  * a judge that fails it is unfit"
    yield f"signature: {q.signature}"


def _row(f: Found) -> str:
    name = f"{f.check.name}{'*' if f.check.essential else ''}"
    e = f.estimate
    if e is None or e.value is None:
        return f"  {name:16}{f.status:16}{'-':>8}"
    span = "no interval" if e.low is None or e.high is None else f"{e.low:.1%} to {e.high:.1%}"
    return f"  {name:16}{f.status:16}{e.value:>8.1%}  {span:>17}{f.check.mark:>6.0%}{e.n:>5}"
