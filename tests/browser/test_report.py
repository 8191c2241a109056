"""The report in a real browser, opened from disk."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from isr.edits.pictures import MEANINGS
from isr.people.labels import Label, Labels, Mark
from isr.people.labels_file import write_labels
from isr.report.page import Options, write_report
from isr.report.runs import read_report_run
from tests.browser.conftest import scroll_to, until
from tests.runs import HOSTILE, answer, recorded_run

pytestmark = pytest.mark.slow


def said(number: int) -> dict[str, Any]:
    return answer(number) | ({"reasoning": HOSTILE} if number == 0 else {})


def changed(rows: list[dict[str, Any]]) -> None:
    for number, row in enumerate(rows):
        row["split"] = ("seen", "unseen")[number % 2]
        row["protected_file_name"] = row["source_file_name"]
    rows[0]["prompt"] = HOSTILE


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = recorded_run(
        tmp_path_factory.mktemp("report"),
        images=12,
        prompts=4,
        say=said,
        change=changed,
        methods=("alpha", "beta"),
        accept=("protected-is-source",),
    )
    rows = [r for r in read_report_run(run).rows if r["arm"] == "protected"]
    labels = [
        Label(
            edit_id=r["edit_id"],
            rater=rater,
            semantic=Mark("fails" if (i + n) % 3 == 0 else "fine"),
            perceptual=Mark("fine"),
            image_id=r["image_id"],
        )
        for i, r in enumerate(rows[:40])
        for n, rater in enumerate(("ann", "bo"))
    ]
    write_labels(run / "labels.csv", Labels(tuple(labels)))
    return write_report([read_report_run(run)], run / "report.html")


def ready(page: Any) -> Any:
    page.wait_for_selector("html[data-ready]")
    scroll_to(page, "gallery")
    page.wait_for_selector(".card")
    return page


def count(page: Any) -> str:
    return str(page.inner_text("#count"))


def test_filters_sorting_and_keyboard(report: Path, opened: Callable[..., Any]) -> None:
    page = ready(opened(report.as_uri()))
    assert count(page) == "96"
    page.select_option("#f-outcome", "0")
    immunized = int(count(page).split()[0])
    assert 0 < immunized < 96
    page.select_option("#f-outcome", "1")
    assert int(count(page).split()[0]) == 96 - immunized
    page.select_option("#f-outcome", "")
    page.select_option("#f-method", label="beta")
    assert count(page) == "48 of 96"
    page.select_option("#f-method", label="all")
    page.select_option("#f-verdict", "labelled")
    assert count(page) == "40 of 96"
    page.select_option("#f-verdict", "people")
    assert 0 < int(count(page).split()[0]) < 40
    page.select_option("#f-verdict", "")
    page.keyboard.press("Escape")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("/")
    page.keyboard.type("PWNED")
    assert 1 <= int(count(page).split()[0]) < 5
    page.fill("#f-text", "nothing has this")
    assert "No edit matches" in page.inner_text("#grid")
    page.fill("#f-text", "")
    page.select_option("#f-sort", "low")
    page.focus(".card")
    page.keyboard.press("ArrowRight")
    assert (
        page.evaluate("document.activeElement.closest('[aria-posinset]')?.getAttribute('aria-posinset')")
        == "2"
    )
    page.keyboard.press("End")
    assert (
        page.evaluate("document.activeElement.closest('[aria-posinset]')?.getAttribute('aria-posinset')")
        == "96"
    )
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    assert page.inner_text("#viewer-title").startswith("1 of 96")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#viewer-title").startswith("2 of 96")
    page.keyboard.press("Escape")
    assert page.evaluate("document.getElementById('viewer').open") is False
    # the dialog gives the focus back to where it was opened, and its close event then moves it on
    until(page, "document.activeElement.closest('[aria-posinset]')?.getAttribute('aria-posinset') === '2'")


def test_every_order_is_that_of_the_values(report: Path, opened: Callable[..., Any]) -> None:
    rows = [r for r in read_report_run(report.parent).rows if r["arm"] == "protected"]

    def lowest(row: Mapping[str, str]) -> int:
        return min(int(row[f"recorded:{q}_score"]) for q in ("semantic", "perceptual"))

    words = ["immunized", "not_immunized", "undecided"]
    orders: dict[str, Callable[[Mapping[str, str]], Any]] = {
        "low": lowest,
        "outcome": lambda r: words.index(r["outcome"]),
        "prompt": lambda r: r["prompt"],
        "": lambda r: 0,
    }
    assert len({lowest(r) for r in rows}) > 1
    page = ready(opened(report.as_uri()))
    for name, key in orders.items():
        page.select_option("#f-sort", name)
        page.focus(".card")
        page.keyboard.press("Home")
        page.keyboard.press("Enter")
        shown = []
        for _ in rows:
            shown.append(page.inner_text("#viewer-title").split(" \N{MIDDLE DOT} ")[1])
            page.keyboard.press("ArrowRight")
        page.keyboard.press("Escape")
        assert shown == [r["edit_id"] for r in sorted(rows, key=key)], name


def test_comparisons_zoom_and_both_themes(report: Path, opened: Callable[..., Any]) -> None:
    for scheme, word in (("light", "light"), ("dark", "dark")):
        page = ready(opened(report.as_uri(), color_scheme=scheme))
        assert page.evaluate("document.documentElement.dataset.theme") == word
        page.click("#theme")
        assert page.evaluate("document.documentElement.dataset.theme") != word
        ready(page)
        page.click(".card >> nth=1")
        assert page.locator("#stage img").count() == 4
        page.keyboard.press("2")
        page.select_option("#pair", "1")
        page.locator("#slider").evaluate("(s) => { s.value = 25; s.dispatchEvent(new Event('input')); }")
        assert (
            page.evaluate("document.querySelector('.stack img + img').style.clipPath")
            == "inset(0px 0px 0px 25%)"
        )
        page.focus("#stage")
        page.keyboard.press("3")
        assert page.locator(".stack.flicker img").count() == 2
        over = "getComputedStyle(document.querySelector('.stack.flicker img + img')).visibility"
        for state in ("visible", "hidden", "visible"):  # it changes by itself, and back
            until(page, f"{over} === '{state}'")
        page.keyboard.press("4")
        blend = "getComputedStyle(document.querySelector('.stack img + img')).mixBlendMode"
        assert page.evaluate(blend) == "difference"
        page.keyboard.press("z")
        assert page.evaluate("document.getElementById('stage').classList.contains('zoomed')")


def test_the_amplified_difference_is_one(tmp_path: Path, opened: Callable[..., Any]) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        root = tmp_path / "edits"
        for row in rows:
            source = np.asarray(Image.open(root / row["source_file_name"]).convert("RGB")) // 2 + 60
            Image.fromarray(source.astype(np.uint8)).save(root / row["source_file_name"])
            row["protected_file_name"] = f"p-{row['image_id']}.png"
            Image.fromarray((source + 4).astype(np.uint8)).save(root / row["protected_file_name"])

    run = recorded_run(tmp_path, images=2, prompts=1, change=change, accept=tuple(MEANINGS))
    page = ready(opened(write_report([read_report_run(run)], run / "report.html").as_uri()))
    page.click(".card")
    page.keyboard.press("4")
    shot = Image.open(io.BytesIO(page.locator("#stage .stack").screenshot())).convert("RGB")
    middle = np.asarray(shot)[40:-40, 40:-40]
    assert abs(float(np.median(middle)) - 40) <= 3  # 10 x 4


def test_texts_are_shown_as_texts(report: Path, opened: Callable[..., Any]) -> None:
    page = ready(opened(report.as_uri()))
    page.fill("#f-text", "pwned")
    assert int(count(page).split()[0]) >= 1
    found = int(count(page).split()[0])
    page.click(".card")
    shown = []
    for _ in range(found):
        shown += [page.text_content("#viewer-prompt"), *page.locator(".verdict p").all_text_contents()]
        page.keyboard.press("ArrowRight")
    assert shown.count(HOSTILE) == 2  # a prompt, a reasoning
    assert page.evaluate("window.pwned") is None
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator("#viewer script").count() == 0


def assert_estimates_of(run: Path, figure: str, data: bytes) -> None:
    """The table of a figure holds the run's own estimates, every digit of them."""
    result = json.loads((run / "result.json").read_text("utf-8"))
    wanted = {
        (name, *("" if e[c] is None else str(e[c]) for c in ("value", "low", "high", "level", "n")))
        for part in (*result["treatments"], result["control"])
        for name, e in part["estimates"].items()
    }
    headlines = {w for w in wanted if w[0] in ("isr", "control")}
    assert len(headlines) == 3  # two methods, one control
    column, rows = {"estimates": ("estimate", None), "forest": ("kind", ("isr", "control"))}[figure]
    found = {
        (r[column], r["value"], r["low"], r["high"], r["level"], r["n"])
        for r in csv.DictReader(io.StringIO(data.decode(), newline=""))
        if (r[column] in rows if rows else r[column] != "difference")  # of a pair of methods, not of one
    }
    assert headlines <= found <= wanted


