"""The pictures of a report: made alike, true to their files, inside their budget and inside the directory."""

from __future__ import annotations

import base64
import io
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from isr.report import assets as module
from isr.report.assets import Assets
from isr.report.page import Options, write_report_told
from isr.report.runs import read_report_run
from isr.report.shrinking import (
    LEVELS,
    MIDDLE,
    Level,
    Small,
    amplified,
    clipped,
    part_in_words,
    part_of,
    place_of,
    thumbnail,
)
from tests import processes
from tests.runs import recorded_run

Unit = tuple[str, str, str, str]
SIDE = 400


def scene(seed: int, side: int = SIDE) -> NDArray[np.int16]:
    """A smooth picture that no other seed has."""
    corners = np.random.default_rng(seed).integers(40, 200, (5, 5, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(corners).resize((side, side), Image.Resampling.BICUBIC)).astype(
        np.int16
    )


def saved(pixels: NDArray[np.int16], file: Path) -> str:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file)
    return file.name


def noise(seed: int, sd: float, side: int = SIDE) -> NDArray[np.int16]:
    return np.random.default_rng(seed).normal(0, sd, (side, side, 3)).astype(np.int16)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sources, each with a protected image, and two prompts with a control edit and a noisy edit."""
    folder = tmp_path_factory.mktemp("assets")
    for i in range(3):
        source = scene(i)
        saved(source, folder / f"s{i}.png")
        saved(source + 4, folder / f"p{i}.png")
        for prompt in range(2):
            control = source.copy()
            control[250:350, 20:120] = 255 - control[250:350, 20:120]  # what the editor changed
            saved(control, folder / f"c{i}{prompt}.png")
            saved(control + noise(i, 28), folder / f"e{i}{prompt}.png")
    return folder


UNITS: list[Unit] = [
    (f"s{i}.png", f"p{i}.png", f"c{i}{prompt}.png", f"e{i}{prompt}.png")
    for i in range(3)
    for prompt in range(2)
]


def filled(root: Path, most: int, **options: object) -> tuple[Assets, list[list[int]]]:
    assets = Assets(page=root.parent, most=most, **options)  # type: ignore[arg-type]
    return assets, [assets.unit(root, *unit) for unit in UNITS]


def image(url: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))


def spent(assets: Assets) -> int:
    return sum(len(base64.b64decode(u.partition(",")[2])) for u in assets.urls if u.startswith("data:"))


def test_pictures_of_a_unit_are_made_alike_and_their_parts_are_the_files_own_pixels(root: Path) -> None:
    assets, units = filled(root, 1_250_000)
    assert assets.made.linked is False
    for unit, numbers in zip(UNITS, units, strict=True):
        shown = [assets.made.shown[n] for n in numbers[:4]]
        assert len({tuple(s[:3] + s[4:]) for s in shown}) == 1  # sizes, and the place of the part
        for name, (width, height, side, part, x, y, w, h) in zip(unit, shown, strict=True):
            with Image.open(root / name) as file:
                assert (width, height) == file.size
                whole = np.asarray(file).astype(int)
            assert max(image(assets.urls[numbers[0]]).size) == side < SIDE
            own = np.asarray(image(assets.urls[part]).convert("RGB")).astype(int)
            assert np.array_equal(own, whole[y : y + h, x : x + w])
    said = assets.made.said
    share = f"{w * w / SIDE**2:.0%}"
    assert said == (
        f"18 pictures embedded at up to {side} px, each with a part of {w} x {w} px of {SIDE} x {SIDE} ({share}) at full size"
    )


def test_the_part_is_where_the_control_edits_differ_whatever_the_edits_show(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WHOLE_MOST", 0)
    boxes = []
    for edit in ("e00.png", "p1.png", "s2.png"):  # as of three methods
        assets = Assets(page=root.parent)
        numbers = assets.unit(root, "s0.png", "p0.png", "c00.png", edit)
        boxes.append(assets.made.shown[numbers[0]][4:])
    (x, y, w, h), *others = boxes
    assert others == [boxes[0]] * 2
    assert (w, h) == (LEVELS[0].part, LEVELS[0].part)
    assert x == 0  # the square that the editor changed is in it
    assert y <= 250
    assert y + h >= 350


def test_a_place_is_that_of_the_most_difference_and_the_middle_without_any() -> None:
    source = np.zeros((64, 64, 3), np.int16)
    other = source.copy()
    other[40:44, 8:12] = 9
    assert place_of(source, [other], (4 / 64, 4 / 64)) == (10 / 64, 42 / 64)
    assert place_of(source, [source], (0.5, 0.5)) == MIDDLE
    assert place_of(source, [other], (2.0, 2.0)) == MIDDLE  # of a picture that is smaller than the part


def test_a_place_is_none_where_pictures_are_clipped_unless_all_that_differs_is() -> None:
    pixels = np.full((128, 128, 3), 100, np.uint8)
    pixels[:64, :64, 1] = 255  # one channel is enough
    pixels[64:66, 64:66] = 0
    pixels[66:68, 64:66] = [[[0, 9, 9], [9, 9, 9]]] * 2  # a half is not more than half
    flat = clipped(Image.fromarray(pixels))
    wanted = np.zeros((64, 64), bool)
    wanted[:32, :32] = wanted[32, 32] = True
    assert np.array_equal(flat, wanted)
    source = np.zeros((64, 64, 3), np.int16)
    other = source.copy()
    other[4:8, 4:8] = 90
    assert place_of(source, [other], (4 / 64, 4 / 64), flat) == (6 / 64, 6 / 64)
    other[40:44, 8:12] = 9
    assert place_of(source, [other], (4 / 64, 4 / 64)) == (6 / 64, 6 / 64)
    assert place_of(source, [other], (4 / 64, 4 / 64), flat) == (10 / 64, 42 / 64)


def test_a_report_takes_no_part_where_a_control_edit_is_clipped(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WHOLE_MOST", 0)
    control = np.tile(scene(0), (2, 2, 1))
    saved(control, tmp_path / "s.png")
    control[:300, :300] = 255
    control[700:, 700:] += 20
    saved(control, tmp_path / "c.png")
    assets = Assets(page=tmp_path)
    (number, *_) = assets.unit(tmp_path, "s.png", "", "c.png", "")
    x, y, w, h = assets.made.shown[number][4:]
    assert x + w > 700
    assert y + h > 700
    assert x > 300
    assert y > 300


def test_a_part_keeps_its_size_while_thumbnails_grow_smaller() -> None:
    first = next(at for at, level in enumerate(LEVELS) if level.part < 192)
    assert LEVELS[first - 1].side == 192  # thumbnails had grown as small as that
    assert [level.part for level in LEVELS] == sorted((level.part for level in LEVELS), reverse=True)


def test_the_share_of_a_part_is_said() -> None:
    def small(side: int) -> Small:
        kept = min(192, side)
        return Small(size=(side, side), thumbnail=b"", side=64, part=b"x", box=(0, 0, kept, kept))

    level = Level(192, 75, 192)
    assert part_in_words([small(768)] * 2, level) == "192 x 192 px of 768 x 768 (6%)"
    assert part_in_words([small(768), small(384)], level) == "192 x 192 px (6% to 25% of the picture)"
    assert part_in_words([small(9000)], level) == "192 x 192 px of 9000 x 9000 (under 1%)"
    assert part_in_words([], level) == "192 x 192 px"


@pytest.mark.parametrize("size", [(400, 300), (64, 64), (40, 4000), (4000, 3), (1, 1), (321, 320)])
def test_thumbnails_and_parts_stay_in_their_limits(size: tuple[int, int]) -> None:
    picture = Image.new("RGB", size, (10, 200, 30))
    for side, *_ in LEVELS:
        small = thumbnail(picture, side)
        squares = next(k for k in range(1, 5000) if max(size) <= k * side)
        assert small.size == (-(-size[0] // squares), -(-size[1] // squares))
        assert max(small.size) <= side
        assert small.getcolors() == [(small.width * small.height, (10, 200, 30))]
        for place in (MIDDLE, (0.0, 0.0), (1.0, 1.0)):
            x, y, w, h = part_of(size, side, place)
            assert (w, h) == (min(side, size[0]), min(side, size[1]))
            assert x >= 0
            assert y >= 0
            assert x + w <= size[0]
            assert y + h <= size[1]


def test_what_does_not_fit_is_made_smaller_then_loses_its_part_and_is_linked_last(root: Path) -> None:
    files = sum(f.stat().st_size for f in root.iterdir())
    seen = []
    for most in (files, files // 2, files // 6, 200_000, 60_000, 15_000, 10):
        assets, units = filled(root, most)
        assert spent(assets) <= most
        shown = [assets.made.shown[n] for numbers in units for n in numbers[:4]]
        side = max(s[2] if len(s) > 2 else 0 for s in shown)
        part = max(s[6] if len(s) > 6 else 0 for s in shown)
        links = sum(not assets.urls[n].startswith("data:") for numbers in units for n in numbers[:4])
        seen.append((side or SIDE, part, links))
        for numbers in units:  # never one as a file, another as a thumbnail
            assert len({len(assets.made.shown[n]) for n in numbers[:4]}) == 1
    assert seen[0] == (SIDE, 0, 0)
    assert assets.made.linked
    kinds = [
        "linked" if links else "part" if part else "small" if side < SIDE else "file"
        for side, part, links in seen
    ]
    order = ["file", "part", "small", "linked"]
    assert [k for k in order if k in kinds] == order
    assert kinds == sorted(kinds, key=order.index)
    parts = [part for _, part, _ in seen if part]
    assert parts == sorted(parts, reverse=True)
    assert parts[0] > parts[-1]


def test_some_linked_and_some_embedded_is_said_and_what_cannot_be_linked_is_embedded(root: Path) -> None:
    assets, units = filled(root, 15_000)
    embedded = {n for numbers in units for n in numbers[:4] if assets.urls[n].startswith("data:")}
    assert 0 < len(embedded) < 18
    assert assets.made.said == (
        f"{len(embedded)} of 18 pictures embedded, at up to {SIDE // 4} px; the others are links into {root.name}"
    )
    for numbers, unit in zip(units, UNITS, strict=True):
        for number, name in zip(numbers, unit, strict=False):
            assert number in embedded or assets.urls[number] == f"{root.name}/{name}"
    sealed, units = filled(root, 15_000, sealed=True)
    assert all(sealed.urls[n].startswith("data:") for numbers in units for n in numbers[:4])


def test_the_same_bytes_from_one_thread_and_from_four(root: Path) -> None:
    for most in (1_250_000, 15_000):
        one, _ = filled(root, most, threads=1)
        four, _ = filled(root, most, threads=4)
        assert one.made == four.made


def test_the_difference_is_that_of_the_files_not_of_thumbnails(root: Path) -> None:
    assets, units = filled(root, 1_250_000)
    made = np.asarray(image(assets.urls[units[0][4]])).astype(int)
    assert np.abs(made - 40).max() <= 2  # 10 x 4 all over
    a, b = (noise(n, 30).clip(0, 255).astype(np.uint8) for n in (1, 2))
    exact = np.minimum(10 * np.abs(a.astype(int) - b), 255)
    assert np.array_equal(np.asarray(amplified(Image.fromarray(a), Image.fromarray(b))), exact)
    whole, units = filled(root, 10**9)
    assert whole.urls[units[0][4]] == ""  # the page makes it of the files


def test_embed_embeds_the_files(tmp_path: Path) -> None:
    pixels = scene(0, 40) + noise(0, 20, 40)
    picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    turned = Image.Exif()
    turned[0x0112] = 6
    picture.resize((40, 30)).save(tmp_path / "turned.jpg", exif=turned)
    for end in ("png", "webp", "bmp", "tif"):
        picture.save(tmp_path / f"a.{end}", **({"lossless": True} if end == "webp" else {}))
    (tmp_path / "a.gif").write_bytes(b"GIF89a")
    assets = Assets(page=tmp_path, mode="embed", most=1)
    for end, kind in (("png", "png"), ("webp", "webp"), ("bmp", "webp"), ("tif", "webp")):
        number = assets.add(tmp_path, f"a.{end}")
        assert assets.urls[number].startswith(f"data:image/{kind};base64,")
        assert assets.made.shown[number] == [40, 40]
        if end == kind:
            assert (
                base64.b64decode(assets.urls[number].partition(",")[2])
                == (tmp_path / f"a.{end}").read_bytes()
            )
        else:
            assert np.array_equal(np.asarray(image(assets.urls[number]).convert("RGB")), np.asarray(picture))
    turned_one, unread = (assets.add(tmp_path, name) for name in ("turned.jpg", "a.gif"))
    assert assets.made.shown[turned_one] == [30, 40]  # as a browser turns it
    assert assets.urls[unread] == ""
    assert assets.made.said == "5 pictures embedded as they are; 1 cannot be read"


@pytest.mark.parametrize("most", [10**9, 400_000, 10])
def test_a_picture_that_cannot_be_read_is_counted_and_the_others_are_there(
    root: Path, tmp_path: Path, most: int
) -> None:
    for name in UNITS[0]:
        (tmp_path / name).write_bytes((root / name).read_bytes())
    (tmp_path / "e00.png").write_bytes((root / "e00.png").read_bytes()[:2000])
    (tmp_path / "c00.png").write_bytes(b"not a picture")
    assets = Assets(page=tmp_path, most=most)
    numbers = assets.unit(tmp_path, *UNITS[0])
    there = [bool(assets.urls[n]) for n in numbers[:4]]
    if most == 10:
        assert there == [True] * 4  # links, which nobody opened
    else:
        assert there[:3] == [True, True, False]
        assert "cannot be read" in assets.made.said


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_files_outside_are_never_read(root: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link.png").symlink_to(root / "s0.png")
    (tmp_path / "in" / "folder").symlink_to(root)
    for mode in ("auto", "embed", "link"):
        assets = Assets(page=tmp_path, mode=mode)  # type: ignore[arg-type]
        paths = ("link.png", "folder/s0.png", "../in/../../x.png", str(root / "s0.png"))
        assert assets.unit(tmp_path / "in", *paths) == [0] * 5  # type: ignore[arg-type]
        assert assets.urls == [""]


def test_pictures_of_a_bundle_are_links_inside_it_and_nothing_else(root: Path, tmp_path: Path) -> None:
    assets = Assets(page=tmp_path, links={"s0.png": "images/a b.png"})
    numbers = assets.unit(root, *UNITS[0])
    assert [assets.urls[n] for n in numbers] == ["images/a%20b.png", "", "", "", ""]
    assert assets.made.said == ""


def test_no_picture_is_read_where_none_is_wanted(root: Path) -> None:
    assets, units = filled(root, 10**9, mode="none")
    assert units == [[0] * 5] * len(UNITS)
    assert assets.urls == [""]


def test_the_terminal_says_what_became_of_the_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = recorded_run(tmp_path, images=2, prompts=1)
    out = run / "report.html"
    found = [read_report_run(run)]
    assert write_report_told(found, out) == [f"report: {out}"]  # the files themselves: nothing to say
    done = processes.run([sys.executable, "-m", "isr", "report", run, "--assets", "link"])
    said = f"6 pictures, all of them links into {os.path.join('..', 'edits')}".replace(os.sep, "/")
    assert done.stdout.splitlines()[1] == f"pictures: {said}"
    page = out.read_text("utf-8")
    assert f"{said}: a page that is moved or sent alone does not show them." in page
    monkeypatch.setattr(module, "WHOLE_MOST", 0)
    _, told = write_report_told(found, out, Options())
    assert told.startswith("pictures: 6 pictures embedded at up to 16 px, each with a part of 256 x 256 px")
    assert told.removeprefix("pictures: ") in out.read_text("utf-8")
