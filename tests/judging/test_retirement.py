"""A retired judge is asked nothing new, and what was recorded of it can be scored for ever."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from isr.errors import RetiredError
from isr.judging.backends import open_judge, open_writer
from isr.judging.retirement import is_past
from isr.scoring.options import Options
from isr.scoring.run import Run, Watch, run
from tests.chat_server import Running, serving
from tests.directories import make_directory
from tests.samples import a_card

DAY = "2026-12-01"
BEFORE, ON, AFTER = date(2026, 11, 30), date(2026, 12, 1), date(2027, 3, 1)


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with serving() as running:
        yield running


@pytest.fixture
def judge(tmp_path: Path, server: Running) -> str:
    server.change(reports="")
    card = tmp_path / "old.toml"
    card.write_text(
        f'backend = "openai_chat"\nmodel = "test-model"\nretires_on = "{DAY}"\n[endpoint]\nbase_url = "{server.base_url}"\n'
    )
    make_directory(tmp_path / "e", images=2, prompts=2)
    return str(card)


def score(tmp_path: Path, judge: str, today: date, **fields: object) -> Run:
    watch = Watch(today=lambda: today)
    return asyncio.run(run(Options(directory=tmp_path / "e", judge=judge, **fields), watch))  # type: ignore[arg-type]


def test_the_day_itself_is_too_late() -> None:
    card = a_card(retires_on=DAY)
    assert [is_past(card, d.isoformat()) for d in (BEFORE, ON, AFTER)] == [False, True, True]
    assert not is_past(a_card(), "9999-01-01")


def test_new_calls_are_refused_and_nothing_is_asked(tmp_path: Path, judge: str, server: Running) -> None:
    calls = server.stats()["calls"]
    with pytest.raises(RetiredError, match=r"retires on 2026-12-01.*16 requests have no recorded answer"):
        score(tmp_path, judge, ON)
    assert server.stats()["calls"] == calls


def test_what_was_recorded_is_scored_for_ever_with_the_same_bytes(
    tmp_path: Path, judge: str, server: Running
) -> None:
    first = score(tmp_path, judge, BEFORE)
    bytes_ = (first.out / "result.json").read_bytes()
    calls = server.stats()["calls"]
    again = score(tmp_path, judge, AFTER)
    assert again.exit_code == 0
    assert (again.out / "result.json").read_bytes() == bytes_
    assert server.stats()["calls"] == calls


def test_what_is_missing_of_a_retired_judge_stays_undecided(
    tmp_path: Path, judge: str, server: Running
) -> None:
    """The result of what was recorded is written; the rest is named, and was not asked."""
    score(tmp_path, judge, BEFORE, limit=1)
    calls = server.stats()["calls"]
    done = score(tmp_path, judge, AFTER)
    assert done.exit_code == 3
    assert "12 requests have no recorded answer (4 have)" in done.progress.stopped
    assert done.unfinished == {"not_asked": 12}
    assert server.stats()["calls"] == calls


def test_asking_all_the_same_stands_in_signature_and_result(tmp_path: Path, judge: str) -> None:
    done = score(tmp_path, judge, AFTER, allow_retired=True)
    assert done.exit_code == 0
    assert "|retired=allowed" in done.result.signature


def test_answers_received_after_the_date_are_told_on_any_day(tmp_path: Path, judge: str) -> None:
    """The date of the answers decides, not today's: a result depends on no clock."""
    card = Path(judge)
    card.write_text(card.read_text().replace(DAY, "2020-01-01"))
    done = score(tmp_path, judge, AFTER, allow_retired=True)
    (said,) = json.loads((done.out / "result.json").read_text())["answered"]
    assert said["level"] == "warning"
    assert said["text"].startswith("old: 16 of 16 answers were received from ")
    assert "2020-01-01 by its card" in said["text"]
    assert score(tmp_path, judge, BEFORE, allow_retired=True).result.answered == done.result.answered


def test_whoever_opens_a_judge_meets_the_date() -> None:
    """Checks, writers, and whatever asks beside the loop."""
    card = a_card(retires_on="2020-01-01")
    for opened in (open_judge, open_writer):
        with pytest.raises(RetiredError, match="allow-retired"):
            opened(card)  # type: ignore[operator]
    asyncio.run(open_judge(card, allow_retired=True).close())
