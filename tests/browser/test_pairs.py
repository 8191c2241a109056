"""A minus B in a real browser: the crossed tables have the numbers of ``isr compare`` and open exactly these edits."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import isr
from isr.report.page import write_report
from isr.report.runs import ReportRun, read_report_run
from isr.scoring.comparison import Comparison
from isr.types import Unit
from tests.browser.conftest import scroll_to, until
from tests.runs import answer, recorded_run

pytestmark = pytest.mark.slow
METHODS = ("mist", "noise", "sifm")
WORDS = ["immunized", "not_immunized", "undecided"]
Row = Mapping[str, str]


def said(number: int) -> dict[str, Any]:
    """Three methods that differ, and some answers that are no verdict."""
    fails = number * 37 % 11 < 4
    verdict = "perhaps" if number % 13 == 5 else "fails" if fails else "fine"
    return answer(number) | {"score": 0 if fails else 3, "verdict": verdict}


def changed(rows: list[dict[str, Any]]) -> None:
    """Two editors and two purifiers, and units that a method does not have."""
    for row in rows:
        image = int(row["image_id"][-1])
        row["editor"] = ("painter", "other painter")[image % 2]
        row["purifier"] = ("", "jpeg:q=75")[image // 2 % 2]
    del rows[4], rows[10]


def one_run(root: Path) -> tuple[list[ReportRun], Comparison]:
    run = recorded_run(root, images=6, prompts=2, say=said, change=changed, methods=METHODS)
    return [read_report_run(run)], isr.compare(run)


def random_prompts(root: Path) -> tuple[list[ReportRun], Comparison]:
    made = recorded_run(root, images=6, prompts=3, say=said, methods=METHODS[:2])
    run = root / "random.isr"
    isr.score(root / "edits", judge=str(root / "recorded.toml"), out=run, prompts="random")
    return [read_report_run(run)], isr.compare(made, prompts="random")


def two_runs(root: Path) -> tuple[list[ReportRun], Comparison]:
    """Two directories whose edits have the same ids; of one edit both hold the same file."""
    answers = dict[str, str]()
    for number, name in enumerate(("mist", "sifm")):
        place = root / name
        place.mkdir(parents=True)

        def say(n: int, shift: int = 3 * number) -> dict[str, Any]:
            return said(n + shift)

        def change(rows: list[dict[str, Any]], number: int = number, place: Path = place) -> None:
            for row in rows[1:]:  # the first edit is the same file in both
                file = place / "edits" / row["file_name"]
                file.write_bytes(file.read_bytes() + bytes([number]))
            del rows[3 + number]

        recorded_run(place, images=6, prompts=2, say=say, change=change, methods=(name,))
        for line in (place / "answers.jsonl").read_text("utf-8").splitlines():
            answers.setdefault(json.loads(line)["content"], line)
    file = root / "answers.jsonl"
    file.write_text("\n".join(answers.values()) + "\n", "utf-8")
    card = root / "recorded.toml"  # one instrument, which has answers to both
    card.write_text(f'backend = "replay"\n[engine]\nanswers = {json.dumps(str(file))}\n', "utf-8")
    homes = [root / f"{name}.isr" for name in ("mist", "sifm")]
    for home in homes:
        isr.score(root / home.stem / "edits", judge=str(card), out=home)
    return [read_report_run(h) for h in homes], isr.compare(*homes)


def sides(runs: list[ReportRun], method: str) -> dict[Unit, Row]:
    return {
        Unit(*(r[c] for c in Unit._fields)): r
        for run in runs
        for r in run.rows
        if r["arm"] == "protected" and r["method"] == method
    }


def cells(runs: list[ReportRun], first: str, second: str) -> Iterator[tuple[str, list[tuple[Row, Row]]]]:
    """Each cell's code and the two edits of each of its units, from the tables of the runs."""
    one, other = sides(runs, first), sides(runs, second)
    pairs = [(one[u], other[u]) for u in sorted(one.keys() & other.keys())]
    for a, of_first in enumerate(WORDS):
        for b, of_second in enumerate(WORDS):
            yield f"{a}{b}", [p for p in pairs if (p[0]["outcome"], p[1]["outcome"]) == (of_first, of_second)]


def shown(page: Any) -> list[str]:
    """The edits of the gallery, in its order, as the viewer goes through them."""
    scroll_to(page, "gallery")
    page.focus(".card")
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    found = []
    title = page.inner_text("#viewer-title")
    for _ in range(int(re.split(r" of | \N{MIDDLE DOT} ", title)[1])):
        found.append(page.inner_text("#viewer-title").split(" \N{MIDDLE DOT} ")[1])
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    return found


