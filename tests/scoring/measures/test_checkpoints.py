"""Checkpoint folders: known by content, refused with reasons, seen once and in batches."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs isr-eval[metrics]")
pytest.importorskip("transformers", reason="needs isr-eval[transformers]")

import torch

from isr.errors import UsageError
from isr.scoring.measures import _checkpoints, clip, dino, model_types
from isr.scoring.measures._checkpoints import Encoder, open_checkpoint
from tests.scoring.measures.tiny import by_name, save
from tests.scoring.measures.weights import given


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("checkpoints") / "tiny", "clip")


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return shutil.copytree(saved, tmp_path / "tiny")


def test_a_folder_is_its_content_whatever_it_is_called(folder: Path, tmp_path: Path) -> None:
    one = open_checkpoint(str(folder), model_types())
    other = open_checkpoint(f"clip-b={folder.rename(tmp_path / 'dinov2 (copy)')}", model_types())
    assert (one.kind, one.name, other.name) == ("clip", "tiny", "clip-b")
    assert one.digest == other.digest
    (tmp_path / "dinov2 (copy)" / "preprocessor_config.json").write_text('{"size": 3}')
    changed = open_checkpoint(str(tmp_path / "dinov2 (copy)"), model_types())
    assert changed.digest != one.digest
    assert changed.name == "dinov2-copy"


def set_config(folder: Path, **values: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def drop(folder: Path, name: str) -> None:
    (folder / name).unlink()


def to_bin(folder: Path) -> None:
    drop(folder, "model.safetensors")
    torch.save({"x": torch.zeros(2)}, folder / "pytorch_model.bin")


def cut(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def fewer(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    file = folder / "model.safetensors"
    named = load_file(file)
    del named["visual_projection.weight"]
    save_file(named, file, {"format": "pt"})


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda f: drop(f, "config.json"), r"expected a folder with config\.json, .*; found none; check the path"),
        (lambda f: (f / "config.json").write_text("{"), r"expected a folder with config\.json, .* found Expecting"),
        (lambda f: set_config(f, model_type="bert"), r".* model_type clip, dinov2, .* found 'bert'; give another folder"),
        (to_bin, r"expected a checkpoint with its weights \(\.safetensors\); found none"),
        (cut, r"expected whole safetensors; found model\.safetensors, which cannot be read \(.*\); get it again"),
        (fewer, r"expected all weights of a CLIPModel; found none for 1 of them \(visual_projection\.weight\)"),
        (lambda f: drop(f, "preprocessor_config.json"), r"expected an image processor \(preprocessor_config\.json\)"),
        (lambda f: drop(f, "tokenizer.json"), r"expected a tokenizer that transformers loads; found: .*; complete the folder"),
    ],
    ids=["no config", "no json", "kind", "bin", "cut", "fewer", "processor", "tokenizer"],
)  # fmt: skip
def test_a_folder_that_is_not_whole_is_refused_before_anything_runs(
    folder: Path, spoil: Callable[[Path], Any], expected: str
) -> None:
    spoil(folder)
    with pytest.raises(UsageError, match=f"--metric-model .*tiny: {expected}"):
        by_name(clip, folder, caption="target")


def test_what_is_no_folder_is_not_downloaded(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"openai/clip: expected a folder on this machine .* nothing is downloaded"
    ):
        open_checkpoint("openai/clip", model_types())
    (tmp_path / "__").mkdir()
    with pytest.raises(UsageError, match="expected a short name of letters"):
        open_checkpoint(str(tmp_path / "__"), model_types())


def test_pictures_are_seen_once_and_in_batches_and_few_are_kept(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_checkpoints, "BATCH", 3)
    monkeypatch.setattr(_checkpoints, "KEPT", 6)
    sizes: list[int] = []

    def picture(model: Any, pixels: Any) -> Any:
        sizes.append(len(pixels))
        return model.get_image_features(pixel_values=pixels).pooler_output

    encoder = Encoder(open_checkpoint(str(saved), model_types()), "CLIPModel", picture=picture)
    pairs = [given(tmp_path, n, n + 1) for n in range(4)]  # five pictures
    with torch.inference_mode():
        encoder.show(pairs)
        assert sizes == [3, 2]
        before = [encoder.vectors(p) for p in pairs]
        assert sizes == [3, 2]
        encoder.show([given(tmp_path, 10, 11, 12)])
        assert len(encoder._kept) == 6
        again = [encoder.vectors(p) for p in pairs]  # those that were forgotten are seen again
    for one, other in zip(before, again, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_a_checkpoint_is_of_one_kind(saved: Path) -> None:
    assert by_name(dino, saved) == {}
