"""An opened edit in a real browser: every picture in its own place, at a size that is said, with the files' own pixels at 1:1."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from isr.edits.pictures import MEANINGS
from isr.report import page as module
from isr.report.assets import Assets
from isr.report.page import Options, write_report
from isr.report.runs import read_report_run
from tests.browser.conftest import scroll_to, until
from tests.runs import recorded_run

pytestmark = pytest.mark.slow

SIZES = [(400, 300), (60, 600), (700, 50), (40, 40)]  # width, height: landscape, a tower, a strip, a stamp
LOOKS_LIKE_A_LINK = """() => {
  const link = document.createElement("a"), button = document.getElementById("same-source");
  link.href = "#";
  button.after(link);
  const [a, b] = [link, button].map((some) => getComputedStyle(some)), same = a.color === b.color && a.textDecorationLine === b.textDecorationLine;
  link.remove();
  return same;
}"""
ROLES = ["source", "protected", "control", "edit"]


def pixels(seed: int, size: tuple[int, int]) -> NDArray[np.int16]:
    corners = np.random.default_rng(seed).integers(60, 180, (4, 4, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(corners).resize(size, Image.Resampling.BICUBIC)).astype(np.int16)


def paint(root: Path, rows: list[dict[str, Any]]) -> None:
    for number, (row, size) in enumerate(zip(rows, SIZES, strict=True)):
        random = np.random.default_rng(number)
        source = pixels(number, size)
        row["protected_file_name"] = f"p{number}.png"
        pictures = {
            row["source_file_name"]: source,
            row["protected_file_name"]: source + 4,
            row["control_file_name"]: source[::-1],
            row["file_name"]: source[::-1] + random.normal(0, 28, source.shape).astype(np.int16),
        }
        for name, array in pictures.items():
            Image.fromarray(array.clip(0, 255).astype(np.uint8)).save(root / name)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("viewer")
    change = partial(paint, home / "edits")
    return recorded_run(home, images=len(SIZES), prompts=1, change=change, accept=tuple(MEANINGS))


@pytest.fixture(scope="module")
def reports(run: Path) -> dict[str, Path]:
    """The same edits with the files in the page, with parts of them, with thumbnails alone, and with links."""
    found = [read_report_run(run)]
    made = {
        "files": write_report(found, run / "files.html"),
        "links": write_report(found, run / "links.html", Options(assets="link")),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, most in (("parts", 500_000), ("thumbnails", 100_000)):
            patch.setattr(module, "Assets", partial(Assets, most=most))
            made[name] = write_report(found, run / f"{name}.html")
    return made


def file_of(run: Path, number: int, role: str) -> NDArray[np.int_]:
    row = next(
        r for r in read_report_run(run).rows if r["arm"] == "protected" and f"/{number}-" in r["file_name"]
    )
    name = {
        "source": row["source_file_name"],
        "protected": f"p{number}.png",
        "control": row["file_name"].replace("edits/", "controls/").replace("-0.png", ".png"),
        "edit": row["file_name"],
    }[role]
    with Image.open(run.parent / "edits" / name) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def viewing(page: Any, number: int) -> Any:
    """Opens the edit of that source."""
    page.wait_for_selector("html[data-ready]")
    scroll_to(page, "gallery")
    page.wait_for_selector(".card")
    page.click(".card")
    for _ in SIZES:
        if f"edits/{number}-" in page.inner_text("#viewer-title"):
            return page
        page.keyboard.press("ArrowRight")
    raise AssertionError(number)


def shot(page: Any, selector: str) -> NDArray[np.int_]:
    """What is seen of an element, as pixels; an element between two pixels is drawn at the nearer one."""
    element = page.locator(selector)
    element.scroll_into_view_if_needed()
    x, y, w, h = element.evaluate(
        "(e) => { const b = e.getBoundingClientRect(); return [b.x, b.y, b.right - b.x, b.bottom - b.y].map(Math.round); }"
    )
    seen = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    return np.asarray(seen.crop((x, y, x + w, y + h))).astype(int)


def part_in(words: str) -> tuple[int, int, int, int]:
    """x, y, width, height by the words beneath a picture."""
    size, _, rest = words.partition(" px of ")
    x, y = rest.partition(", from ")[2].partition(", each")[0].split(", ")
    w, h = size.split(" x ")
    return int(x), int(y), int(w), int(h)


# In every mode, for every edit: what is seen of each picture once all that clips it is taken away. Keys are sent in the page.
SEEN = """() => {
  const viewer = document.getElementById('viewer'), found = [];
  const press = (key) => document.getElementById('stage').dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}));
  const seen = (element) => {
    let {left, top, right, bottom} = element.getBoundingClientRect();
    for (let box = element.parentElement; box && box !== viewer; box = box.parentElement) {
      if (getComputedStyle(box).overflow === 'visible') continue;
      const by = box.getBoundingClientRect();
      [left, top, right, bottom] = [Math.max(left, by.left), Math.max(top, by.top), Math.min(right, by.right), Math.min(bottom, by.bottom)];
    }
    return [left, top, right, bottom];
  };
  const overlap = (a, b) => Math.min(a[2], b[2]) - Math.max(a[0], b[0]) > 1 && Math.min(a[3], b[3]) - Math.max(a[1], b[1]) > 1;
  for (let edit = 0; edit < 4; edit++) {
    for (const zoom of [0, 1]) {
      for (const mode of '1234') {
        press(mode);
        const at = `${document.getElementById('viewer-title').textContent}, mode ${mode}, zoom ${zoom}`;
        const cells = [...document.querySelectorAll('#stage .cell')].map((cell) => [...cell.querySelectorAll('img')].map(seen));
        const captions = [...document.querySelectorAll('#stage .cell span:not(.empty)')].filter((x) => !x.closest('.stack')).map(seen);
        if (mode === '1' && cells.flat().length !== 4) found.push(`${at}: ${cells.flat().length} pictures`);
        cells.forEach((some, i) => some.forEach((a) => {
          if (a[2] - a[0] < 1 || a[3] - a[1] < 1) found.push(`${at}: nothing is seen of ${i}`);
          cells.slice(i + 1).flat().forEach((b) => { if (overlap(a, b)) found.push(`${at}: pictures overlap: ${a} and ${b}`); });
          captions.forEach((b) => { if (overlap(a, b)) found.push(`${at}: a picture over words`); });
          const box = viewer.getBoundingClientRect();
          if (a[0] < box.left - 1 || a[2] > box.right + 1) found.push(`${at}: beyond the page`);
        }));
        if (viewer.scrollWidth > viewer.clientWidth) found.push(`${at}: scrolls sideways`);
      }
      press('1');
      press('z');
    }
    press('ArrowRight');
  }
  return found;
}"""


@pytest.mark.parametrize("kind", ["files", "parts", "thumbnails", "links"])
def test_no_two_pictures_of_the_stage_overlap(
    reports: dict[str, Path], opened: Callable[..., Any], kind: str
) -> None:
    page = viewing(opened(reports[kind].as_uri(), viewport={"width": 1440, "height": 900}), 0)
    for width in (320, 390, 768, 1080, 1440, 3840):
        page.set_viewport_size({"width": width, "height": 900})
        until(page, "(width) => innerWidth === width", width)
        if kind == "links":  # their sizes are known once they are there
            for _ in SIZES:
                until(page, "[...document.querySelectorAll('#stage img')].every((i) => i.naturalWidth)")
                page.keyboard.press("ArrowRight")
        assert page.evaluate(SEEN) == [], width


def test_each_picture_says_its_size_and_1_to_1_is_the_files_own_pixels(
    run: Path, reports: dict[str, Path], opened: Callable[..., Any]
) -> None:
    page = viewing(opened(reports["parts"].as_uri(), viewport={"width": 1440, "height": 900}), 0)
    words = page.locator("#stage .size").all_inner_texts()
    assert len(words) == 4
    assert len(set(words)) == 1  # all alike
    assert words[0].startswith("shown at ")
    assert words[0].endswith(" of 400 px")
    page.focus("#zoom")  # away from the stage: its outline would be in the picture
    page.keyboard.press("z")
    words = page.locator("#stage .size").all_inner_texts()
    assert len(set(words)) == 1
    x, y, w, h = part_in(words[0])
    assert w * h < 400 * 300
    for number, role in enumerate(ROLES):
        seen = shot(page, f"#stage .cell:nth-child({number + 1}) .stack")
        times = round(seen.shape[1] / w)
        own = file_of(run, 0, role)[y : y + h, x : x + w]
        assert np.array_equal(
            seen, own.repeat(times, 0).repeat(times, 1)[: seen.shape[0], : seen.shape[1]]
        ), role
    assert "Only this part" in page.inner_text("#stage-note")


def test_a_picture_of_one_source_opens_at_1_to_1_and_only_then(
    reports: dict[str, Path], opened: Callable[..., Any]
) -> None:
    page = opened(reports["parts"].as_uri(), viewport={"width": 390, "height": 844})
    page.wait_for_selector("html[data-ready]")
    (said,) = {image.get_attribute("title") for image in page.locator("#sources-rows img").all()}
    assert re.fullmatch(r"\d+ of 400 px", said)
    assert page.inner_text("#source-sizes").strip() == f"Size of the pictures here: {said}."
    is_whole = "document.getElementById('zoom').getAttribute('aria-pressed')"
    for cell in ("td:nth-child(2)", "td:nth-child(3)"):  # the control edit, the edit
        page.locator(f"#sources-rows tr:nth-child(2) {cell} button").click()
        assert page.evaluate(is_whole) == "true", cell
        assert len(part_in(page.locator("#stage .size").first.inner_text())) == 4
        page.keyboard.press("Escape")
        until(page, "!document.getElementById('viewer').open")
    viewing(page, 0)
    assert page.evaluate(is_whole) == "false"
    assert page.locator(".modes .mode").last.inner_text() == "4 Difference \N{MULTIPLICATION SIGN} 10"
    assert page.evaluate("document.getElementById('viewer').scrollWidth <= innerWidth")
    assert (
        len({box["y"] for box in (mode.bounding_box() for mode in page.locator(".modes .mode").all())}) == 1
    )
    assert page.evaluate(LOOKS_LIKE_A_LINK)
    page.keyboard.press("z")
    assert page.evaluate(is_whole) == "true"
    page.keyboard.press("Escape")
    page.locator("#sources-rows tr:nth-child(2) td:nth-child(3) button").click()
    page.keyboard.press("Escape")
    viewing(page, 0)
    assert page.evaluate(is_whole) == "true"  # what the reader chose stays


def test_all_pictures_move_in_step_by_mouse_keys_and_touch(
    run: Path, reports: dict[str, Path], opened: Callable[..., Any]
) -> None:
    page = viewing(
        opened(reports["files"].as_uri(), viewport={"width": 390, "height": 844}, has_touch=True), 0
    )
    page.keyboard.press("z")

    def corner() -> tuple[int, int]:
        (words,) = set(page.locator("#stage .size").all_inner_texts())  # the same in all four
        x, y, w, h = part_in(words)
        page.focus("#zoom")
        for number, role in enumerate(ROLES):
            seen = shot(page, f"#stage .cell:nth-child({number + 1}) .stack")
            assert np.array_equal(
                seen, file_of(run, 0, role)[y : y + h, x : x + w][: seen.shape[0], : seen.shape[1]]
            )
        return x, y

    x, y = corner()
    box = page.locator("#stage .stack >> nth=2").bounding_box()
    page.mouse.move(box["x"] + 80, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 50, box["y"] + 60)
    page.mouse.up()
    assert corner() == (x + 30, y)
    page.mouse.move(box["x"] + 10, box["y"] + 60)  # nothing is held any more
    title = page.inner_text("#viewer-title")
    page.keyboard.press("Shift+ArrowRight")
    assert corner() == (x + 78, y)
    for _ in range(9):
        page.keyboard.press("Shift+ArrowLeft")
    assert corner() == (0, y)  # not beyond its edge
    assert page.inner_text("#viewer-title") == title
    touch = page.context.new_cdp_session(page)
    box = page.locator("#stage .stack >> nth=0").bounding_box()
    for kind, at in (("touchStart", 100), ("touchMove", 90), ("touchMove", 60), ("touchEnd", None)):
        points = [] if at is None else [{"x": box["x"] + at, "y": box["y"] + 40}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert corner() == (40, y)
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#viewer-title") != title


def test_the_slider_names_its_sides_and_is_dragged_on_the_picture(
    reports: dict[str, Path], opened: Callable[..., Any]
) -> None:
    page = viewing(opened(reports["files"].as_uri(), viewport={"width": 1440, "height": 900}), 1)
    page.select_option("#pair", label="control and edit")
    frame = page.locator("#stage .stack")
    box = frame.bounding_box()
    assert abs(box["width"] / box["height"] - 60 / 600) < 0.01  # the tower alone: no black beside it
    assert page.locator("#stage .handle b").all_inner_texts() == ["control", "edit"]
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 100)
    page.mouse.up()
    assert abs(int(page.input_value("#slider")) - 25) <= 2
    left = float(
        page.evaluate("parseFloat(document.querySelector('.stack img + img').style.clipPath.split(' ')[3])")
    )
    assert abs(left - 25) <= 2
    page.keyboard.press("z")
    line = page.locator("#stage .handle").bounding_box()["x"] - frame.bounding_box()["x"]
    page.mouse.move(frame.bounding_box()["x"] + line, box["y"] + 150)
    page.mouse.down()
    page.mouse.move(frame.bounding_box()["x"] + 45, box["y"] + 150)
    page.mouse.up()
    assert abs(int(page.input_value("#slider")) - 75) <= 2


def amplified(a: NDArray[np.int_], b: NDArray[np.int_]) -> NDArray[np.int_]:
    return np.minimum(10 * np.abs(a - b), 255)


def test_a_difference_is_that_of_the_files_or_is_not_offered(
    run: Path, reports: dict[str, Path], opened: Callable[..., Any]
) -> None:
    for kind in ("files", "parts"):
        page = viewing(opened(reports[kind].as_uri(), viewport={"width": 1440, "height": 900}), 0)
        page.keyboard.press("4")
        page.select_option("#pair", label="control and edit")
        page.focus("#zoom")
        words = page.inner_text("#stage .size")
        x, y, w, h = (0, 0, 400, 300) if "as it is" in words else part_in(words)
        assert ("as it is" in words) == (kind == "files")
        seen = shot(page, "#stage .stack")
        times = round(seen.shape[1] / w)
        own = [file_of(run, 0, role)[y : y + h, x : x + w] for role in ("control", "edit")]
        assert np.abs(seen - amplified(*own).repeat(times, 0).repeat(times, 1)).max() <= 1, kind
    page = viewing(opened(reports["thumbnails"].as_uri(), viewport={"width": 1440, "height": 900}), 0)
    assert page.is_disabled("#zoom")
    page.select_option("#pair", label="control and edit")
    page.keyboard.press("4")
    assert page.locator("#pair option:not([disabled])").all_inner_texts() == ["source and protected"]
    assert page.inner_text("#stage .role") == "source and protected, made of the files"
    assert abs(float(np.median(shot(page, "#stage .stack"))) - 40) <= 2


def test_a_report_that_was_moved_says_that_its_pictures_are_not_here(
    reports: dict[str, Path], opened: Callable[..., Any], tmp_path: Path
) -> None:
    moved = tmp_path / "elsewhere" / "mailed.html"
    moved.parent.mkdir()
    shutil.copy(reports["links"], moved)
    page = opened(moved.as_uri())
    assert "16 pictures, all of them links into ../edits" in page.inner_text("#gallery .warning")
    viewing(page, 0)
    until(page, "document.querySelectorAll('#stage .empty').length === 4")
    assert set(page.locator("#stage .empty, .card .empty").all_inner_texts()) == {"picture is not here"}
    assert page.locator("#stage img, .card img").count() == 0
    for mode in "234":
        page.keyboard.press(mode)
        until(page, "document.querySelectorAll('#stage img').length === 0")
    assert all("ERR_FILE_NOT_FOUND" in line for line in opened.troubles)  # type: ignore[attr-defined]
    opened.troubles.clear()  # type: ignore[attr-defined]


def test_who_wants_no_motion_holds_to_compare(reports: dict[str, Path], opened: Callable[..., Any]) -> None:
    page = viewing(opened(reports["files"].as_uri(), reduced_motion="reduce"), 0)
    page.evaluate("() => { window.setInterval = () => { throw new Error('it moves by itself'); }; }")
    page.keyboard.press("3")
    over = "getComputedStyle(document.querySelector('#stage .stack img + img')).visibility"
    assert page.evaluate(over) == "hidden"
    assert page.inner_text("#stage .role") == "source: hold the picture, or the space bar, to see protected"
    page.focus("#stage")
    page.keyboard.down(" ")
    assert page.evaluate(over) == "visible"
    page.keyboard.up(" ")
    assert page.evaluate(over) == "hidden"
    page.hover("#stage .stack")
    page.mouse.down()
    assert page.evaluate(over) == "visible"
    page.mouse.up()
    assert page.evaluate(over) == "hidden"


def test_focus_begins_on_the_pictures_and_a_step_is_announced(
    reports: dict[str, Path], opened: Callable[..., Any]
) -> None:
    page = viewing(opened(reports["files"].as_uri()), 0)
    assert page.evaluate("document.activeElement.id") == "stage"
    live = page.locator("#viewer-title")
    assert live.get_attribute("aria-live") == "polite"
    before = live.inner_text()
    page.keyboard.press("ArrowRight")
    assert live.inner_text() != before
    assert page.evaluate("document.activeElement.id") == "stage"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_violation_in_any_mode(
    reports: dict[str, Path],
    opened: Callable[..., Any],
    violations: Callable[[Any], list[str]],
    scheme: str,
) -> None:
    page = viewing(opened(reports["parts"].as_uri(), color_scheme=scheme), 0)
    for keys in ("1", "z", "2", "4"):
        page.keyboard.press(keys)
        assert violations(page) == [], keys
