"""One source, all methods: prompts and editors down, no protection and each method across; a picture opens its edit."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isr.report.page import write_report
from isr.report.runs import read_report_run
from isr.types import Unit
from tests.browser.conftest import scroll_to, until
from tests.gallery_runs import contrary, judged_runs, undecided_often
from tests.runs import answer

pytestmark = pytest.mark.slow

TABLE = """() => [...document.querySelectorAll("#sources-rows tr")].map((row) => [...row.children].map((cell) => ({
  text: cell.innerText, frames: [...cell.querySelectorAll(".framed")].map((f) => f.className.split(" ").pop()), marks: cell.querySelectorAll(".mark").length,
})))"""
HASH = "new URLSearchParams(location.hash.slice(1))"
FRAMES = {"immunized": "f0", "not_immunized": "f1", "undecided": "f2"}


def test_every_edit_of_a_source_stands_under_its_method(
    many: Path, opened: Callable[..., Any], violations: Callable[[Any], list[str]]
) -> None:
    page = opened(
        (many / "report.html").as_uri() + "#source=image-0002&method=alpha%2C+eps+0.03&view=sources"
    )
    page.wait_for_selector("html[data-ready]")
    until(page, "Math.abs(document.getElementById('sources').getBoundingClientRect().top) < 2")
    heads = page.locator("#sources-head th").all_inner_texts()
    assert heads[1] == "no protection"
    assert [h.partition(", eps")[2] for h in heads[2:]] == [" 0.06", " 0.03"]
    originals, *lines = page.evaluate(TABLE)
    assert len(lines) == 6  # 3 prompts x 2 editors
    assert {cell["text"].split("\n")[1] for cell, *_ in lines} == {
        "painter \N{MIDDLE DOT} no purifier",
        "second editor \N{MIDDLE DOT} jpeg-75",
    }
    assert [c["text"].split("\n")[-1] for c in originals[1:]] == ["source", "protected", "protected"]
    runs = [read_report_run(many / name) for name in ("single.isr", "panel.isr")]
    outcomes: dict[str, list[str]] = {}
    for run in runs:
        for row in run.rows:
            if row["arm"] == "protected" and row["image_id"] == "image-0002":
                outcomes.setdefault(row["edit_id"], []).append(row["outcome"])
    said = [FRAMES[some[0]] if len(set(some)) == 1 else "fx" for some in outcomes.values()]
    cells = [cell for line in lines for cell in line[2:]]
    assert sorted(f for c in cells for f in c["frames"]) == sorted(said)
    assert "fx" in said
    assert {c["marks"] for c in cells} == {6}  # two for each of three judges
    controls: dict[str, list[str]] = {}
    for run in runs:
        for row in run.controls:
            if row["image_id"] == "image-0002":
                controls.setdefault(row["edit_id"], []).append(row["outcome"])
    assert sorted(f for line in lines for f in line[1]["frames"]) == sorted(
        FRAMES[some[0]] if len(set(some)) == 1 else "fx" for some in controls.values()
    )

    cell = page.locator(
        "#sources-rows tr:nth-child(2) td:nth-child(3) button"
    )  # not of the method that is shown
    cell.click()
    key = page.evaluate(f"{HASH}.get('edit')")
    assert key in outcomes
    assert key in page.inner_text("#viewer-title")
    assert violations(page) == []
    page.evaluate("history.back()")
    until(page, "!document.getElementById('viewer').open")
    assert page.evaluate(f"{HASH}.get('source')") == "image-0002"
    assert violations(page) == []
    page.locator("#sources-rows tr:nth-child(2) td:nth-child(2) button").click()
    assert page.evaluate(f"{HASH}.get('edit')") in outcomes  # a control edit opens an edit of its unit
    page.keyboard.press("Escape")
    until(page, f"!{HASH}.has('edit')")

    page.click("#source-after")
    assert page.input_value("#source") == "image-0003"
    assert page.evaluate(f"{HASH}.get('source')") == "image-0003"
    page.evaluate("history.back()")
    until(page, "document.getElementById('source').value === 'image-0002'")
    page.fill("#source", "image-0005")
    assert page.inner_text("#source-title") == "image-0005: 12 edits"


def test_from_an_opened_edit_to_all_methods_of_its_source(many: Path, opened: Callable[..., Any]) -> None:
    page = opened((many / "report.html").as_uri() + "#image_id=image-0004")
    page.wait_for_selector("html[data-ready]")
    scroll_to(page, "gallery")
    page.click(".card")
    page.click("#same-source")
    until(page, "Math.abs(document.getElementById('sources').getBoundingClientRect().top) < 2")
    assert not page.evaluate("document.getElementById('viewer').open")
    assert page.input_value("#source") == "image-0004"
    page.evaluate("history.back()")
    until(page, "document.getElementById('viewer').open")  # back to the edit


def test_on_a_phone_the_first_column_stays(many: Path, opened: Callable[..., Any]) -> None:
    page = opened((many / "report.html").as_uri(), viewport={"width": 390, "height": 844})
    page.wait_for_selector("html[data-ready]")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    left = "document.querySelector('#sources-rows tr:nth-child(2) th').getBoundingClientRect().left"
    method = (
        "document.querySelector('#sources-rows tr:nth-child(2) td:last-child').getBoundingClientRect().left"
    )
    before = (page.evaluate(left), page.evaluate(method))
    page.evaluate("document.querySelector('#sources .wide').scrollLeft = 150")
    assert page.evaluate(left) == before[0]
    assert page.evaluate(method) == before[1] - 150


SAID = {"immunized": "fails", "not_immunized": "does not fail", "undecided": "undecided"}


def test_what_each_run_says_of_a_control_edit_is_told_as_its_own(
    opened: Callable[..., Any], tmp_path: Path
) -> None:
    panels = {"single": [answer], "panel": [lambda n: undecided_often(n) if n % 7 == 1 else contrary(n)]}
    folders = judged_runs(tmp_path, panels)
    single, panel = (read_report_run(folder) for folder in folders)
    write_report([single, panel], tmp_path / "report.html")
    by_unit = [
        {tuple(r[c] for c in Unit._fields): r["outcome"] for r in run.controls} for run in (single, panel)
    ]
    rows = [r for r in single.rows if r["arm"] == "protected"]
    said = {r["edit_id"]: [some[tuple(r[c] for c in Unit._fields)] for some in by_unit] for r in rows}
    name = next(n for n, (a, b) in said.items() if a != "immunized" and b == "immunized")  # the second alone
    first, second = (SAID[o] for o in said[name])
    url = (tmp_path / "report.html").as_uri()
    page = opened(f"{url}#verdict=control&edit={name}", accept_downloads=True)
    page.wait_for_selector("html[data-ready]")
    assert f"control edit: single {first}, panel {second}" in page.inner_text("#verdicts")
    page.keyboard.press("Escape")
    some = sum("immunized" in x for x in said.values())
    assert page.inner_text("#count") == f"{some} of {len(rows)}"
    page.evaluate("location.hash = '#control=undecided'")
    until(
        page,
        f"document.getElementById('count').textContent === '{sum('undecided' in x for x in said.values())} of {len(rows)}'",
    )
    page.evaluate("location.hash = ''")
    until(page, f"document.getElementById('count').textContent === String({len(rows)})")
    with page.expect_download() as waiting:
        page.evaluate("document.getElementById('save-edits').click()")
    waiting.value.save_as(tmp_path / "edits.csv")
    saved = list(csv.DictReader(io.StringIO((tmp_path / "edits.csv").read_text("utf-8"), newline="")))
    assert {r["edit_id"]: [r["control_outcome: single"], r["control_outcome: panel"]] for r in saved} == {
        n: [o.replace("_", " ") for o in some] for n, some in said.items()
    }
    image = next(r["image_id"] for r in rows if r["edit_id"] == name)
    page.evaluate("image => { location.hash = `#source=${image}`; }", image)
    until(page, "image => document.getElementById('source').value === image", image)
    cells = [line[1] for line in page.evaluate(TABLE)[1:]]
    assert f"single: {first}\npanel: {second}" in [c["text"] for c in cells if c["frames"] == ["fx"]]


def test_a_unit_with_a_purifier_says_so_in_its_title_and_where_its_control_is_missing(
    opened: Callable[..., Any], tmp_path: Path
) -> None:
    def change(edits: Path, rows: list[dict[str, Any]]) -> None:
        for row in [row for row in rows if row["file_name"].endswith("-1-0.png")]:
            del row["control_file_name"]
            row["purifier"] = "jpeg-75"
        for row in [row for row in rows if row["file_name"].endswith("-2-0.png")]:
            del row["control_file_name"]

    folders = judged_runs(tmp_path, {"one": [answer]}, images=2, methods=("alpha",), change=change)
    write_report([read_report_run(folders[0])], tmp_path / "report.html")
    page = opened((tmp_path / "report.html").as_uri())
    page.wait_for_selector("html[data-ready]")
    texts = [line[1]["text"] for line in page.evaluate(TABLE)[1:]]
    assert len(texts) == 3
    assert {"no control edit", "no control edit under this purifier"} < set(texts)
    row = page.locator("#sources-rows tr", has_text="no control edit under this purifier")
    row.locator("button").click()
    assert " \N{MIDDLE DOT} purifier jpeg-75" in page.inner_text("#viewer-title")
