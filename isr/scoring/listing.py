"""The runs of an edit directory, listed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from isr.errors import InputError, UsageError
from isr.scoring.bundled import origin
from isr.scoring.judge_words import named
from isr.scoring.places import RESULT, age, finished_at, home_at, run_folders
from isr.scoring.result import Result
from isr.scoring.shown import shown_in
from isr.scoring.stored import read_stored

UNDONE = "begun and not finished: run the same isr score again"


@dataclass(frozen=True, kw_only=True)
class Rate:
    """The ISR of one treatment of a run."""

    method: str
    config: str
    eps: str
    surrogate: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    between: tuple[float, float] | None = (
        None  # where too many edits are undecided for a value to speak for all
    )


@dataclass(frozen=True, kw_only=True)
class Listed:
    """One run. ``state``: ``finished``, or what is to be done about it."""

    folder: Path
    finished_at: str
    judge: str
    state: str
    isr: tuple[Rate, ...] = ()
    signature: str = ""


def runs_of(path: Path) -> list[Listed]:
    """The runs at a path (an edit directory, ``DIR.isr``, a run), the newest first. Raises ``UsageError`` if none is."""
    home = home_at(path)
    folders = run_folders(home)
    if not folders:
        raise UsageError(
            f"{path}: expected an edit directory that was scored; found no run; isr score {path}"
        )
    undone = [f for f in folders if not (f / RESULT).is_file()]
    done = sorted((f for f in folders if f not in undone), key=age, reverse=True)
    return [_listed(f) for f in (*done, *undone)]


def _listed(folder: Path) -> Listed:
    if not (folder / RESULT).is_file():
        return Listed(folder=folder, finished_at="", judge="", state=UNDONE)
    when = finished_at(folder)
    try:
        result = read_stored(folder).result
    except InputError as error:
        return Listed(folder=folder, finished_at=when, judge="", state=str(error))
    return Listed(
        folder=origin(folder),
        finished_at=when,
        judge=", ".join(map(named, result.judges)),
        state=_state(result),
        isr=tuple(
            Rate(
                **t.treatment._asdict(),
                value=t.estimates["isr"].value,
                low=t.estimates["isr"].low,
                high=t.estimates["isr"].high,
                n=t.estimates["isr"].n,
                between=shown_in(result, t)["isr"].ends,
            )
            for t in result.treatments
        ),
        signature=result.signature,
    )


def _state(result: Result) -> str:
    left = sum(result.unfinished.values())
    state = f"{left} requests without a reply: run the same isr score again" if left else _end(result)
    warned = sum(level == "warning" for level, _ in result.told)
    return f"{state}; {warned} warning(s) about its pictures or who answered" if warned else state


def _end(result: Result) -> str:
    """How a run ended of which nothing is missing."""
    if (until := result.until) is None:
        return "finished"
    images = f"{until['images']} of {until['of']} images"
    return (
        f"finished: stopped by its rule after {images}"
        if until["met"]
        else f"finished, its rule not met by {images}"
    )
