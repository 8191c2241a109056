"""How a run goes at this moment, by a clock that the test winds."""

from __future__ import annotations

import pytest

from isr.cli._progress import line
from isr.errors import TransportError
from isr.judging import progress as judging
from isr.judging.pace import Pace, nothing_arrives
from isr.judging.progress import Progress


def test_rate_and_silence_are_those_of_the_last_half_minute() -> None:
    pace = Pace()
    assert pace.lately(0.0) is None
    pace.begin(0.0)
    for tenth in range(1, 601):  # ten a second for a minute
        pace.arrived(tenth / 10)
    now = pace.lately(60.0)
    assert now is not None
    assert now.rate == pytest.approx(10, rel=0.04)
    assert now.silent_s == 0
    assert len(pace.marks) < 40
    for second in range(61, 80):
        pace.failed(float(second))
    now = pace.lately(80.0)
    assert now is not None
    assert (now.retries, now.silent_s, now.failing) == (19, 20.0, True)
    assert now.rate == pytest.approx(10 / 3, rel=0.1)  # ten of its thirty seconds
    later = pace.lately(200.0)
    assert later is not None
    assert (later.answers, later.retries) == (0, 0)


def test_the_first_seconds_are_no_half_minute() -> None:
    pace = Pace()
    pace.begin(100.0)
    for second in (101.0, 102.0, 103.0, 104.0):
        pace.arrived(second)
    now = pace.lately(104.0)
    assert now is not None
    assert (now.seconds, now.rate) == (4.0, 1.0)


@pytest.mark.parametrize(
    ("silent", "failing", "said"),
    [
        (4.0, True, ""),
        (12.0, True, "no answer for 12 s; 1 retry in the last 12 s; last error: 503 (down)"),
        (12.0, False, ""),  # a judge may be slow
        (40.0, False, "no answer for 40 s"),
    ],
)
def test_that_nothing_arrives_is_told(silent: float, failing: bool, said: str) -> None:
    pace = Pace()
    pace.begin(0.0)
    if failing:
        pace.failed(1.0)
    assert nothing_arrives(pace.lately(silent), "503 (down)") == said


def test_a_storm_is_told_on_the_line_of_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(judging.time, "monotonic", lambda: clock[0])
    progress = Progress(total=336)
    progress.asks()
    for clock[0] in range(1, 28):
        progress.arrived()
        progress.arrived()
    assert line(progress, 27.0) == "54/336, 2.0/s, 2:21 left"
    for clock[0] in range(28, 52):
        progress.retried(TransportError("server_error", "host: 503\x1b[2J (overloaded)"))
    assert line(progress, 51.0) == (
        "54/336, 0.5/s, no answer for 24 s; 24 retries in the last 30 s; last error: host: 503?[2J (overloaded), 24 retries"
    )
    clock[0] = 52
    progress.arrived()
    assert "no answer" not in line(progress, 52.0)
    progress.total = progress.done
    clock[0] = 500
    assert progress.waits == ""  # nothing is left to ask
