"""The pictures of the labelling page: as large as the window allows, 1:1 and closer, in step, and what is kept of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from PIL import Image

from isr.people.label_store import LabelStore
from isr.people.labels_file import read_labels
from tests.browser.conftest import until
from tests.browser.label_pages import press, shown, sign_in
from tests.directories import write_metadata
from tests.web.servers import Served, labelling

pytestmark = pytest.mark.slow
SIZES = [(1024, 1024), (1536, 864), (768, 1152), (4000, 400), (400, 4000), (64, 64)]
PROMPTS = [
    "colour it",
    "a few words more " * 7,
    "one of many words " * 300,
    "x" * 900,
    "make it\nblue\nand\nred",
    "שלום " * 30,
]
WINDOWS = [(390, 844), (720, 450), (768, 1024), (1440, 900), (2560, 1440), (3840, 2160)]
PLACES = """() => {
  const box = (element) => { const b = element.getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom]; };
  const frames = [...document.querySelectorAll(".frame")], images = [...document.querySelectorAll(".frame img")];
  return {
    frames: frames.map(box), images: images.map(box),
    said: [...document.querySelectorAll("figcaption span")].map((s) => s.textContent),
    sharp: images.map((i) => getComputedStyle(i).imageRendering),
    cut: [...document.querySelectorAll("figcaption")].filter((c) => c.scrollWidth > c.clientWidth || c.scrollHeight > c.clientHeight).length,
    clipped: frames.every((f) => getComputedStyle(f).overflow === "hidden"),
    fixed: [...document.querySelectorAll("#work button, #note")].map((b) => [b.id || b.dataset.value, ...box(b)].join()),
    answers: [...document.querySelectorAll(".answers button, #next, #zoom, #help-button")].map(box),
    scrolls: [document.documentElement.scrollWidth, document.documentElement.scrollHeight],
  };
}"""


class Box(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def middle(self) -> tuple[float, float]:
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def holds(self, other: Box) -> bool:
        """Whether nothing of another box is outside, up to a pixel."""
        before = self.left - other.left, self.top - other.top
        return max(*before, other.right - self.right, other.bottom - self.bottom) < 1.01


class Seen(NamedTuple):
    """What is where on the page: source and edit, in this order, and their frames."""

    frames: list[Box]
    images: list[Box]
    said: list[str]
    sharp: list[str]
    raw: dict[str, Any]

    def scale(self, which: int, natural: int) -> float:
        return self.images[which].width / natural

    def offset(self, which: int) -> tuple[float, float]:
        image, frame = self.images[which], self.frames[which]
        return image.left - frame.left, image.top - frame.top

    def in_step(self) -> bool:
        """Whether both frames show the same part of pictures of one size; what has room stands beside the other."""
        (x, y), (other_x, other_y) = self.offset(0), self.offset(1)
        wide = self.images[1].width > self.frames[1].width
        high = self.images[1].height > self.frames[1].height
        return (near(x, other_x) or not wide) and (near(y, other_y) or not high)


def seen(page: Any) -> Seen:
    """The page when it has drawn itself."""
    page.evaluate("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    raw = page.evaluate(PLACES)
    frames, images = ([Box(*b) for b in raw[name]] for name in ("frames", "images"))
    return Seen(frames, images, raw["said"], raw["sharp"], raw)


def near(a: object, b: object, by: float = 1.01) -> bool:
    return bool(a == pytest.approx(b, abs=by))


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of every shape, the source as large as the edit."""
    root = tmp_path_factory.mktemp("shapes") / "edits"
    (root / "all").mkdir(parents=True)
    rows = []
    for number, size in enumerate(SIZES):
        for kind, angle in (("source", 0), ("edit", 90)):
            ramp = Image.linear_gradient("L").rotate(angle).resize(size)
            Image.merge("RGB", [ramp, ramp, Image.new("L", size, 40 * number)]).save(
                root / f"all/{kind}-{number}.png"
            )
        rows.append(
            {
                "file_name": f"all/edit-{number}.png",
                "source_file_name": f"all/source-{number}.png",
                "prompt": PROMPTS[number],
                "image_id": str(number),
            }
        )
    write_metadata(root, rows)
    return root


@pytest.fixture(scope="module")
def served(directory: Path) -> Iterator[Served]:
    options = ("--edits", str(len(SIZES)), "--repeat", "0", "--attention", "0", "--controls", "0")
    with labelling(directory, *options) as found:
        yield found


