"""What is looked at stands in the address of the report: reload, Back and Forward, links, and addresses that ask for nothing here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from PIL import Image

from isr.report.page import write_report
from isr.report.runs import read_report_run
from tests.browser.conftest import scroll_to, until
from tests.gallery_runs import FORMULA, judged_runs
from tests.runs import answer

pytestmark = pytest.mark.slow


def ready(page: Any) -> Any:
    page.wait_for_selector("html[data-ready]")
    return page


def hash_of(page: Any) -> dict[str, str]:
    """The keys of the address."""
    found = parse_qs(page.evaluate("location.hash.slice(1)"), keep_blank_values=True, strict_parsing=False)
    return {key: value for key, (value,) in found.items()}


def count(page: Any) -> str:
    return str(page.inner_text("#count"))


def back(page: Any, condition: str) -> None:
    page.evaluate("history.back()")
    until(page, condition)


IS_OPEN = "document.getElementById('viewer').open"


def test_filters_and_opened_edits_are_in_the_address(many: Path, opened: Callable[..., Any]) -> None:
    page = ready(opened((many / "report.html").as_uri()))
    assert count(page) == "72"
    page.select_option("#f-editor", "second editor")
    page.select_option("#f-method", label="alpha, eps 0.03")
    assert hash_of(page) == {"editor": "second editor", "method": "alpha, eps 0.03"}
    assert count(page) == "18 of 72"
    back(page, "document.getElementById('count').textContent === '36 of 72'")  # a choice is undone
    assert page.input_value("#f-method") == ""
    page.evaluate("history.forward()")
    until(page, "document.getElementById('count').textContent === '18 of 72'")

    entries = page.evaluate("history.length")
    page.fill("#f-text", "image-0003")
    assert hash_of(page)["q"] == "image-0003"
    assert page.evaluate("history.length") == entries  # typing adds no entry
    assert count(page) == "3 of 72"

    scroll_to(page, "gallery")
    page.focus(".card")
    page.keyboard.press("Enter")
    first = hash_of(page)["edit"]
    assert first in page.inner_text("#viewer-title")
    page.keyboard.press("ArrowRight")
    second = hash_of(page)["edit"]
    assert second != first
    assert second in page.inner_text("#viewer-title")
    assert page.evaluate("history.length") == entries + 1  # going on adds no entry
    page.reload()
    ready(page)
    assert page.evaluate(IS_OPEN)
    assert second in page.inner_text("#viewer-title")
    assert (count(page), page.input_value("#f-text")) == ("3 of 72", "image-0003")
    back(page, f"!{IS_OPEN}")  # Back closes what is open, and the filters stay
    assert "edit" not in hash_of(page)
    assert count(page) == "3 of 72"
    page.evaluate("history.forward()")
    until(page, IS_OPEN)

    page.keyboard.press("Escape")  # as Back does: then Back undoes the filter
    until(page, "!location.hash.includes('edit=')")
    assert not page.evaluate(IS_OPEN)
    back(page, "document.getElementById('count').textContent === '36 of 72'")

    page.click("nav a[href='#numbers']")
    assert hash_of(page) == {"editor": "second editor", "view": "numbers"}  # the filters stay
    until(page, "Math.abs(document.getElementById('numbers').getBoundingClientRect().top) < 2")


def test_a_filter_for_every_column(many: Path, opened: Callable[..., Any]) -> None:
    page = ready(opened((many / "report.html").as_uri()))
    rows = [r for r in read_report_run(many / "single.isr").rows if r["arm"] == "protected"]
    for key, value, column in (
        ("eps", "0.06", "eps"),
        ("purifier", "none", "purifier"),
        ("split", "seen", "split"),
        ("image_id", "image-0003", "image_id"),
        ("in.kind", "street", "kind"),
        ("outcome", "undecided", ""),
        ("judge", "judge-single", ""),
        ("control", "fails", ""),
    ):
        page.goto("about:blank")
        page.goto((many / "report.html").as_uri() + f"#{key}={value}")
        ready(page)
        if column:
            wanted = sum(r[column] == value.replace("none", "") for r in rows)
            assert count(page) == f"{wanted} of 72", key
            assert page.input_value(f"[id='f-{key}']") == value
        assert page.is_hidden("#astray"), key
    page.click("#f-clear")
    assert (count(page), hash_of(page)) == ("72", {})
    page.fill("#f-text", "jpeg-75 IMAGE-0002 second")  # words of purifier, image and editor
    assert count(page) == "6 of 72"


def test_an_address_that_asks_for_nothing_here_is_told(many: Path, opened: Callable[..., Any]) -> None:
    hostile = '"><img src=x onerror=window.pwned=1>'
    page = ready(opened((many / "report.html").as_uri() + f"#edit={hostile}&editor=nobody&set=__proto__:x"))
    said = page.inner_text("#astray-said")
    assert f"no edit “{hostile}” in this report" in said
    assert "no editor “nobody” in this report" in said
    assert "no set of edits “__proto__:x” in this report" in said
    assert (count(page), page.evaluate(IS_OPEN), page.evaluate("window.pwned")) == ("72", False, None)
    page.click("#astray-drop")
    assert page.is_hidden("#astray")
    assert hash_of(page) == {}
    for key, value, words in (
        ("source", "nothing", "no source image “nothing”"),
        ("view", "constructor", "no part “constructor”"),
        ("sort", "toString", "no order “toString”"),
        ("outcome", "3", "no outcome “3”"),
        ("verdict", "constructor", "no verdicts “constructor”"),
        ("edit", "%E0%A4%A", "no edit"),
    ):
        page.evaluate("([k, v]) => { location.hash = `${k}=${v}`; }", [key, value])
        until(page, "(w) => document.getElementById('astray-said').textContent.includes(w)", words)
        assert count(page) == "72"
    page.evaluate("() => { location.hash = 'no-such-part'; }")
    until(page, "document.getElementById('astray').hidden")


def test_edits_of_one_name_are_told_apart_by_their_digest(tmp_path: Path, opened: Callable[..., Any]) -> None:
    def change(edits: Path, rows: list[dict[str, Any]]) -> None:
        Image.new("RGB", (16, 16), (1, 2, 3)).save(edits / rows[0]["file_name"])

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    runs = judged_runs(tmp_path / "a", {"one": [answer]}, images=2, prompts=1, methods=("alpha",))
    runs += judged_runs(
        tmp_path / "b", {"two": [answer]}, images=2, prompts=1, methods=("alpha",), change=change
    )
    found = [read_report_run(run) for run in runs]
    name, digest = next((r["edit_id"], r["edit_sha256"]) for r in found[1].rows if r["arm"] == "protected")
    page = ready(opened(write_report(found, tmp_path / "report.html").as_uri()))
    assert count(page) == "3"  # the other edit is the same in both runs
    key = f"{name}@{digest.removeprefix('sha256:')[:12]}"
    page.evaluate("(key) => { location.hash = new URLSearchParams({edit: key}); }", key)
    until(page, IS_OPEN)
    assert "two: " in page.inner_text("#verdicts")
    assert "one: " not in page.inner_text("#verdicts")
    page.keyboard.press("Escape")
    page.evaluate("(name) => { location.hash = new URLSearchParams({edit: name}); }", name)
    until(page, "document.getElementById('astray-said').textContent.includes('no edit')")


def test_a_prompt_that_is_a_formula_is_a_text_to_choose(many: Path, opened: Callable[..., Any]) -> None:
    page = ready(opened((many / "report.html").as_uri()))
    page.select_option("#f-prompt_id", label=FORMULA[:60])
    assert count(page) == "24 of 72"
