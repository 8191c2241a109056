"""The figures of a run that the live page shows: of a run in this process, and of one in another, as far as its files tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from isr.errors import IsrError
from isr.judging.pace import SPAN_S, Lately, nothing_arrives
from isr.judging.progress import Progress
from isr.scoring.ending import AGAIN, Ending, ending_in
from isr.scoring.places import RESULT, age, finished_at, run_folders
from isr.scoring.result import Result
from isr.scoring.shown import UNDECIDED_SHARE

GONE_S = 3.0  # without a process that has the store open, before its end is told
GONE = f"the process ended without finishing; {AGAIN}"
WRITING = "every request has its answer; the result is being written"
OF_ASKED = "rate and undecided are those of the answers that were asked for now"


def of_progress(progress: Progress, until: str = "", ending: Ending | None = None) -> dict[str, Any]:
    """The figures of a run in this process. until: the rule by which it stops. ending: once it has ended."""
    lately, waits = progress.lately, progress.waits
    left = max(progress.total - progress.done, 0)
    rate = lately.rate if lately and left else None
    written = bool(progress.total) and not left
    state, words = ("waiting", waits) if waits else ("writing", WRITING) if written else ("running", "")
    return {
        "own": True,
        "state": state,
        "words": words,
        "total": progress.total,
        "done": progress.done,
        "stored": progress.stored,
        "rate": rate,
        "left": left / rate if rate and left and not waits else None,
        "lately_s": lately.seconds if lately else 0.0,
        "retries": progress.retries,
        "retries_lately": lately.retries if lately and left else 0,
        "tokens": progress.prompt_tokens + progress.completion_tokens,
        "usd": progress.usd if progress.priced else None,
        **_undecided(progress.undecided, progress.answered + progress.failures),
        "partial": OF_ASKED if progress.stored and progress.answered else "",
        "looks": [seen._asdict() for seen in progress.looks],
        "until": until,
        **_ended(ending),
    }


def _undecided(reasons: Mapping[str, int], of: int) -> dict[str, Any]:
    count = sum(reasons.values())
    return {
        "undecided": dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
        "undecided_count": count,
        "undecided_of": of,
        "too_many": count > UNDECIDED_SHARE * of,
        "most_undecided": UNDECIDED_SHARE,
    }


def _ended(ending: Ending | None) -> dict[str, Any]:
    if ending is None:
        return {"results": [], "folder": "", "report": ""}
    return {
        "state": ending.state,
        "words": ending.words,
        "results": list(ending.results),
        "folder": str(ending.folder or ""),
        "report": str(ending.report or ""),
        "rate": None,
        "left": None,
    }


@dataclass(kw_only=True)
class Elsewhere:
    """A run in another process, by its answers and its results. ``chosen``: its folder; by default the newest of its home.

    ``newest``: the newest answers, the newest first. ``count``: of all. ``is_open``: whether a process has the store open.
    """

    home: Path
    chosen: Path | None
    newest: Callable[[], Sequence[Mapping[str, Any]]]
    count: Callable[[], int]
    is_open: Callable[[], bool | None]
    _closed_since: float | None = None
    _known: dict[tuple[Path, int], tuple[str, Ending | None]] = field(default_factory=dict)

    def run(self) -> Path | None:
        """The finished run that is meant, if there is one."""
        if self.chosen is not None:
            return self.chosen if (self.chosen / RESULT).is_file() else None
        return max((r for r in run_folders(self.home) if (r / RESULT).is_file()), key=age, default=None)

    def names(self) -> dict[str, str]:
        """The names of judges by their digests, as far as a result in the home tells."""
        found: dict[str, str] = {}
        for folder in run_folders(self.home):
            try:
                judges = Result.load(folder / RESULT).judges
            except IsrError:
                continue
            found |= {j["digest"]: j["name"] for j in judges}
        return found

    def ending(self, last: str) -> Ending | None:
        """How the run ended, if no answer came after its end. last: when the newest one came, in ISO 8601 and UTC."""
        run = self.run()
        if run is None:
            return None
        key = run, (run / RESULT).stat().st_mtime_ns
        if key not in self._known:
            self._known = {key: (finished_at(run), ending_in(run))}
        when, ending = self._known[key]
        return ending if when[:19] >= last[:19] else None

    def figures(self, now: datetime) -> dict[str, Any]:
        """What the page shows. now: in UTC."""
        newest = self.newest()
        last = max((str(n["at"]) for n in newest), default="")
        is_open = self.is_open()
        ending = None if is_open else self.ending(last)
        lately = _lately([str(n["at"]) for n in newest], now)
        state, words = self._state(lately, now.timestamp(), is_open=is_open)
        count = self.count()
        total, done = (ending.total, ending.done) if ending else (None, None)
        return {
            "own": False,
            "state": state,
            "words": words,
            "total": total,
            "done": count if done is None else done,
            "stored": 0,
            "rate": lately.rate if lately and state == "running" else None,
            "left": None,
            "lately_s": lately.seconds if lately else 0.0,
            "retries": None,
            "retries_lately": 0,
            "tokens": None,
            "usd": None,
            **_undecided(Counter(str(n["reason"]) for n in newest if n["reason"]), len(newest)),
            "partial": f"undecided are those of the newest {len(newest):,} answers",
            "looks": [],
            "until": "",
            **_ended(ending),
        }

    def _state(self, lately: Lately | None, now: float, *, is_open: bool | None) -> tuple[str, str]:
        if is_open is not False:
            self._closed_since = None
            waits = nothing_arrives(lately, "")
            return ("waiting", waits) if waits else ("running", "")
        self._closed_since = now if self._closed_since is None else self._closed_since
        return ("gone", GONE) if now - self._closed_since >= GONE_S else ("running", "")


def _lately(stamps: Sequence[str], now: datetime) -> Lately | None:
    """What the last half minute brought, by when the newest answers came."""
    times = []
    for stamp in stamps:
        try:
            times.append((now - datetime.fromisoformat(stamp)).total_seconds())
        except (ValueError, TypeError):  # no time, or one without its zone
            continue
    if not times:
        return None
    recent = [t for t in times if t <= SPAN_S]
    span = min(max(times), SPAN_S)
    return Lately(seconds=span, answers=len(recent), retries=0, silent_s=max(min(times), 0.0), failing=False)
