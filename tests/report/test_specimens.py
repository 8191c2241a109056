"""The specimen sheet: what is drawn, and what stands on it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from isr.canonical import sha256_json
from isr.report.assets import Assets
from isr.report.gallery import gallery
from isr.report.page import write_report
from isr.report.runs import read_report_run
from isr.report.specimens import MOST, sheet, specimens
from tests.gallery_runs import contrary, judged_runs
from tests.runs import HOSTILE, answer, recorded_run

UNITS = {(f"image-{i}", "p"): frozenset({("sifm", "immunized")}) for i in range(40)}


def test_a_draw_is_that_of_its_seed_and_can_be_repeated_by_hand() -> None:
    drawn = specimens(UNITS, 0, 12)
    by_hand = sorted(UNITS, key=lambda unit: sha256_json([0, *unit]))[:12]
    assert drawn == sorted(by_hand, key=list(UNITS).index)
    assert drawn == specimens(dict(reversed(UNITS.items())), 0, 12)[::-1]  # whatever the order of the data
    assert drawn != specimens(UNITS, 1, 12)
    assert specimens(UNITS, 0, 100) == list(UNITS)
    assert set(specimens(UNITS, 0, 6)) < set(drawn)


def test_rare_outcomes_of_each_method_are_met() -> None:
    rare = {("a", "undecided"): 39, ("b", "not_immunized"): 17, ("c", "immunized"): 23}
    units = dict(UNITS)
    for stratum, number in rare.items():
        units[f"image-{number}", "p"] |= {stratum}
    for seed in range(30):
        drawn = specimens(units, seed, 4)
        assert len(drawn) == 4
        assert set(rare) | {("sifm", "immunized")} == frozenset().union(*(units[u] for u in drawn))
    assert len(specimens(units, 0, 2)) == 2


def said(number: int) -> dict[str, Any]:
    return answer(number) | ({"score": 9} if number == 5 else {})


def protected(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        row["protected_file_name"] = row["source_file_name"]
    for row in rows[:2]:
        row["prompt"] = HOSTILE


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded_run(
        tmp_path_factory.mktemp("sheet"), images=8, prompts=4, say=said, change=protected,
        methods=("alpha", "beta"), accept=("protected-is-source",),
    )  # fmt: skip


def test_the_sheet_tells_how_it_was_drawn_and_what_became_of_each_edit(run: Path) -> None:
    read = read_report_run(run)
    data = gallery([read], Assets(page=run))
    made = sheet(data)
    assert len(made.specimens) == MOST
    assert made.drawn.startswith("12 of 32 units, drawn with seed 0 in the order of SHA-256")
    assert "every outcome that a method has is shown" in made.drawn
    assert "They are examples: no rate can be read from them." in made.drawn
    shots = made.specimens[0].shots
    assert [s.role for s in shots] == [
        "source", "control edit", "alpha: protected", "alpha: edit", "beta: protected", "beta: edit",
    ]  # fmt: skip
    assert all(s.number for s in shots)
    by_name = {r["edit_id"]: r for r in read.rows if r["arm"] == "protected"}
    outcomes = {r["outcome"].replace("_", " ") for r in by_name.values()}
    assert {s.outcome for unit in made.specimens for s in unit.shots if s.role.endswith("edit")} == outcomes
    verdicts = [line for unit in made.specimens for s in unit.shots for line in s.verdicts]
    assert len(verdicts) == 2 * MOST
    assert any("undecided (off scale)" in line for line in verdicts)
    assert all(re.fullmatch(r"semantic \w+ \([\w ]+\), perceptual \w+ \([\w ]+\)", line) for line in verdicts)
    few = sheet(data, n=1)
    assert "1 of 32 units" in few.drawn
    assert re.search(r"so that \d of the 5 outcomes of methods is shown", few.drawn)
    assert sheet(data, n=99).drawn == "All 32 units."


def test_what_runs_say_of_a_control_edit_stands_by_run_where_they_differ(tmp_path: Path) -> None:
    folders = judged_runs(tmp_path, {"one": [answer], "two": [contrary]}, images=4, methods=("alpha",))
    runs = [read_report_run(path) for path in folders]
    made = sheet(gallery(runs, Assets(page=tmp_path, mode="none")))
    words = set()
    for unit in made.specimens:
        said = [
            r["outcome"].replace("_", " ")
            for run in runs
            for r in run.controls
            if " \N{MIDDLE DOT} ".join((r["image_id"], r["prompt_id"])) == unit.name
        ]
        (control,) = (s.outcome for s in unit.shots if s.role == "control edit")
        assert control == (said[0] if len(set(said)) == 1 else f"{said[0]} (one), {said[1]} (two)")
        words.add(control)
    assert {"immunized (one), not immunized (two)", "not immunized (one), immunized (two)"} & words


def test_pictures_of_the_sheet_are_in_the_page_once(run: Path) -> None:
    page = write_report([read_report_run(run)], run / "report.html").read_text("utf-8")
    shown = set(re.findall(r'<img src="(data:[^"]+)" [^>]*data-picture="\d+"', page))
    assert len(shown) > 2 * MOST
    (images,) = re.findall(r'<script[^>]*id="images"[^>]*>(.*?)</script>', page)
    assert not any(url in images for url in shown)
