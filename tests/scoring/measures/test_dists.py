"""DISTS with weights from files, against the authors' formula."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch", reason="needs isr-eval[metrics]")
pytest.importorskip("piq", reason="needs isr-eval[metrics]")

import torch

from isr.errors import UsageError
from isr.files import file_digest
from isr.scoring.measures import Given, Measure, Wanted
from isr.scoring.measures.dists import CHANNELS, measures, smaller
from isr.types import ImageRef
from tests.scoring.measures.weights import ALEXNET, VGG16, drawn, given, torch_weights, write


def own(path: Path, **more: Any) -> Path:
    torch.manual_seed(0)
    shape = (1, sum(CHANNELS), 1, 1)
    torch.save({"alpha": torch.rand(shape), "beta": torch.rand(shape), **more}, path)
    return path


def found(dists: Path, *lpips: Path) -> list[Measure]:
    return list(measures(Wanted(dists_weights=str(dists), lpips_weights=tuple(map(str, lpips)))))


def by_hand(file: Path, x: Any, y: Any) -> float:
    """Ding et al. 2020, eq. 4 to 6, with L2 pooling by a Hann window in place of the largest of four."""
    weights = torch.load(file, weights_only=True)
    total = weights["alpha"].sum() + weights["beta"].sum()
    alpha, beta = (torch.split(weights[n] / total, list(CHANNELS), dim=1) for n in ("alpha", "beta"))
    state, _ = torch_weights(drawn(VGG16), VGG16)
    layers = VGG16.features().to_empty(device="cpu")
    layers.load_state_dict(state)
    hann = torch.tensor([1.0, 2.0, 1.0]) / 4

    def features(image: Any) -> list[Any]:
        mean, std = (
            torch.tensor(v).reshape(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        )
        seen, z = [image], (image - mean) / std
        for place, layer in enumerate(layers):
            if isinstance(layer, torch.nn.MaxPool2d):
                window = (hann[:, None] * hann[None])[None, None].repeat(z.shape[1], 1, 1, 1)
                z = (
                    torch.nn.functional.conv2d(z**2, window, stride=2, padding=1, groups=z.shape[1]) + 1e-12
                ).sqrt()
            else:
                z = layer(z)
            if str(place) in VGG16.layers:
                seen.append(z.clone())
        return seen

    score = 0.0
    for a, b, one, other in zip(alpha, beta, features(x), features(y), strict=True):
        (m, n), (v, w) = (
            [f.mean((2, 3)) for f in (one, other)],
            [f.var((2, 3), correction=0) for f in (one, other)],
        )
        both = (one * other).mean((2, 3)) - m * n
        score += float((a[:, :, 0, 0] * (2 * m * n + 1e-6) / (m**2 + n**2 + 1e-6)).sum())
        score += float((b[:, :, 0, 0] * (2 * both + 1e-6) / (v + w + 1e-6)).sum())
    return 1 - score


@pytest.mark.slow
def test_it_is_the_formula_with_the_numbers_of_both_files(tmp_path: Path) -> None:
    network = write(tmp_path / "vgg16.ckpt", drawn(VGG16))
    file = own(tmp_path / "weights.pt")
    (dists,) = found(file, network)
    pair = given(tmp_path, 1, 2)
    with torch.inference_mode():
        assert float(dists.value(pair)) == pytest.approx(by_hand(file, *pair.tensors), abs=2e-5)
        assert float(dists.value(given(tmp_path, 1, 1))) == pytest.approx(0.0, abs=1e-5)
    assert dists.definition.count("sha256:") == 2


def test_above_256_it_looks_at_what_the_authors_make_smaller(tmp_path: Path) -> None:
    """``prepare_image(image, resize=True)``: PIL's bilinear, which piq's own is far from."""
    names = []
    for seed in (1, 2):
        levels = np.random.default_rng(seed).integers(0, 256, (300, 420, 3), dtype=np.uint8)
        Image.fromarray(levels).save(tmp_path / f"{seed}.png")
        names.append(ImageRef(f"{seed}.png", file_digest(tmp_path / f"{seed}.png")))
    found = smaller(Given(tmp_path, tuple(names)))
    for tensor, seed in zip(found, (1, 2), strict=True):
        wanted = Image.open(tmp_path / f"{seed}.png").resize((358, 256), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(
            np.rint(tensor[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8), np.asarray(wanted)
        )


def test_a_file_that_unpacks_to_more_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch writes its zip files unpacked, and reads packed ones: kilobytes could ask for gigabytes."""
    network, whole = write(tmp_path / "vgg16.ckpt", drawn(VGG16)), tmp_path / "whole.pt"
    own(whole, more=torch.zeros(2**19))
    with (
        zipfile.ZipFile(whole) as source,
        zipfile.ZipFile(tmp_path / "p.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for item in source.infolist():
            packed.writestr(item.filename, source.read(item))
    assert (tmp_path / "p.pt").stat().st_size < 2**16
    monkeypatch.setattr(torch, "load", lambda *a, **k: pytest.fail("torch was asked"))
    with pytest.raises(UsageError, match="at most 1,048,576 bytes when unpacked; found 2,1"):
        found(tmp_path / "p.pt", network)


def test_weights_without_a_number_are_refused(tmp_path: Path) -> None:
    network = write(tmp_path / "vgg16.ckpt", drawn(VGG16))
    for beta in (torch.full((1, sum(CHANNELS), 1, 1), float("nan")), -2 * torch.ones(1, sum(CHANNELS), 1, 1)):
        with pytest.raises(UsageError, match="expected finite weights whose sum is above 0"):
            found(own(tmp_path / "own.pt", beta=beta), network)


def test_it_needs_both_files_whole(tmp_path: Path) -> None:
    alexnet = write(tmp_path / "alexnet.ckpt", drawn(ALEXNET))
    with pytest.raises(
        UsageError, match="--dists-weights: expected --lpips-weights with the file of VGG16 beside it"
    ):
        found(own(tmp_path / "a.pt"), alexnet)
    with pytest.raises(
        UsageError, match=r"expected 'beta' of 1x1475x1x1 numbers; found 2; give weights\.pt of"
    ):
        found(own(tmp_path / "b.pt", beta=torch.zeros(2)))
    (tmp_path / "bad.pt").write_bytes(pickle.dumps({"alpha": pytest.raises}, 2))
    with pytest.raises(
        UsageError, match=r"expected alpha and beta alone, saved by torch; .* nothing in it was run"
    ):
        found(tmp_path / "bad.pt")
    with pytest.raises(UsageError, match="expected a file that can be read; found No such file"):
        found(tmp_path / "none.pt")