def test_downloads(report: Path, opened: Callable[..., Any], tmp_path: Path) -> None:
    page = ready(opened(report.as_uri(), accept_downloads=True))
    for figure, kind in (
        ("forest", "svg"),
        ("forest", "png"),
        ("forest", "csv"),
        ("decomposition", "png"),
        ("estimates", "csv"),
    ):
        with page.expect_download() as waiting:
            page.click(f"[data-figure={figure}][data-save={kind}]")
        file = tmp_path / f"{figure}.{kind}"
        waiting.value.save_as(file)
        data = file.read_bytes()
        if kind == "png":
            assert Image.open(io.BytesIO(data)).width > 1000
        elif kind == "svg":
            assert data.startswith(b"<svg")
        else:
            assert_estimates_of(report.parent, figure, data)


@pytest.mark.parametrize("width", [1440, 1024, 390])
def test_no_violation_and_no_overflow(
    report: Path, opened: Callable[..., Any], violations: Callable[[Any], list[str]], width: int
) -> None:
    for scheme in ("light", "dark"):
        page = ready(opened(report.as_uri(), color_scheme=scheme, viewport={"width": width, "height": 900}))
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.click(".card >> nth=2")
        assert violations(page) == []


def test_linked_pictures_load_from_disk(report: Path, opened: Callable[..., Any]) -> None:
    run = report.parent
    linked = write_report([read_report_run(run)], run / "linked.html", Options(assets="link"))
    page = ready(opened(linked.as_uri()))
    until(page, "[...document.querySelectorAll('.card img')].slice(0, 4).every((i) => i.naturalWidth)")
    wide = page.locator(".card img").evaluate_all("(all) => all.map((i) => i.naturalWidth)")
    assert wide
    assert all(w == 16 for w in wide[:4])
    assert not re.search(
        r"data:image/png;base64," + base64.b64encode(b"\x89PNG").decode()[:4], linked.read_text()
    )
