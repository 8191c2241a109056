"""Probe edits are what they say: same pixels each time, no label read, sources and edits taken byte for byte."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from isr.errors import EditDirectoryError
from isr.judging.edits import load_edits
from isr.judging.requests import Template, requests_for
from isr.qualify.probes import ASKED, DOSES, TEXTS, degraded, reencoded, text_band, with_text, write_probes
from isr.types import Arm
from tests.directories import make_directory, picture, write_metadata


def rows_of(root: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (root / "metadata.jsonl").read_text().splitlines()]


def pixels(path: Path) -> np.ndarray[Any, np.dtype[np.float64]]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), np.float64)


def make_probes(tmp_path: Path, *, images: int = 3, seed: int = 0, size: int = 96) -> Path:
    make_directory(tmp_path / "e", images=4, prompts=2, size=size)
    out = tmp_path / f"probes-{seed}"
    write_probes(load_edits(tmp_path / "e"), out, images=images, seed=seed)
    return out


def test_probes_are_an_edit_directory_with_every_probe_of_every_image(tmp_path: Path) -> None:
    out = make_probes(tmp_path)
    edits = load_edits(out).edits
    images = {e.cluster for e in edits}
    assert len(images) == 3
    for probe in ASKED:
        assert {e.cluster for e in edits if e.treatment.method == probe} == images, probe
    for kind, strengths in DOSES.items():
        found = {e.treatment.config for e in edits if e.treatment.method == kind}
        assert found == {f"{s:g}" for s in strengths}


def test_the_same_seed_makes_the_same_probes_and_another_one_others(tmp_path: Path) -> None:
    first = load_edits(make_probes(tmp_path)).digest
    assert load_edits(make_probes(tmp_path)).digest == first
    assert load_edits(make_probes(tmp_path, seed=1)).digest != first


def test_sources_and_edits_are_the_very_files(tmp_path: Path) -> None:
    out = make_probes(tmp_path)
    given = {p.read_bytes() for p in (tmp_path / "e").rglob("*.png")}
    controls = {p.read_bytes() for p in (tmp_path / "e" / "controls").iterdir()}
    for row in rows_of(out):
        data, source = ((out / row[c]).read_bytes() for c in ("file_name", "source_file_name"))
        assert source in given
        if row["method"] == "unchanged":
            assert data == source
        elif row["method"] in ("own", "other-prompt", "nonsense", "unrelated"):
            assert data in controls  # made without protection: it more often shows what was asked
        elif row["method"] != "other-image":
            assert data not in given


def test_other_images_and_prompts_are_others(tmp_path: Path) -> None:
    out = make_probes(tmp_path)
    rows = rows_of(out)
    own = {r["image_id"]: r for r in rows if r["method"] == "own"}
    foreign = {i: (out / r["file_name"]).read_bytes() for i, r in own.items()}
    for row in rows:
        if row["method"] == "other-prompt":
            assert row["prompt"] != own[row["image_id"]]["prompt"]
            assert row["prompt"].startswith("make it colour")
        if row["method"] == "other-image":
            shown = pixels(out / row["file_name"])
            same = [i for i in foreign if np.array_equal(pixels(out / own[i]["file_name"]), shown)]
            assert same
            assert row["image_id"] not in same
        if row["method"] == "black":
            assert not pixels(out / row["file_name"]).any()


def test_damage_has_its_strength(tmp_path: Path) -> None:
    grey = Image.new("RGB", (200, 200), (128, 128, 128))
    rng = np.random.default_rng(0)
    spread = np.asarray(degraded(grey, "noise", 0.12, rng), np.float64).std() / 255
    assert spread == pytest.approx(0.12, rel=0.02)
    image = picture(1, 200)
    full = np.asarray(degraded(image, "blocks", 1.0, rng), np.float64)
    cell = full[:10, :10]  # 20 cells along 200 pixels
    assert np.ptp(cell, axis=(0, 1)).max() == 0
    assert cell[0, 0] == pytest.approx(np.asarray(image, np.float64)[:10, :10].mean(axis=(0, 1)), abs=0.5)
    assert np.array_equal(np.asarray(degraded(image, "blocks", 0.0, rng)), np.asarray(image))
    step = Image.new("L", (400, 100))
    step.paste(255, (200, 0, 400, 100))
    soft = np.asarray(degraded(step.convert("RGB"), "blur", 0.06, rng), np.float64)[50, :, 0] / 255
    slope = np.diff(soft).max()  # of a Gaussian of 6 pixels: 1 / (6 sqrt(2 pi))
    assert slope == pytest.approx(1 / (6 * np.sqrt(2 * np.pi)), rel=0.1)


def test_mild_changes_are_mild_and_changes(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 255, 128, dtype=np.uint8)[:, None, None], (1, 128, 3))
    smooth = Image.fromarray(ramp)
    for changed in (reencoded(smooth), degraded(smooth, "noise", 2 / 255, np.random.default_rng(0))):
        gap = np.abs(np.asarray(changed, np.float64) - ramp)
        assert 0 < gap.mean() < 3


@pytest.mark.parametrize("side", [96, 104, 320, 1024])
def test_the_texts_differ_only_within_a_band_of_one_height(side: int) -> None:
    image = Image.new("RGB", (side, side), "green")
    shown: Sequence[np.ndarray[Any, Any]] = [np.asarray(with_text(image, t)) for t in TEXTS.values()]
    heights = {text_band(t, side, side).height for t in TEXTS.values()}
    assert len(heights) == 1
    height = heights.pop()
    assert height < 0.4 * side
    for one in shown:
        assert np.array_equal(one[: side - height], np.asarray(image)[: side - height])
        assert (one[side - height :] < 90).any()  # there are letters
    assert len({one.tobytes() for one in shown}) == 3


def test_small_images_get_no_text(tmp_path: Path) -> None:
    out = make_probes(tmp_path, size=64)
    assert not [r for r in rows_of(out) if r["method"].startswith("text")]


def test_an_edit_of_another_size_than_its_source_and_a_jpeg(tmp_path: Path) -> None:
    rows = make_directory(tmp_path / "e", images=2, prompts=1, size=64, controls=False)
    for row in rows:
        path = tmp_path / "e" / row["file_name"]
        picture(7, 80).save(path.with_suffix(".jpg"))
        row["file_name"] = row["file_name"].replace(".png", ".jpg")
    write_metadata(tmp_path / "e", rows)
    out = tmp_path / "probes"
    write_probes(load_edits(tmp_path / "e"), out, images=2, seed=0)
    found = {r["method"]: r for r in rows_of(out)}
    assert found["own"]["file_name"].endswith(".jpg")
    assert pixels(out / found["other-image"]["file_name"]).shape == (64, 64, 3)
    assert "other-prompt" not in found  # the image has one prompt only


def test_one_image_is_too_few(tmp_path: Path) -> None:
    make_directory(tmp_path / "e", images=1, prompts=3)
    with pytest.raises(EditDirectoryError, match="two or more; found 1 images with a source"):
        write_probes(load_edits(tmp_path / "e"), tmp_path / "p", images=3, seed=0)


def test_the_edit_itself_is_asked_about_as_by_isr_score(tmp_path: Path) -> None:
    from isr.judging.cards import load_card
    from isr.judging.rubrics import load_rubric

    out = make_probes(tmp_path)
    template = Template(load_rubric("semantic/v1"), load_card("shapes-oracle"))
    scored = {r.key for e in load_edits(tmp_path / "e").edits for r in requests_for(e, Arm.CONTROL, template)}
    own = [e for e in load_edits(out).edits if e.treatment.method == "own"]
    assert {r.key for e in own for r in requests_for(e, Arm.PROTECTED, template)} <= scored
