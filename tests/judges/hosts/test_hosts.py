"""What a user gets from each behaviour of a judge's host: outcome, exit code, number of requests, words.

The behaviours are those of ``tests.judges.hosts.server``. 4 photographs, 2 prompts, 2 arms and 2 questions are
32 requests; 14 of them are about one of the 7 pictures that a host flags, if it flags any.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.directories import make_directory
from tests.judges.hosts.forking import Commands, Said, commands
from tests.judges.hosts.rows import ALL, IN_FLIGHT, ROWS, Row
from tests.judges.hosts.server import BEHAVIOURS, Hosts, serving


@dataclass(frozen=True, kw_only=True)
class Place:
    """A server that behaves, an edit directory, and the command."""

    hosts: Hosts
    edits: Path
    isr: Commands

    def card(self, folder: Path, row: Row, host: str = "127.0.0.1") -> Path:
        """The card of a row, as somebody would write it for that host."""
        limits = "".join(
            f"{k} = {v}\n" for k, v in {"concurrency": IN_FLIGHT, "max_wait_s": 3.0, **row.limits}.items()
        )
        path = folder / "judge.toml"
        path.write_text(
            f'backend = "openai_chat"\nmodel = "{row.model}"\n{row.fields}'
            f'[endpoint]\nbase_url = "{self.hosts.base_url(row.path, host)}"\n[limits]\n{limits}',
            "utf-8",
        )
        return path


@dataclass(frozen=True, kw_only=True)
class Got:
    """What one command came to."""

    said: Said
    asked: Mapping[str, int]
    undecided: Mapping[str, int] = field(default_factory=dict)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("hosts")
    make_directory(folder / "edits", images=4, prompts=2)
    env = {**os.environ, "ISR_CONFIG": str(folder / "none.toml")}
    with serving() as hosts, commands(folder, env) as isr:
        yield Place(hosts=hosts, edits=folder / "edits", isr=isr)


def score(place: Place, row: Row, folder: Path) -> Got:
    """Scores the directory with the judge of a row."""
    out = folder / "run"
    said = place.isr.isr(
        "score", place.edits, "--judge", place.card(folder, row), "--out", out, "--no-report", "--quiet", *row.args
    )  # fmt: skip
    return Got(said=said, asked=place.hosts.stats(row.path), undecided=reasons(out))


def reasons(out: Path) -> dict[str, int]:
    """Undecided requests of a run by their reasons; none without a result."""
    if not (out / "result.json").exists():
        return {}
    result = json.loads((out / "result.json").read_text("utf-8"))
    found: dict[str, int] = {}
    for part in [*result["treatments"], result["control"]]:
        for entry in part["counts"]["undecided"]:
            found[entry["reason"]] = found.get(entry["reason"], 0) + entry["n"]
    return found


def cases() -> Iterator[object]:
    for row in ROWS:
        marks = [pytest.mark.slow] if row.slow else []
        yield pytest.param(row, id=row.path, marks=marks)


@pytest.mark.parametrize("row", tuple(cases()))
def test_what_a_user_gets(row: Row, place: Place, tmp_path: Path) -> None:
    if row.command == "check":
        said = place.isr.isr("judges", "check", place.card(tmp_path, row), *row.args)
        got = Got(said=said, asked=place.hosts.stats(row.path))
    else:
        got = score(place, row, tmp_path)
    shown = f"{got.said.text}\nasked: {dict(got.asked)}; undecided: {dict(got.undecided)}"
    assert got.said.code == row.code, shown
    assert not [words for words in row.words if words.lower() not in got.said.text.lower()], shown
    assert not [words for words in row.never if words.lower() in got.said.text.lower()], shown
    assert not [words for words in row.once if got.said.text.count(words) > 1], shown
    assert got.asked["calls"] <= row.most, shown
    if row.command == "score":
        if row.undecided is not None:
            assert set(got.undecided) == set(row.undecided), shown
            for reason, numbers in row.undecided.items():
                assert got.undecided[reason] in numbers, shown
        if row.code == 0:
            assert_nothing_is_left(place, row, tmp_path, got)


def assert_nothing_is_left(place: Place, row: Row, folder: Path, before: Got) -> None:
    """The same command again asks nothing and finds the same."""
    again = score(place, row, folder)
    assert again.said.code == 0, again.said.text
    assert again.asked == before.asked
    assert again.undecided == before.undecided


def test_every_behaviour_has_a_row() -> None:
    assert {row.behaviour for row in ROWS} == {
        b for b in BEHAVIOURS if not b.startswith("host-")
    }  # test_steps.py
    assert len({row.path for row in ROWS}) == len(ROWS)


def test_no_row_allows_more_requests_than_one_for_each_question_without_a_reason() -> None:
    for row in ROWS:
        assert row.most <= 1.2 * ALL or row.why_more, row.path


def test_answers_of_two_hosts_under_one_judge_are_named(place: Place, tmp_path: Path) -> None:
    row = Row(behaviour="plain", case="two-hosts", code=0)
    first = place.isr.isr(
        "score", place.edits, "--judge", place.card(tmp_path, row), "--out", tmp_path / "run", "--limit", 4,
        "--no-report", "--quiet",
    )  # fmt: skip
    assert first.code == 0, first.text
    place.card(tmp_path, row, "localhost")
    second = place.isr.isr(
        "score", place.edits, "--judge", tmp_path / "judge.toml", "--out", tmp_path / "run", "--replace",
        "--no-report", "--quiet",
    )  # fmt: skip
    assert second.code == 0, second.text
    assert place.hosts.stats(row.path)["calls"] == ALL
    for host in (f"127.0.0.1:{place.hosts.port}", f"localhost:{place.hosts.port}", "deployment"):
        assert host in second.text
