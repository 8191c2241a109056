"""How a run ended, in words: finished, stopped, interrupted, with requests left, or failed; and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from isr import text
from isr.errors import Interrupted, IsrError
from isr.scoring.places import read_record
from isr.scoring.result import Result, TreatmentPart
from isr.scoring.row_names import short_names
from isr.scoring.until import told

if TYPE_CHECKING:
    from isr.scoring.run import Run

State = Literal["finished", "stopped", "interrupted", "unfinished", "failed"]
AGAIN = "run the same command again to go on"
LONGEST = 500  # characters of a message


@dataclass(frozen=True, kw_only=True)
class Ending:
    """The last word of a run. ``results``: the headline of each treatment. ``folder``: where they lie.

    ``done``: requests with an answer; ``total``: of how many, ``None`` where some have none.
    """

    state: State
    words: str
    results: tuple[str, ...] = ()
    folder: Path | None = None
    report: Path | None = None
    done: int | None = None
    total: int | None = None


def ending_of(
    result: Result, *, exit_code: int, stopped: str, requests: Mapping[str, Any], folder: Path
) -> Ending:
    """The ending of a run that wrote its result into ``folder``. stopped, requests: as on record (``run.json``)."""
    missing = sum(result.unfinished.values())
    counts = [n for n in (requests.get("from_store"), requests.get("answered")) if isinstance(n, int)]
    done = sum(counts) if len(counts) == 2 else None
    left = f"{missing:,} {'request is' if missing == 1 else 'requests are'} without a reply"
    state: State = "finished"
    words = told(result.until) if result.until else "every request has its answer"
    if exit_code == 130:
        state, words = "interrupted", f"{AGAIN}; what was answered is kept"
    elif stopped:
        state, words = "stopped", f"{_short(stopped)}; {AGAIN}"
    elif exit_code:
        state, words = "unfinished", f"{left}; {AGAIN}" if missing else "not one edit is decided"
    report = folder / "report.html"
    return Ending(
        state=state,
        words=words,
        results=headlines(result),
        folder=folder,
        report=report if report.is_file() else None,
        done=done,
        total=None if missing else done,
    )


def ending_of_run(run: Run) -> Ending:
    """The ending of a run in this process."""
    progress = run.progress
    return ending_of(
        run.result,
        exit_code=run.exit_code,
        stopped=progress.stopped,
        requests={"from_store": progress.stored, "answered": progress.answered},
        folder=run.out,
    )


def ending_in(folder: Path) -> Ending | None:
    """The ending of the run whose result lies in ``folder``, by its record; ``None`` where it cannot be read, or is none."""
    record = read_record(folder)
    try:
        result = Result.load(folder / "result.json")
    except IsrError:
        return None
    code, requests = record.get("exit_code", 0), record.get("requests")
    return ending_of(
        result,
        exit_code=code if isinstance(code, int) else 0,
        stopped=str(record.get("stopped") or ""),
        requests=requests if isinstance(requests, dict) else {},
        folder=folder,
    )


def ending_by(error: BaseException, folder: Path) -> Ending:
    """The ending of a run that an error ended: its message where it is one of ours, else its kind alone."""
    if isinstance(error, KeyboardInterrupt | Interrupted):
        return Ending(
            state="interrupted", words=f"interrupted before a result was written; {AGAIN}", folder=folder
        )
    words = str(error) if isinstance(error, IsrError) else f"{type(error).__name__}; the terminal says more"
    return Ending(state="failed", words=_short(words), folder=folder)


def headlines(result: Result) -> tuple[str, ...]:
    """The ISR of each treatment: value and interval, or the bounds where too many edits are undecided for a value."""
    names = short_names([part.treatment for part in result.treatments])
    several = len(names) > 1
    return tuple(
        f"{text.plain(name)}: {_headline(part)}" if several else _headline(part)
        for name, part in zip(names, result.treatments, strict=True)
    )


def _headline(part: TreatmentPart) -> str:
    e = part.estimates["isr"]
    edits, decided = part.counts["edits"], part.counts["decided"]
    if part.headline == "bounds" and e.is_open:
        held = text.open_interval(e)
        return (
            f"ISR {text.open_range(e)}{f' ({e.level:.0%} interval {held})' if held else ''}, {decided} of {edits} edits decided: "
            "too many are undecided for one value"
        )
    if e.value is None:
        return f"no ISR: {'; '.join(e.notes)}"
    return f"ISR {text.rate(e.value)} ({e.level:.0%} interval {text.rate_interval(e)}), n {e.n}"


def _short(words: str) -> str:
    words = text.plain(" ".join(words.split())).rstrip(".")
    return words if len(words) <= LONGEST else words[: LONGEST - 1] + "…"
