"""The figures of a run in another process: going on, silent, finished, gone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from isr.judging.progress import Progress
from isr.scoring.places import finished_at
from isr.web.figures import GONE, Elsewhere, of_progress
from tests.runs import recorded_run

NOW = datetime(2126, 1, 1, 12, tzinfo=UTC)


def answers(*ages: float, now: datetime = NOW) -> list[dict[str, Any]]:
    """Answers that came so many seconds ago; the first one is a refusal."""
    return [
        {"at": (now - timedelta(seconds=age)).isoformat(), "reason": "" if i else "refusal"}
        for i, age in enumerate(ages)
    ]


def test_a_run_elsewhere_goes_on_is_silent_or_gone(tmp_path: Path) -> None:
    found: list[dict[str, Any]] = answers(1, 2, 3, 40)
    opened: list[bool | None] = [True]
    run = Elsewhere(
        home=tmp_path, chosen=None, newest=lambda: found, count=lambda: 70, is_open=lambda: opened[0]
    )
    now = run.figures(NOW)
    assert (now["state"], now["rate"], now["done"], now["total"]) == ("running", 3 / 30, 70, None)
    assert (now["undecided_count"], now["undecided_of"], now["too_many"]) == (1, 4, True)
    silent = run.figures(NOW + timedelta(seconds=60))
    assert (silent["state"], silent["words"], silent["rate"]) == ("waiting", "no answer for 61 s", None)
    opened[0] = False
    later = NOW + timedelta(seconds=61)
    assert run.figures(later)["state"] == "running"  # it may be about to write its result
    gone = run.figures(later + timedelta(seconds=4))
    assert (gone["state"], gone["words"]) == ("gone", GONE)
    opened[0] = None  # where the system cannot tell
    assert run.figures(later + timedelta(seconds=70))["state"] == "waiting"
    found[:] = []
    assert run.figures(later)["rate"] is None


def test_a_finished_run_has_ended_unless_answers_came_after_it(tmp_path: Path) -> None:
    folder = recorded_run(tmp_path, images=2, prompts=2)
    end = datetime.fromisoformat(finished_at(folder))
    found = answers(5, 6, now=end)
    opened = [False]
    run = Elsewhere(
        home=folder, chosen=None, newest=lambda: found, count=lambda: 16, is_open=lambda: opened[0]
    )
    now = run.figures(end)
    assert (now["state"], now["done"], now["total"], now["folder"]) == ("finished", 16, 16, str(folder))
    assert now["results"][0].startswith("ISR ")
    assert list(run.names().values()) == ["recorded"]
    opened[0] = True  # somebody goes on with it
    assert run.figures(end)["state"] == "running"
    opened[0] = False
    found[:] = answers(-5, now=end)
    assert run.figures(end + timedelta(seconds=6))["state"] == "running"
    assert run.figures(end + timedelta(seconds=10))["state"] == "gone"


def test_undecided_is_there_from_the_first_answer() -> None:
    progress = Progress(total=8)
    now = of_progress(progress)
    assert (now["state"], now["undecided_count"], now["undecided_of"], now["too_many"]) == (
        "running",
        0,
        0,
        False,
    )
    progress.answered = 4
    progress.undecided["refusal"] = 1
    now = of_progress(progress)
    assert (now["undecided_count"], now["undecided_of"], now["too_many"]) == (1, 4, True)
    progress.answered = 8
    assert of_progress(progress)["state"] == "writing"