def items(page: Any) -> Iterator[tuple[int, int]]:
    """Goes through all items of a rater: the size of the pictures of each, which is answered after the block."""
    for _ in SIZES:
        shown(page)
        size = page.evaluate("[edit.naturalWidth, edit.naturalHeight]")
        yield size[0], size[1]
        for key in ("1", "w", "Space"):
            press(page, key)
    assert page.evaluate("document.documentElement.dataset.finished") == "true"


def test_pictures_use_the_window_and_no_button_moves(served: Served, opened: Callable[..., Any]) -> None:
    page = opened(served.address)
    sign_in(page, "ann")
    fixed: dict[tuple[int, int], list[str]] = {}
    widths: dict[tuple[int, int], list[float]] = {}
    for wide, high in items(page):
        for window in WINDOWS:
            page.set_viewport_size({"width": window[0], "height": window[1]})
            now = seen(page)
            place = (window, (wide, high))
            assert now.raw["scrolls"] == list(window), place
            assert now.raw["cut"] == 0, place
            for box in now.raw["answers"]:
                assert Box(0, 0, *window).holds(Box(*box)), place
            assert fixed.setdefault(window, now.raw["fixed"]) == now.raw["fixed"], place
            source, edit = now.images
            assert near([source.width, source.height], [edit.width, edit.height], 0.1), place
            for image, frame in zip(now.images, now.frames, strict=True):
                assert near(image.width / image.height, wide / high, 0.05 * wide / high), place
                assert frame.holds(image), place
                fills = near(image.width, frame.width) or near(image.height, frame.height)
                assert fills or near(now.scale(1, wide), 2, 0.01), place
            assert source.right <= edit.left or source.bottom <= edit.top, place
            scale = now.scale(1, wide)
            assert (
                now.said
                == [
                    f"shown at {round(edit.width)} of {wide} px"
                    if scale < 0.995
                    else f"{wide} px at {round(100 * scale)} %"
                ]
                * 2
            ), place
            widths.setdefault((wide, high), []).append(edit.width)
            if wide == 64:
                assert now.said == ["64 px at 200 %"] * 2
                assert now.sharp == ["pixelated"] * 2
    assert len(fixed) == len(WINDOWS)
    by_window = {size: dict(zip(WINDOWS, found, strict=True)) for size, found in widths.items()}
    assert by_window[1536, 864][1440, 900] > 640  # it was 550 on any screen
    assert by_window[1024, 1024][2560, 1440] > 1000
    assert by_window[1024, 1024][3840, 2160] > 1700
    assert by_window[4000, 400][390, 844] > 340  # one above the other


def test_one_to_one_moves_and_zooms_in_step(served: Served, opened: Callable[..., Any]) -> None:
    page = opened(served.address, viewport={"width": 1440, "height": 900})
    sign_in(page, "bo")
    for wide, high in items(page):
        before = seen(page)
        page.keyboard.press("z")
        now = seen(page)
        assert [now.scale(k, wide) for k in (0, 1)] == pytest.approx([1, 1], abs=0.001), (wide, high)
        assert now.said == [f"{wide} px at 100 %"] * 2
        assert now.raw["clipped"]
        assert now.frames == before.frames
        assert page.inner_text("#zoom-word") == "Fit"
        frame = now.frames[1]
        room = max(0, wide - frame.width) / 2, max(0, high - frame.height) / 2  # to each side
        if any(room):
            x, y = now.frames[0].middle
            page.mouse.move(x, y)
            page.mouse.down()
            page.mouse.move(x - 50, y - 30)
            page.mouse.move(x - 150, y - 90)
            page.mouse.up()
            moved = seen(page)
            assert moved.in_step(), (wide, high)
            went = [b - a for a, b in zip(now.offset(1), moved.offset(1), strict=True)]
            assert near(went, [-min(150, room[0]), -min(90, room[1])]), (wide, high)
            page.keyboard.press("ArrowLeft")
            page.keyboard.press("ArrowUp")
            back = seen(page)
            assert back.in_step()
            assert back.offset(1) > moved.offset(1), (wide, high)
        page.mouse.move(*now.frames[1].middle)
        page.keyboard.down("Control")
        page.mouse.wheel(0, -100)
        page.keyboard.up("Control")
        closer = seen(page)
        assert closer.scale(1, wide) > 1.2
        assert near(closer.scale(0, wide), closer.scale(1, wide), 0.001)
        page.click("#zoom")
        assert seen(page).images == before.images
        page.click("#zoom")
        assert near(seen(page).scale(1, wide), 1, 0.001)
        page.keyboard.press("Escape")
        assert seen(page).images == before.images
        page.mouse.click(*before.images[0].middle)
        assert seen(page).scale(1, wide) >= max(1, 2 * before.scale(1, wide)) - 0.01
        page.mouse.click(*before.frames[0].middle)
        assert seen(page).images == before.images
        page.keyboard.press("z")  # the next item is shown as a whole again


