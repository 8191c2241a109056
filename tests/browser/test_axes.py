"""Axes and rates on every width, on screen and in print: the scale is true under each block, no name pushes a number away."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from isr.report.page import Options, write_report
from isr.report.runs import named_runs, read_report_run
from tests import processes
from tests.runs import recorded_run

pytestmark = pytest.mark.slow
WIDTHS = (320, 390, 600, 700, 701, 768, 900, 901, 1024, 1440)
A4 = 718  # CSS pixels of a page with margins of 1 cm
LONG = "W" * 140

PLOTS = """() => [...document.querySelectorAll("table.forest")].flatMap((table) => [...table.tBodies].map((block) => {
  const box = (svg) => { const r = svg.getBoundingClientRect(); return [r.left, r.width].map((x) => Math.round(10 * x) / 10).join(" "); };
  const data = [...block.querySelectorAll("tr:not(.axis) td.plot > svg")].map(box);
  const axes = [...block.querySelectorAll("tr.axis td.plot > svg")];
  const words = axes.map((svg) => [...svg.querySelectorAll("text")].map((t) => t.textContent));
  return { data, axes: axes.map(box), words, last: block.rows[block.rows.length - 1].className };
}))"""
CELLS = """() => [...document.querySelectorAll("table.forest tbody tr")].flatMap((row) =>
  [...row.querySelectorAll("td.num:not(.images)")].filter((cell) => innerWidth > 1100 || !cell.matches(".apart")).map((cell) => {
    const range = document.createRange();
    range.selectNodeContents(cell);
    const r = range.getBoundingClientRect();
    return { text: cell.innerText.trim(), left: r.left, right: r.right, shown: r.width > 0 && r.height > 0 };
  }))"""
SAID = """() => [...document.querySelectorAll("#rates .forest td.rate")].map((cell) =>
  [cell, cell.nextElementSibling, cell.nextElementSibling.nextElementSibling].map((c, i) => (i ? c.textContent : c.innerText).trim()))"""
TWICE = """() => [...document.querySelectorAll("#rates .forest td.rate")].filter((cell) =>
  (cell.querySelector(".narrow").getClientRects().length > 0) === (cell.nextElementSibling.getClientRects().length > 0)).map((cell) => cell.innerText)"""
MARKS = """() => [...document.querySelectorAll("table.forest:not(.differences) tr")].flatMap((row) => {
  const dot = row.querySelector(".dot"), axis = row.closest("tbody")?.querySelector("tr.axis svg");
  if (!dot || !axis) return [];
  const d = dot.getBoundingClientRect(), a = axis.getBoundingClientRect();
  return [[parseFloat(row.querySelector(".rate").innerText), 100 * (d.left + d.width / 2 - a.left) / a.width]];
})"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def change(rows: list[dict[str, Any]]) -> None:
        for number, row in enumerate(rows):
            row["split"] = ("seen", "unseen")[number % 4 // 2]

    root = tmp_path_factory.mktemp("axes")
    run = recorded_run(root, images=4, prompts=3, methods=("alpha", LONG), change=change)
    return write_report([read_report_run(run)], root / "report.html", Options(assets="none"))


def assert_true_axes(page: Any, where: object) -> None:
    found = page.evaluate(PLOTS)
    assert len(found) == 5, where  # all edits, two methods, control edits; the differences
    for block in found:
        assert len(block["axes"]) == 1, where
        assert set(block["data"]) == set(block["axes"]), where
        assert block["last"] == "axis", where
        assert len(block["words"][0]) == 5, where
    for rate, place in page.evaluate(MARKS):
        assert abs(rate - place) < 0.6, (where, rate, place)


def test_data_and_axis_have_one_place_and_width(report: Path, opened: Callable[..., Any]) -> None:
    page = opened(report.as_uri())
    for media, widths in (("screen", WIDTHS), ("print", (A4, 390, 1024))):
        page.emulate_media(media=media)
        for width in widths:
            page.set_viewport_size({"width": width, "height": 900})
            assert_true_axes(page, (media, width))


def printed(
    page: Any, folder: Path
) -> Iterator[tuple[list[tuple[str, float, float, float, float]], np.ndarray]]:
    """The sheets of a page's PDF: its words with left, top, right, bottom in points, and its pixels, (height, width, 3), two for a point."""
    if shutil.which("pdftotext") is None or shutil.which("pdftoppm") is None:
        pytest.skip("no reader of PDF: apt-get install poppler-utils")
    file = folder / "report.pdf"
    page.pdf(path=str(file), format="A4")
    processes.run(["pdftotext", "-bbox", str(file), str(folder / "words.html")], check=True)
    processes.run(["pdftoppm", "-r", "144", "-png", str(file), str(folder / "sheet")], check=True)
    sheets = (folder / "words.html").read_text("utf-8").split("<page ")[1:]
    word = re.compile(r'<word xMin="([\d.]+)" yMin="([\d.]+)" xMax="([\d.]+)" yMax="([\d.]+)">([^<]*)</word>')
    for sheet, image in zip(sheets, sorted(folder.glob("sheet*.png")), strict=True):
        found = [(m[5], *map(float, m.groups()[:4])) for m in word.finditer(sheet)]
        yield found, np.asarray(Image.open(image).convert("RGB"))


MARK = 13  # pixels that the smaller marks are wide, at two for a point


def dot(pixels: np.ndarray, y: float, left: float, right: float) -> float | None:
    """The middle of a filled mark in a row of a plot, in points; ``None`` where none is. The caps of an interval are as tall, not as wide."""
    some = pixels[int(2 * y) - 8 : int(2 * y) + 8, int(2 * left) - MARK : int(2 * right) + MARK].astype(int)
    blue = (abs(some - np.array([0x1F, 0x5F, 0x8B])).sum(axis=2) < 90).sum(axis=0)
    near = np.convolve(blue >= 6, np.ones(MARK), "valid")
    most = np.flatnonzero(near == near.max())
    return None if near.max() < MARK / 2 else (int(2 * left) - MARK + most.mean() + MARK / 2) / 2


def test_a_printed_mark_stands_where_its_rate_says(
    report: Path, opened: Callable[..., Any], tmp_path: Path
) -> None:
    """Of the file that chromium prints, in points: 0% begins and 100% ends at the ends of the axis."""
    checked = 0
    for words, pixels in printed(opened(report.as_uri()), tmp_path):
        ends = {w: (x0, y0, x1, y1) for w, x0, y0, x1, y1 in words if w in ("0%", "100%")}
        if len(ends) < 2:
            continue
        left, right = ends["0%"][0], ends["100%"][2]
        rates = [
            (w, (y0 + y1) / 2) for w, x0, y0, _, y1 in words if re.fullmatch(r"\d+\.\d%", w) and x0 > right
        ]
        for y in sorted({round(y) for _, y in rates}):
            rate = next(
                float(w[:-1]) for w, at in rates if round(at) == y
            )  # the first of its line: words come in reading order
            if (at := dot(pixels, y, left, right)) is not None:
                checked += 1
                assert abs(100 * (at - left) / (right - left) - rate) < 2, (rate, at, left, right)
    assert checked >= 4


def test_no_name_pushes_a_rate_off_the_screen(report: Path, opened: Callable[..., Any]) -> None:
    """140 wide letters without a break, from 320 pixels on, which are 400% of 1280."""
    page = opened(report.as_uri())
    page.wait_for_selector("html[data-ready]")
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, width
        cells = page.evaluate(CELLS)
        stacked = width <= 1100  # there the interval and n stand in the cell of the rate
        assert len(cells) == (1 if stacked else 3) * (3 + 2 * 2 + 2) + 4  # of the pair p too
        said = page.evaluate(SAID)
        assert len(said) == 3 + 2 * 2 + 2
        for rate, interval, n in said:
            assert re.fullmatch(rf"[^%]*% {re.escape(interval)}, n {n}" if stacked else r"[^%]*%", rate)
        assert page.evaluate(TWICE) == [], width
        for cell in cells:
            assert cell["shown"], (width, cell)
            assert 0 <= cell["left"] <= cell["right"] <= width, (width, cell)


def test_a_report_of_several_runs_fits_too(report: Path, opened: Callable[..., Any], tmp_path: Path) -> None:
    runs = [
        read_report_run(recorded_run(tmp_path / name, images=3, prompts=2, methods=(f"{name}-{LONG}",)))
        for name in ("one", "two")
    ]
    page = opened(write_report(named_runs(runs), tmp_path / "both.html", Options(assets="none")).as_uri())
    page.wait_for_selector("html[data-ready]")
    for width in (320, 768, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, width
