"""Cards of the gallery: method and editor first, two marks for each judge, and nothing of it cut at any width."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import scroll_to, until
from tests.gallery_runs import LONG

pytestmark = pytest.mark.slow

# of each card on the screen: what is cut, its text, and its marks by judge
CARDS = """() => [...document.querySelectorAll(".card")].map((card) => {
  const box = card.getBoundingClientRect(), cut = [];
  card.querySelectorAll("*").forEach((e) => {
    if (e.closest(".hide, .words") || e.tagName === "IMG") return;
    const own = e.getBoundingClientRect(), block = getComputedStyle(e).display !== "inline";
    const out = own.left < box.left || own.right > box.right + 0.5 || own.top < box.top || own.bottom > box.bottom + 0.5;
    if (out || (block && (e.scrollWidth > e.clientWidth + 2 || e.scrollHeight > e.clientHeight + 2))) cut.push(`${e.className}: ${e.textContent.slice(0, 60)}`);
  });
  const rows = [...card.querySelectorAll(".verdict-row")].filter((r) => r.querySelector(".mark"));
  const marks = rows.map((r) => [r.querySelector(".by").textContent, ...[...r.querySelectorAll(".mark")].map((m) => [m.textContent, m.title, getComputedStyle(m).borderStyle])]);
  return { cut, text: card.innerText, marks, height: box.height, name: card.getAttribute("aria-label") };
})"""


@pytest.mark.parametrize("width", [390, 768, 1440])
def test_a_card_says_what_was_done_and_every_verdict(
    many: Path, opened: Callable[..., Any], violations: Callable[[Any], list[str]], width: int
) -> None:
    page = opened((many / "report.html").as_uri(), viewport={"width": width, "height": 1000})
    page.wait_for_selector("html[data-ready]")
    scroll_to(page, "grid")
    page.wait_for_selector(".card")
    cards = page.evaluate(CARDS)
    assert len(cards) >= 3
    assert [c["cut"] for c in cards if c["cut"]] == []
    assert len({c["height"] for c in cards}) == 1
    methods, letters = set(), set()
    for card in cards:
        first = card["text"].lstrip().splitlines()[0]
        methods.add(first.split(", eps")[0])
        assert first.split(" \N{MIDDLE DOT} ")[1] in ("painter", "second editor")
        assert "purifier" in first
        assert [m[0] for m in card["marks"]] == ["judge-single", "judge-panel-0", "judge-panel-1"]
        for _, semantic, perceptual in card["marks"]:
            assert (semantic[0][0], perceptual[0][0]) == ("S", "P")
            for letter, words, line in (semantic, perceptual):
                letters.add((letter[1:], words.split()[1].strip(","), line))
        assert "single: " in card["name"]
        assert "judge-panel-1 perceptual" in card["name"]
    assert methods == {"alpha", LONG}
    shapes = {("", "fails", "solid"), ("", "fine", "solid"), ("?", "undecided", "dashed")}
    assert letters == shapes  # filled or hollow: below
    look = "(k) => { const s = getComputedStyle(document.querySelector(`.card .mark.${k}`)); return [s.backgroundColor, s.borderRadius]; }"
    assert page.evaluate(look, "v0")[0] != page.evaluate(look, "v1")[0]
    assert page.evaluate(look, "v0")[1] != page.evaluate(look, "v1")[1]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert violations(page) == []


def test_a_card_is_a_button_in_a_list(many: Path, opened: Callable[..., Any]) -> None:
    page = opened((many / "report.html").as_uri())
    page.wait_for_selector("html[data-ready]")
    scroll_to(page, "grid")
    listed = page.get_by_role("list", name="Edits").get_by_role("listitem")
    assert listed.first.get_by_role("button").count() == 1
    page.focus(".card")
    page.keyboard.press("End")
    place = "document.activeElement.closest('[aria-posinset]').getAttribute('aria-posinset')"
    until(page, f"{place} === '72'")
    page.keyboard.press(" ")
    assert page.inner_text("#viewer-title").startswith("72 of 72")


def test_the_grid_takes_the_width_of_a_wide_screen(many: Path, opened: Callable[..., Any]) -> None:
    page = opened((many / "report.html").as_uri(), viewport={"width": 3840, "height": 1600})
    page.wait_for_selector("html[data-ready]")
    scroll_to(page, "grid")
    page.wait_for_selector(".card")
    lefts = page.evaluate("new Set([...document.querySelectorAll('.place')].map((c) => c.style.left)).size")
    assert lefts == 6
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("document.getElementById('filters').clientWidth") < 1120
    tops = "[...document.querySelectorAll('#filters label')].map((l) => l.getBoundingClientRect().bottom)"
    page.set_viewport_size({"width": 1440, "height": 900})
    page.evaluate("new Promise(requestAnimationFrame)")
    rows = sorted(set(page.evaluate(tops)))
    assert all(b - a > 30 for a, b in pairwise(rows))  # one grid, no step of 2 px