def fingers(session: Any, kind: str, *points: tuple[float, float]) -> None:
    touches = [{"x": x, "y": y, "id": n} for n, (x, y) in enumerate(points)]
    session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})


def test_a_phone_looks_closely_and_what_it_saw_is_kept(
    directory: Path, served: Served, opened: Callable[..., Any]
) -> None:
    page = opened(
        served.address,
        viewport={"width": 390, "height": 844},
        device_scale_factor=2.625,
        has_touch=True,
        is_mobile=True,
    )
    sign_in(page, "cy")
    screen = page.context.new_cdp_session(page)
    fits: dict[tuple[int, int], float] = {}
    for wide, high in items(page):
        before = seen(page)
        fits[wide, high] = before.scale(1, wide)
        if wide == 768:
            continue  # answered without a closer look
        page.touchscreen.tap(*before.images[1].middle)
        close = seen(page)
        assert close.scale(1, wide) > 1.01 * before.scale(1, wide), (wide, high)
        assert near(close.scale(0, wide), close.scale(1, wide), 0.001)
        assert close.frames[0].width > 360
        assert close.frames[1].bottom > 700
        page.tap("#zoom")
        assert seen(page).images == before.images
        page.tap("#zoom")
        close = seen(page)
        assert close.said == [f"{wide} px at 100 %"] * 2
        if (wide, high) == (4000, 400):
            assert min(f.height for f in close.frames) > 340  # of 400: it was 17 px high
            x, y = close.frames[1].middle
            fingers(screen, "touchStart", (x, y))
            for step in (20, 60, 120):
                fingers(screen, "touchMove", (x - step, y))
            fingers(screen, "touchEnd")
            moved = seen(page)
            assert near(moved.offset(1)[0], close.offset(1)[0] - 120, 2)
            assert moved.in_step()
        if (wide, high) == (1024, 1024):
            x, y = close.frames[0].middle
            fingers(screen, "touchStart", (x - 30, y), (x + 30, y))
            for step in (40, 60, 90):
                fingers(screen, "touchMove", (x - step, y), (x + step, y))
            fingers(screen, "touchEnd")
            pinched = seen(page)
            assert near(pinched.scale(1, wide), 3, 0.1)
            assert pinched.in_step()
            page.keyboard.press("+")
            assert near(seen(page).scale(1, wide), 1.25 * pinched.scale(1, wide), 0.05)
        page.keyboard.press("1")  # an answer is never given under the pictures
        assert seen(page).frames == before.frames
        assert page.evaluate("[...document.querySelectorAll('#work > *')].every((e) => !e.inert)")
    page.tap("#end-undo")  # back to the last item, whose closer look was before
    until(page, "!document.documentElement.dataset.finished")
    shown(page)
    last = tuple(page.evaluate("[edit.naturalWidth, edit.naturalHeight]"))
    press(page, "Space")
    folder = Path(f"{directory}.labels")
    with LabelStore(folder) as store:
        study = store.study()
        looks = {SIZES[int(study.items[s.item].image_id)]: s.look for s in store.said("cy")}
    assert {(look.window_px, look.pixel_ratio) for look in looks.values()} == {(390, 2.625)}
    for size, look in looks.items():
        assert near(look.fit_scale, fits[size], 0.002), size
        assert look.largest_scale is not None
    assert looks[768, 1152].largest_scale == looks[768, 1152].fit_scale
    assert looks[4000, 400].largest_scale == 1
    assert (looks[1024, 1024].largest_scale or 0) > 3
    assert last == (768, 1152) or (looks[last].largest_scale or 0) >= 1  # also of a look before it came back


