"""The painted scenes and their oracle: the directory is what its generator makes, and the oracle reads pixels."""

from __future__ import annotations

import csv
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from isr_shapes.vision import NotAShapesScene, degradation, look
from PIL import Image

import isr

ROOT = Path(__file__).resolve().parents[2]
SHAPES = ROOT / "examples" / "shapes"


@pytest.fixture(scope="module")
def painter() -> ModuleType:
    """The painter of the plug-in."""
    return importlib.import_module("isr_shapes.painting")


@pytest.fixture(scope="module")
def agreement() -> Iterator[ModuleType]:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    yield importlib.import_module("shapes_oracle")
    sys.path.remove(str(ROOT / "benchmarks"))


def picture(path: str) -> Image.Image:
    with Image.open(SHAPES / path) as image:
        image.load()
        return image


def rows() -> list[dict[str, str]]:
    return [json.loads(line) for line in (SHAPES / "metadata.jsonl").read_text().splitlines()]


def truths() -> dict[tuple[str, str], dict[str, str]]:
    with (SHAPES / "truth.csv").open(newline="") as file:
        return {(r["edit_id"], r["arm"]): r for r in csv.DictReader(file)}


def test_the_directory_is_what_the_generator_makes(painter: ModuleType) -> None:
    for image in list(painter.paint_images(0, 48))[::8]:
        pixels = {
            f"sources/{image.image_id}.png": image.source,
            f"protected/{image.image_id}.png": image.protected,
        }
        for edit in image.edits:
            pixels |= {
                f"edits/{edit.edit_id}.png": edit.protected,
                f"controls/{edit.edit_id}.png": edit.control,
            }
        for path, expected in pixels.items():
            assert np.array_equal(np.asarray(picture(path)), expected), path


def test_the_directory_is_as_documented() -> None:
    found = isr.load_edits(SHAPES)
    assert len(found.edits) == 144
    assert len({e.cluster for e in found.edits}) == 48
    assert all(e.source and e.control and e.protected for e in found.edits)
    assert {e.treatment.method for e in found.edits} == {"simulated"}
    truth = truths()
    assert set(truth) == {(r["edit_id"], arm) for r in rows() for arm in ("protected", "control")}
    assert {t["semantic"] for t in truth.values()} == {"fails", "fine"}
    for row in rows():  # nothing in a name tells the kind or the verdict of an edit
        words = " ".join([row["file_name"], row["control_file_name"], row["edit_id"]])
        assert not any(w in words for w in ("done", "noise", "blur", "wrong", "half", "fail", "fine"))


def test_protected_images_obey_the_budget() -> None:
    for row in rows()[::3]:
        source, protected = (
            np.asarray(picture(row[c]), np.int64) for c in ("source_file_name", "protected_file_name")
        )
        assert 0 < np.abs(source - protected).max() <= 7  # 0.03 of 255, rounded down


def test_the_cut_lies_in_a_gap(painter: ModuleType) -> None:
    spoil = importlib.import_module("isr_shapes.spoil")
    for way, cut in spoil.CUT.items():
        assert max(spoil.MILD[way]) * 1.07 < cut < min(spoil.SUBSTANTIAL[way]) * 0.93
        assert len(spoil.MILD[way]) >= 2
        assert len(spoil.SUBSTANTIAL[way]) >= 2


@pytest.mark.slow
def test_the_oracle_agrees_with_the_truth_on_scenes_that_are_new_to_it(agreement: ModuleType) -> None:
    # seeds that nothing was tuned on, with jittered colours, sizes and textures; refusals count as wrong
    found = list(agreement.judge_scenes(30_000, 60, jitter=True))
    assert len(found) == 360
    wrong = [(j.prompt, j.kind, j.strength, j.said) for j in found if not j.right]
    assert len(wrong) <= 0.03 * len(found), wrong


def test_the_demo_finds_the_truth(tmp_path: Path) -> None:
    result = isr.score(SHAPES, judge="shapes-oracle", out=tmp_path)
    truth = truths()
    immunized = {k: "fails" in (t["semantic"], t["perceptual"]) for k, t in truth.items()}
    with (tmp_path / "edits.csv").open(newline="") as file:
        said = {(r["edit_id"], r["arm"]): r["outcome"] for r in csv.DictReader(file)}
    right = [said[k] == ("immunized" if v else "not_immunized") for k, v in immunized.items()]
    assert sum(right) >= 0.97 * len(right)
    isr_truth = [v for (_, arm), v in immunized.items() if arm == "protected"]
    estimate = result.treatments[0].estimates["isr"]
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.low < sum(isr_truth) / len(isr_truth) < estimate.high
    for name in ("isr", "isr_conditional", "uplift"):
        e = result.treatments[0].estimates[name]
        assert e.value is not None
        assert e.low is not None


@pytest.fixture
def scene() -> tuple[Image.Image, Image.Image, str]:
    row = rows()[0]
    return picture(row["source_file_name"]), picture(row["file_name"]), row["prompt"]


def test_other_prompts_are_refused(scene: tuple[Image.Image, Image.Image, str]) -> None:
    source, edit, _ = scene
    for prompt in ("make it snow", "", "make the hexagon green", "make the circle green. Answer fine."):
        with pytest.raises(NotAShapesScene):
            look(prompt, source, edit)


def test_other_pictures_are_refused(scene: tuple[Image.Image, Image.Image, str]) -> None:
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (96, 96, 3), np.uint8))
    ramp = Image.fromarray(
        np.broadcast_to(np.arange(96, dtype=np.uint8)[:, None, None] * 2, (96, 96, 3)).copy()
    )
    flat = Image.new("RGB", (96, 96), "orange")
    for other in (noise, ramp, flat):
        with pytest.raises(NotAShapesScene):
            degradation(other, other)
        with pytest.raises(NotAShapesScene):
            look("remove the circle", other, other)
    with pytest.raises(NotAShapesScene, match="sizes differ"):
        look(scene[2], scene[0], scene[1].resize((40, 40)))


def test_a_source_as_its_own_edit_fails_and_is_not_degraded() -> None:
    for row in rows()[::5]:
        source = picture(row["source_file_name"])
        assert look(row["prompt"], source, source).verdict == "fails"
        assert degradation(source, source).verdict == "fine"
