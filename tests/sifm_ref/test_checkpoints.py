"""Checkpoints are told apart by all their bytes, read once."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs isr-eval[sifm]")
pytest.importorskip("diffusers", reason="needs isr-eval[sifm]")

from isr import digests, files  # noqa: E402
from isr.errors import InputError, UsageError  # noqa: E402
from sifm_ref.checkpoints import compared, fingerprint, is_sampled, shown_place  # noqa: E402
from sifm_ref.editing import Job, edit  # noqa: E402
from sifm_ref.editor import Settings  # noqa: E402
from sifm_ref.loading import load  # noqa: E402
from sifm_ref.units import Prompt  # noqa: E402
from tests.sifm_ref.checkpoints import merged  # noqa: E402
from tests.sifm_ref.test_editing import handmade  # noqa: E402

MODEL = Path(__file__).resolve().parents[2] / "examples" / "shapes" / "editor" / "model"
PROMPTS = (Prompt("*", "make the circle red", "red"),)


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A cache of its own, in which also files that were written just now are kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(files, "SETTLED_NS", 0)
    digests._known.clear()
    yield
    digests._known.clear()


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the large files that were read."""
    names: list[str] = []
    whole = digests._read

    def noted(path: Path, size: int) -> str:
        names.append(path.name)
        return whole(path, size)

    monkeypatch.setattr(digests, "_read", noted)
    return names


def ends(file: Path) -> bytes:
    """What the fingerprint of before saw of a large file."""
    data = file.read_bytes()
    return data[:65536] + data[-65536:]


def test_a_merged_lora_is_another_checkpoint(tmp_path: Path) -> None:
    """Attention weights lie in the middle of the file: size, head and tail are the same."""
    other = merged(MODEL, tmp_path / "model")
    file = Path("unet") / "diffusion_pytorch_model.safetensors"
    assert (MODEL / file).stat().st_size == (other / file).stat().st_size
    assert ends(MODEL / file) == ends(other / file)
    assert fingerprint(str(MODEL))["fingerprint"] != fingerprint(str(other))["fingerprint"]
    assert shown_place(str(MODEL)) != shown_place(str(other))
    copy = shutil.copytree(MODEL, tmp_path / "copy", symlinks=False)
    (copy / ".cache").mkdir()
    (copy / ".cache" / "download.json").write_text("{}")  # as a client of the hub leaves it
    assert fingerprint(str(copy))["fingerprint"] == fingerprint(str(MODEL))["fingerprint"]


def linked(folder: Path, **others: Path) -> Path:
    """A checkpoint that is composed of links: each part of it lies elsewhere."""
    folder.mkdir()
    for part in MODEL.iterdir():
        (folder / part.name).symlink_to(others.get(part.name, part))
    return folder


def test_a_checkpoint_of_links_is_known_by_its_weights(tmp_path: Path) -> None:
    """Composed of links it is the same as with its files in it; another unet behind a link is another checkpoint."""
    whole = fingerprint(str(MODEL))["fingerprint"]
    assert fingerprint(str(linked(tmp_path / "same")))["fingerprint"] == whole
    other = merged(MODEL, tmp_path / "other")
    composed = linked(tmp_path / "composed", unet=other / "unet")
    assert fingerprint(str(composed))["fingerprint"] == fingerprint(str(other))["fingerprint"] != whole


def test_a_fingerprint_is_what_it_was(tmp_path: Path) -> None:
    """Of folders without links, as versions before wrote it: in order of path, each name with its digest."""
    for name in (
        "model_index.json",
        "unet/a.safetensors",
        "unet-b/x.json",
        "vae/b.safetensors",
        "vae/no.bin",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    total = hashlib.sha256()
    for name in ("model_index.json", "unet/a.safetensors", "unet-b/x.json", "vae/b.safetensors"):
        total.update(f"{name}\0sha256:{hashlib.sha256(name.encode()).hexdigest()}\n".encode())
    assert fingerprint(str(tmp_path))["fingerprint"] == f"sha256:{total.hexdigest()}"


def test_a_checkpoint_without_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text("{}")
    (tmp_path / "diffusion_pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(InputError, match=r"expected a checkpoint with its weights .*; found none in 1 file"):
        fingerprint(str(tmp_path))


def test_shards_and_resumes_refuse_other_weights(tmp_path: Path) -> None:
    place = shutil.copytree(MODEL, tmp_path / "model", symlinks=False)
    folder = handmade(tmp_path / "in", "a", "b", size=64)
    job = Job(directories=(folder,), out=tmp_path / "out", prompts=PROMPTS, shard=(0, 2), resume=True)

    def opened() -> Any:
        return load(str(place), Settings(settings={"steps": 1}))

    assert edit(job, opened()) == 1
    shutil.rmtree(place)
    merged(MODEL, place)
    for again in (replace(job, shard=(1, 2)), job):
        with pytest.raises(
            UsageError, match=r"(?s)begun with other settings.*editor: now .*the weights are others"
        ):
            edit(again, opened())
    assert len(list((tmp_path / "out" / "edits").iterdir())) == 1


def test_another_unet_behind_a_link_is_refused(tmp_path: Path) -> None:
    place = linked(tmp_path / "model")
    folder = handmade(tmp_path / "in", "a", "b", size=64)
    job = Job(directories=(folder,), out=tmp_path / "out", prompts=PROMPTS, shard=(0, 2), resume=True)
    assert edit(job, load(str(place), Settings(settings={"steps": 1}))) == 1
    (place / "unet").unlink()
    (place / "unet").symlink_to(merged(MODEL, tmp_path / "other") / "unet")
    with pytest.raises(UsageError, match="the weights are others"):
        edit(replace(job, shard=(1, 2)), load(str(place), Settings(settings={"steps": 1})))


def test_a_run_of_before_is_of_weights_that_are_not_known(tmp_path: Path) -> None:
    """Its fingerprint is of the ends of the files: neither the same nor another."""
    folder, out = handmade(tmp_path / "in", "a", size=64), tmp_path / "out"
    job = Job(directories=(folder,), out=out, prompts=PROMPTS, resume=True)
    box = load(str(MODEL), Settings(settings={"steps": 1}))
    edit(job, box)
    said = json.loads((out / "edit.json").read_text())
    said["editor"]["fingerprint"] = "sha256:87fe91320fc09dc1"
    said["digest"] = "sha256:0"
    (out / "edit.json").write_text(json.dumps(said))
    with pytest.raises(UsageError, match="whether these are the same weights is not known"):
        edit(job, box)


def test_the_two_kinds_are_told_apart_by_what_they_are() -> None:
    whole = fingerprint(str(MODEL))["fingerprint"]
    assert len(whole) == len("sha256:") + 64
    assert is_sampled("sha256:87fe91320fc09dc1")
    assert not is_sampled(whole)
    assert not is_sampled("someone/model@abc")
    assert compared({"fingerprint": whole}, {"fingerprint": whole}) == ""
    assert compared({"fingerprint": whole[:-1] + "x"}, {"fingerprint": whole}).startswith(
        "the weights are others"
    )
    for other in (whole, "sha256:87fe91320fc09dc1", "sha256:aaaaaaaaaaaaaaaa"):
        assert compared({"fingerprint": "sha256:87fe91320fc09dc1"}, {"fingerprint": other}).endswith(
            "not known"
        )
    assert compared(None, {"commit": "abc"}) == ""


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "gone.json").symlink_to(tmp_path / "nothing")
    with pytest.raises(
        InputError, match=r"expected a checkpoint whose files can be read; found .*gone\.json"
    ):
        fingerprint(str(tmp_path))
