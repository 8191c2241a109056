"""The printed report, as chromium prints it: A4 and Letter, one run and several, with and without a script."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isr.report.page import Options, write_report
from isr.report.runs import read_report_run
from tests.browser.conftest import scroll_to
from tests.processes import run
from tests.runs import answer, recorded_run

pytestmark = pytest.mark.slow
FOLLOWS = {
    "How often do edits fail?": "Interval",
    "All numbers": "semantic fails",
    "Judges": "the program replay",
    "For the paper": "We report the Immunization Success Rate",
    "Specimen sheet": "source",
}
MM = 96 / 25.4
WIDTHS = {"A4": 182 * MM, "Letter": 8.5 * 96 - 28 * MM}  # between the margins, in css px


def said(number: int) -> dict[str, Any]:
    """About one answer in ten is none."""
    return answer(number) | ({"score": 9} if number % 11 == 0 else {})


def spread(rows: list[dict[str, Any]]) -> None:
    """Each method in two editors, with protected images."""
    for number, row in enumerate(rows):
        row["editor"] = ("first", "second")[number // 3 % 2]
        row["protected_file_name"] = row["source_file_name"]


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One run, three methods in two editors with undecided edits above 5 %, and two runs of two judges."""
    root = tmp_path_factory.mktemp("print")
    three = ("sifm", "mist", "noise")
    many: dict[str, Any] = {"methods": three, "change": spread, "accept": ("protected-is-source",)}
    one = recorded_run(root / "one", images=6, prompts=2)
    methods = recorded_run(root / "methods", images=8, prompts=4, say=said, **many)
    other = recorded_run(root / "other", images=8, prompts=4, **many)
    runs = {"one": [one], "methods": [methods], "judges": [methods, other]}
    return {
        name: write_report([read_report_run(r) for r in some], root / f"{name}.html")
        for name, some in runs.items()
    }


def pages_of(pdf: Path) -> list[str]:
    """The text of each page, as it stands on it."""
    if shutil.which("pdftotext") is None:
        pytest.skip("no pdftotext: apt-get install poppler-utils")
    text = run(["pdftotext", "-layout", pdf, "-"], check=True).stdout
    return text.replace("\u200b", "").split("\f")[:-1]


def printed(page: Any, to: Path, paper: str) -> list[str]:
    page.pdf(path=str(to), format=paper, print_background=True)
    return pages_of(to)


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


@pytest.mark.parametrize("paper", list(WIDTHS))
def test_every_page_has_title_date_signature_and_number(
    reports: dict[str, Path], opened: Callable[..., Any], tmp_path: Path, paper: str
) -> None:
    for name, report in reports.items():
        page = opened(report.as_uri())
        page.wait_for_selector("html[data-ready]")
        pages = printed(page, tmp_path / f"{name}.pdf", paper)
        run_ = read_report_run(report.parent / ("one" if name == "one" else "methods") / "edits.isr")
        date = str(run_.record["finished_at"])[:10]
        for number, text in enumerate(pages, 1):
            assert f"page {number} of {len(pages)}" in text, (name, text)
            assert "ISR, edits" in text
            assert date in text.splitlines()[0] + text.splitlines()[1]
            assert squeezed(run_.result.signature)[:100] in squeezed(text), (name, number)
        body = "\n".join(pages)
        assert "The gallery needs JavaScript" not in body
        for heading in ("Search", "Dark theme", "Side by side", "SVG", "Copy"):
            assert heading not in body
        assert '"digest":' not in body  # no page of JSON
        for heading, follows in FOLLOWS.items():
            (own,) = [
                text for text in pages if re.search(rf"^\s*{re.escape(heading)}\s*$", text, re.MULTILINE)
            ]
            assert follows in own.partition(heading)[2], (name, heading)  # on the heading's own page
        assert "All 12 units." in body if name == "one" else "12 of 32 units, drawn with seed 0" in body
        assert "You evaluate edits of images" in body  # what is folded on the screen


