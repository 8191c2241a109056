"""What a user writes with isr; checked by type checkers, never run."""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

import isr
from isr.plugin import Answer, Card, Finish, Prepared, Request, TransportError, TransportReason
from isr.scoring.comparison import Comparison
from isr.scoring.planned import Planned
from isr.scoring.records import UndecidedCount


def published(directory: str) -> float | None:
    result = isr.score(directory, judge="qwen3.5-9b", by="editor", level=0.9, interval="wilson", limit=10)
    assert_type(result, isr.Result)
    estimate = result.treatments[0].estimates["isr"]
    assert_type(estimate, isr.Estimate)
    assert_type(estimate.signature, isr.Signature | None)
    assert_type(estimate.bounds, tuple[float, float] | None)
    assert_type(result.judges[0]["reported_models"], list[str])
    assert_type(result.treatments[0].counts["undecided"], list[UndecidedCount])
    assert_type(result.data["images"], int)
    float(estimate)  # type: ignore[arg-type]  # an estimate is no number
    isr.score(directory, interval="wald")  # type: ignore[arg-type]  # no such interval
    isr.score(directory, juge="gpt-4.1")  # type: ignore[call-arg]  # a misspelt keyword
    return estimate.value


def compared(one: Path, other: Path) -> Path:
    assert_type(isr.compare(one, other, by=["editor"]), Comparison)
    assert_type(isr.plan(half_width=0.05, pilot=one), Planned)
    isr.agree("labels.csv", [one, other], consensus="strict")
    isr.calibrate(one, "labels.csv", design="random")
    isr.calibrate(one, "labels.csv")  # type: ignore[call-arg]  # the design must be said
    isr.write_figures(one, other, out="figures", labels="labels.csv")
    isr.write_figures(one)  # type: ignore[call-arg]  # the folder must be said
    return isr.write_report(one, other, out="both.html")


def metric() -> isr.Estimate:
    found = isr.ISR(level=0.9, interval="korn-graubard")
    found.update(["immunized", None, True], ["a", "a", "b"])
    other = isr.ISR(level=0.9, interval="korn-graubard")
    assert_type(other([1, 0.0, float("nan")], [1, 1, 2]), isr.Estimate)
    assert_type(found + other, isr.ISR)
    return found.merge(other).compute()


class Mine:
    """A judge from outside."""

    async def ask(self, request: Request, images: Prepared) -> Answer:
        if not request.content:
            raise TransportError(TransportReason.CONNECTION, "no reply")
        return Answer("{}", Finish.STOP, usage={"prompt_tokens": 1})

    async def close(self) -> None:
        return None


def open_judge(card: Card) -> Mine:
    return Mine()