@pytest.mark.parametrize("made", [one_run, random_prompts, two_runs])
def test_cells_have_the_numbers_of_compare_and_open_their_edits(
    made: Callable[[Path], tuple[list[ReportRun], Comparison]], tmp_path: Path, opened: Callable[..., Any]
) -> None:
    runs, comparison = made(tmp_path)
    page = opened(write_report(runs, tmp_path / "report.html").as_uri())
    page.wait_for_selector("html[data-ready]")
    sizes = set[int]()
    for number, one in enumerate(comparison.family):
        assert one.mcnemar is not None
        expected = dict(cells(runs, one.first, one.second))
        assert (len(expected["01"]), len(expected["10"])) == (one.mcnemar.only_first, one.mcnemar.only_second)
        assert sum(len(v) for c, v in expected.items() if "2" in c) == one.undecided
        assert sum(len(v) for c, v in expected.items() if "2" not in c) == one.difference.n
        for code, pairs in expected.items():
            link = page.locator(f'a[href="#set=pair:0.{number}.{code}"]')
            assert link.count() == bool(pairs)
            if not pairs:
                continue
            assert link.inner_text() == str(len(pairs))
            assert link.get_attribute("aria-label").startswith(f"{len(pairs)} unit")
            link.click()
            ids = [r["edit_id"] for pair in pairs for r in pair]
            if runs[-1] is not runs[0] and pairs[0][0]["edit_sha256"] == pairs[0][1]["edit_sha256"]:
                del ids[1]  # one file is one entry
            until(
                page, "(n) => document.getElementById('count').textContent.startsWith(n + ' of ')", len(ids)
            )
            assert shown(page) == ids, (one.first, one.second, code)
            sizes.add(len(pairs))
    assert len(sizes) > 1
    table = page.locator('.pair[data-pair="0.0"] .crossing')
    assert table.locator("thead th").nth(0).inner_text() == comparison.family[0].second
    assert table.locator("thead th").nth(1).inner_text() == comparison.family[0].first


def test_the_reader_chooses_a_baseline_and_a_bad_address_shows_everything(
    tmp_path: Path, opened: Callable[..., Any], violations: Callable[[Any], list[str]]
) -> None:
    runs, _ = one_run(tmp_path)
    report = write_report(runs, tmp_path / "report.html").as_uri()
    page = opened(report)
    page.wait_for_selector("html[data-ready]")
    visible = "[...document.querySelectorAll('.pair')].filter((p) => p.checkVisibility()).map((p) => p.dataset.first + '/' + p.dataset.second)"
    rows = "[...document.querySelectorAll('#comparison tbody [data-pair] > th')].filter((r) => r.checkVisibility()).length"
    assert page.evaluate(visible) == ["mist/noise", "mist/sifm", "noise/sifm"]
    assert page.evaluate(rows) == 6
    holm = [m.inner_text() for m in page.locator("#comparison-1 tbody td:nth-child(5)").all()]
    page.select_option("#baseline", "sifm")
    assert page.evaluate(visible) == ["mist/sifm", "noise/sifm"]
    assert page.evaluate(rows) == 4
    assert [m.inner_text() for m in page.locator("#comparison-1 tbody td:nth-child(5)").all()][1:] == holm[1:]
    assert page.evaluate("location.hash") == "#baseline=sifm"
    assert page.is_visible("#against-note")
    assert violations(page) == []
    page.go_back()
    until(page, f"{rows} === 6")
    page.goto(f"{report}#baseline=noise")
    until(page, f"{rows} === 4")
    every = page.inner_text("#count")
    page.set_viewport_size({"width": 390, "height": 800})  # rows are a grid there
    assert page.evaluate(rows) == 4
    for bad in ("pair:0.9.01", "pair:9.0.01", "pair:0.0.33", 'pair:0.0.01"]', "pair:__proto__", "pair:0.0", "constructor:x"):  # fmt: skip
        page.evaluate("(x) => { location.hash = `set=${encodeURIComponent(x)}`; }", bad)
        assert page.inner_text("#count") == every
    page.evaluate("location.hash = 'baseline=__proto__'")
    until(page, f"{rows} === 6")


def test_hostile_names_are_shown_as_text_and_widen_nothing(
    tmp_path: Path, opened: Callable[..., Any]
) -> None:
    names = ("<img src=x onerror=alert(1)>", "W" * 140, 'שלום "q" \' &amp;')

    def change(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            row["method"] = names[METHODS.index(row["method"])]

    run = recorded_run(tmp_path, images=4, prompts=2, say=said, change=change, methods=METHODS)
    page = opened(
        write_report([read_report_run(run)], run / "report.html").as_uri(),
        viewport={"width": 390, "height": 800},
    )
    page.wait_for_selector("html[data-ready]")
    assert sorted(page.locator("#baseline option").evaluate_all("(x) => x.map((o) => o.value)")) == sorted(("", *names))  # fmt: skip
    assert page.locator("#comparison img").count() == 0
    width = (
        "(s) => Math.max(...[...document.querySelectorAll(s)].map((e) => e.getBoundingClientRect().right))"
    )
    assert page.evaluate(width, ".pair, .crossing, #baseline") <= 390
    page.select_option("#baseline", names[0])
    assert page.locator(".pair:visible").count() == 2
