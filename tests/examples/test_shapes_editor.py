"""The tiny editors of the painted scenes: their seeds, their scenes, their files, and some of their edits."""

from __future__ import annotations

import csv
import importlib
import importlib.util
import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from PIL import Image

EDITOR = Path(__file__).resolve().parents[2] / "examples" / "shapes" / "editor"
MODELS = ("model", "second")


@pytest.fixture(scope="module")
def editor() -> Iterator[SimpleNamespace]:
    """The modules of the editor that need no torch, imported from their folder."""
    sys.path.insert(0, str(EDITOR))
    modules = {n: importlib.import_module(n) for n in ("ranges", "pairs", "scenes")}
    yield SimpleNamespace(**modules, world=importlib.import_module("isr_shapes.world"))
    sys.path.remove(str(EDITOR))


def seeds_of_the_judge() -> ModuleType:
    spec = importlib.util.spec_from_file_location("judge_seeds", EDITOR.parent / "judge" / "seeds.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_two_ranges_of_seeds_share_one(editor: SimpleNamespace) -> None:
    own, judges = editor.ranges, seeds_of_the_judge()
    ranges = [own.TRAIN, own.VALIDATION, own.TEST, own.TUNING, own.HELD_OUT, own.QUICK]
    ranges += [judges.ELSEWHERE, judges.TEST, judges.VALIDATION, judges.TRAIN]
    for a, b in itertools.combinations(ranges, 2):
        assert a.stop <= b.start or b.stop <= a.start


def test_pairs_are_painted_the_same_again_and_show_what_the_prompt_asks(editor: SimpleNamespace) -> None:
    from isr_shapes.vision import degradation, look

    part = next(editor.pairs.paint(range(editor.ranges.TRAIN.start, editor.ranges.TRAIN.start + 2), 1))
    again = next(editor.pairs.paint(range(editor.ranges.TRAIN.start, editor.ranges.TRAIN.start + 2), 1))
    assert np.array_equal(part.images, again.images)
    assert np.array_equal(part.pairs, again.pairs)
    assert part.images.shape[1:] == (64, 64, 3)
    prompts = editor.pairs.prompts()
    assert len(prompts) == 4 * 6 + 4 * 3 + 4 + 6
    for source, edit, prompt in part.pairs:
        before, after = (Image.fromarray(part.images[k]) for k in (source, edit))
        assert look(prompts[prompt], before, after).verdict == "fine"
        assert degradation(before, after).verdict == "fine"


def test_joined_parts_keep_their_pairs(editor: SimpleNamespace) -> None:
    first = editor.ranges.TRAIN.start
    parts = [next(editor.pairs.paint(range(k, k + 1), 1)) for k in (first, first + 1)]
    whole = editor.pairs.joined(parts)
    source, edit, prompt = whole.pairs[len(parts[0].pairs)]
    own = parts[1].pairs[0]
    assert np.array_equal(whole.images[source], parts[1].images[own[0]])
    assert np.array_equal(whole.images[edit], parts[1].images[own[1]])
    assert prompt == own[2]


def test_scenes_are_written_with_one_seen_prompt_and_two_unseen_ones(
    editor: SimpleNamespace, tmp_path: Path
) -> None:
    assert editor.scenes.write(tmp_path, editor.ranges.VALIDATION[:3]) == 9
    rows = list(csv.DictReader((tmp_path / "prompts.csv").read_text("utf-8").splitlines()))
    for name in ("000", "001", "002"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.size == (64, 64)
        mine = [r for r in rows if r["name"] == name]
        assert [r["split"] for r in mine] == ["seen", "unseen", "unseen"]
        assert len({r["task"] for r in mine}) == 3


@pytest.mark.parametrize("folder", [("held-out", 24), ("tuning", 16), ("quick", 12)], ids=str)
def test_the_committed_scenes_are_the_ones_that_the_command_writes(
    editor: SimpleNamespace, tmp_path: Path, folder: tuple[str, int]
) -> None:
    name, scenes = folder
    editor.scenes.write(tmp_path, editor.scenes.RANGES[name][:scenes])
    there = EDITOR.parent / "scenes" / name
    assert (tmp_path / "prompts.csv").read_bytes() == (there / "prompts.csv").read_bytes()
    assert {p.name for p in tmp_path.iterdir()} == {p.name for p in there.iterdir()}
    for picture in tmp_path.glob("*.png"):
        with Image.open(picture) as own, Image.open(there / picture.name) as committed:
            assert np.array_equal(np.asarray(own), np.asarray(committed))


@pytest.mark.parametrize("name", MODELS)
def test_the_committed_editor_is_a_small_diffusers_folder_without_pickles(name: str) -> None:
    files = [p for p in (EDITOR / name).rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) < 25_000_000
    assert {p.suffix for p in files} <= {".json", ".safetensors", ".txt"}
    index = json.loads((EDITOR / name / "model_index.json").read_text("utf-8"))
    assert index["_class_name"] == "StableDiffusionInstructPix2PixPipeline"


@pytest.mark.parametrize("name", MODELS)
def test_the_tokenizer_has_every_word_of_every_prompt(editor: SimpleNamespace, name: str) -> None:
    pytest.importorskip("transformers", reason="the tokenizer needs transformers")
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(EDITOR / name / "tokenizer")
    for prompt in editor.pairs.prompts():
        assert len(tokenizer(prompt).input_ids) == len(prompt.split()) + 2 <= tokenizer.model_max_length


@pytest.mark.slow
@pytest.mark.parametrize(("name", "share"), [("model", 0.8), ("second", 0.6)])
def test_most_edits_of_new_scenes_succeed(editor: SimpleNamespace, name: str, share: float) -> None:
    """12 scenes of the validation range; the model cards have the figures of the test range."""
    pytest.importorskip("diffusers", reason="an editor needs diffusers")
    evaluate = importlib.import_module("evaluate_editor")
    some = evaluate.asked(editor.ranges.VALIDATION[:12])
    found = evaluate.measure(EDITOR / name, some)
    assert sum(j.succeeds for j in found) >= share * len(some)