@pytest.mark.parametrize("paper", list(WIDTHS))
def test_the_forest_is_a_table_with_all_columns_and_true_axes(
    reports: dict[str, Path], opened: Callable[..., Any], paper: str
) -> None:
    for report in reports.values():
        page = opened(report.as_uri(), viewport={"width": round(WIDTHS[paper]), "height": 1000})
        page.wait_for_selector("html[data-ready]")
        page.emulate_media(media="print")
        wrong = page.evaluate(
            """() => [...document.querySelectorAll('.forest')].flatMap((table) => {
              const found = [];
              const heads = [...table.querySelectorAll('thead th')].filter((th) => th.getBoundingClientRect().width > 0).length;
              const boxes = [...table.querySelectorAll('td.plot > svg')].map((svg) => svg.getBoundingClientRect());
              if (heads < 6) found.push(`${heads} columns`);
              if (boxes.some((b) => Math.abs(b.left - boxes[0].left) > .5 || Math.abs(b.width - boxes[0].width) > .5)) found.push('axis and data differ');
              for (const row of table.querySelectorAll('tbody tr:not(.title)'))
                for (const cell of row.cells) if (cell.getBoundingClientRect().width < 4 || getComputedStyle(cell).display !== 'table-cell') found.push(cell.textContent);
              if (table.getBoundingClientRect().right > innerWidth + .5) found.push('wider than the paper');
              return found;
            })"""
        )
        assert wrong == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        over = page.evaluate(
            """() => [...document.querySelectorAll('main td, main th')].filter((c) => c.getBoundingClientRect().right > innerWidth + .5)
                 .map((c) => c.textContent)"""
        )
        assert over == []


def test_the_specimen_sheet_has_its_pictures_without_a_script(
    reports: dict[str, Path], browser: Any, tmp_path: Path, opened: Callable[..., Any]
) -> None:
    page = opened(reports["methods"].as_uri(), java_script_enabled=False)
    pages = printed(page, tmp_path / "plain.pdf", "A4")
    sheet = "\n".join(text for text in pages if "protected" in text)
    assert "sifm: edit" in squeezed(sheet).replace("sifm:edit", "sifm: edit")
    assert "You evaluate edits of images" in "\n".join(pages)
    images = run(["pdfimages", "-list", tmp_path / "plain.pdf"], check=True).stdout.splitlines()[2:]
    assert len(images) >= 12 * 2  # sources may stand in the file once for several units
    with_script = opened(reports["methods"].as_uri())
    with_script.wait_for_selector("html[data-ready]")
    assert with_script.is_hidden("#specimens")
    numbers = with_script.evaluate(
        "[...document.querySelectorAll('#specimens img')].map((i) => [i.naturalWidth, i.dataset.picture])"
    )
    assert len(numbers) == 12 * 8
    assert all(width == 16 and picture for width, picture in numbers)
    scroll_to(with_script, "gallery")
    with_script.wait_for_selector(".card img")
    held = with_script.evaluate("document.querySelectorAll('.card .empty').length")
    assert held == 0  # pictures of the sheet are those of the gallery too


def test_files_of_the_sheet_are_fetched_once_the_page_is_ready(
    reports: dict[str, Path], opened: Callable[..., Any], tmp_path: Path
) -> None:
    run_of = next((reports["methods"].parent / "methods").rglob("edits.csv")).parent
    linked = write_report([read_report_run(run_of)], run_of / "linked.html", Options(assets="link"))
    page = opened(linked.as_uri())
    there = "[...document.querySelectorAll('#specimens img')].filter((i) => i.naturalWidth).length"
    wanted = page.evaluate("document.querySelectorAll('#specimens img').length")
    assert wanted == 12 * 8
    page.wait_for_function(f"{there} === {wanted}")
    printed(page, tmp_path / "linked.pdf", "A4")
    images = run(["pdfimages", "-list", tmp_path / "linked.pdf"], check=True).stdout.splitlines()[2:]
    assert len(images) >= 12 * 2