def test_a_source_of_another_size_stands_beside_and_the_widths_come_out_with_the_labels(
    tmp_path: Path, opened: Callable[..., Any]
) -> None:
    root = tmp_path / "edits"
    root.mkdir()
    for name, side in (("source", 1024), ("edit", 256)):
        Image.linear_gradient("L").resize((side, side)).convert("RGB").save(root / f"{name}.png")
    row = {"file_name": "edit.png", "source_file_name": "source.png", "prompt": "flip it", "image_id": "a"}
    write_metadata(root, [row])
    options = ("--edits", "1", "--repeat", "0", "--attention", "0", "--controls", "0")
    with labelling(root, *options) as served:
        page = opened(served.address, viewport={"width": 590, "height": 800})
        assert page.is_visible("#sign-in .small-window")
        sign_in(page, "ann")
        shown(page)
        assert page.is_visible("#work .small-window")
        assert page.evaluate("document.querySelector('#work .small-window').getClientRects().length") == 1
        assert seen(page).said == ["shown at 256 of 1024 px", "256 px at 100 %"]
        page.keyboard.press("+")
        page.keyboard.press("+")
        now = seen(page)
        assert near(now.scale(1, 256), 1.25**2, 0.01)
        assert near([*now.offset(0), now.images[0].width], [*now.offset(1), now.images[1].width])
        for key in ("1", "w", "Space"):
            press(page, key)
    folder = Path(f"{root}.labels")
    (label,) = read_labels(folder / "labels.csv").rows
    names = ("window_px", "pixel_ratio", "fit_scale", "largest_scale")
    assert [label.extra[name] for name in names] == ["590", "1", "1", "1.5625"]
    assert '"below_600_px": {\n   "labels": 1,\n   "of": 1\n  }' in (folder / "raters.json").read_text()


def test_who_begins_is_offered_the_guideline_and_who_is_too_early_is_told(
    served: Served, opened: Callable[..., Any]
) -> None:
    page = opened(served.address, viewport={"width": 1440, "height": 900})
    for width, warned in ((599, True), (600, False), (320, True)):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.is_visible("#sign-in .small-window") is warned
    page.set_viewport_size({"width": 1440, "height": 900})
    page.click("#read-first")
    assert "does EDIT show what INSTRUCTION asks for" in page.inner_text("#help")
    page.keyboard.press("Escape")
    held: list[Any] = []
    page.route("**/picture/**", lambda route: held.append(route))
    sign_in(page, "dee")
    page.keyboard.press("1")
    status = page.locator("#status")
    assert status.inner_text() == "Not kept: the pictures are not there yet. Wait."
    place = "(e) => { const b = e.getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom]; }"
    told, answers = Box(*status.evaluate(place)), Box(*page.locator(".questions").evaluate(place))
    assert 0 <= answers.top - told.bottom < 30
    assert status.evaluate("(s) => getComputedStyle(s).fontWeight") == "600"
    assert status.evaluate(
        "(s, [x, y]) => s.contains(document.elementFromPoint(x, y))", [told.left + 20, told.top + 10]
    )
    page.unroute("**/picture/**")  # lets go on what was held
    shown(page)
    until(page, "document.getElementById('status').textContent === ''")
    look = "(b) => { const s = getComputedStyle(b); return [s.opacity, s.borderStyle, s.cursor].join(); }"
    answer = page.locator("[data-question=semantic] [data-value=fine]")
    enabled = answer.evaluate(look)
    page.context.set_offline(True)
    page.keyboard.press("1")
    until(page, "document.getElementById('undo').disabled")
    assert answer.evaluate(look) != enabled
    page.context.set_offline(False)
    until(page, "!document.getElementById('undo').disabled")
    assert answer.evaluate(look) == enabled
    opened.troubles[:] = [t for t in opened.troubles if "net::ERR_" not in t]  # type: ignore[attr-defined]
    hovers = page.evaluate("""() => {
      const found = (rules, inside) => [...rules].flatMap((rule) =>
        rule.cssRules && rule.media ? found(rule.cssRules, inside || rule.media.mediaText.includes("hover: hover"))
        : rule.selectorText?.includes(":hover") ? [inside] : []);
      return found(document.styleSheets[0].cssRules, false);
    }""")
    assert hovers
    assert all(hovers)
