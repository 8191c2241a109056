"""Conventional metrics as columns of a run, with their rank correlation to the outcome."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from scipy.stats import spearmanr

pytest.importorskip("piq", reason="needs isr-eval[metrics]")

from isr.cli import cli
from isr.errors import MissingExtraError
from isr.scoring import metrics
from isr.scoring.metrics import _Cache, importlib, lpips_vgg, require_piq
from isr.scoring.stored import read_stored

ROOT = Path(__file__).resolve().parents[2]
SHAPES = ROOT / "examples" / "shapes"
COLUMNS = [f"{p}:{m}" for p in ("edit", "protected") for m in ("psnr", "ssim", "ssim_full", "vifp", "fsim")]


@pytest.fixture(autouse=True)
def _no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing() -> Any:
        raise OSError("no network in tests")

    monkeypatch.setattr(metrics, "lpips_vgg", nothing)


def score(out: Path, *options: str) -> Any:
    args = ["score", str(SHAPES), "--judge", "shapes-oracle", "--out", str(out), "--limit", "12", "--quiet"]
    return CliRunner().invoke(cli, [*args, *options])


def rows(out: Path) -> list[dict[str, str]]:
    return [dict(row) for row in read_stored(out).rows]


def test_columns_beside_the_verdicts(tmp_path: Path) -> None:
    done = score(tmp_path, "--metrics")
    assert done.exit_code == 0, done.output
    assert "edit:psnr" in done.output
    assert "lpips: absent, its weights cannot be had: no network in tests" in done.output
    found = rows(tmp_path)
    assert list(found[0])[-10:] == COLUMNS
    edits = [r for r in found if r["arm"] == "protected"]
    assert len(edits) == 12
    assert all(r[c] for r in edits for c in COLUMNS)
    assert not any(r[c] for r in found if r["arm"] == "control" for c in COLUMNS)
    first = edits[0]
    images = [SHAPES / first["file_name"], SHAPES / first["file_name"].replace("edits/", "controls/")]
    a, b = (np.asarray(Image.open(i).convert("RGB"), float) / 255 for i in images)
    assert float(first["edit:psnr"]) == pytest.approx(-10 * np.log10(((a - b) ** 2).mean()), abs=1e-3)
    assert float(first["protected:psnr"]) == pytest.approx(float(first["protected_psnr"]), abs=1e-3)
    said = json.loads((tmp_path / "metrics.json").read_text())
    part = said["treatments"][0]["metrics"]["edit:ssim"]
    values = [float(r["edit:ssim"]) for r in edits]
    outcome = [r["outcome"] == "immunized" for r in edits]
    assert part["mean"] == pytest.approx(np.mean(values))
    assert part["spearman"]["value"] == pytest.approx(spearmanr(values, outcome).statistic)
    assert part["spearman"]["n"] == 12
    assert part["spearman"]["low"] <= part["spearman"]["value"] <= part["spearman"]["high"]
    assert said["absent"] == {"lpips": "its weights cannot be had: no network in tests"}
    assert set(said["definitions"]) == {"psnr", "ssim", "ssim_full", "vifp", "fsim"}
    assert "ssim: piq 0.8" in done.output
    assert "shorter side of about 256" in done.output


def test_the_result_is_the_same_with_and_without(tmp_path: Path) -> None:
    score(tmp_path / "a")
    score(tmp_path / "b", "--metrics")
    assert (tmp_path / "a" / "result.json").read_bytes() == (tmp_path / "b" / "result.json").read_bytes()
    assert [list(r.items())[:-10] for r in rows(tmp_path / "b")] == [
        list(r.items()) for r in rows(tmp_path / "a")
    ]


def test_what_was_measured_is_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    score(tmp_path, "--metrics")
    first = rows(tmp_path)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('\n{"by": "pi')  # killed while writing

    def never(*_: Any) -> Any:
        raise AssertionError("measured again")

    monkeypatch.setattr(_Cache, "_compute", never)
    assert score(tmp_path, "--metrics").exit_code == 0
    assert rows(tmp_path) == first


def test_an_image_too_small_for_a_network_leaves_a_blank(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_small(x: Any, y: Any) -> Any:
        raise RuntimeError("Output size is too small")

    monkeypatch.setattr(metrics, "lpips_vgg", lambda: too_small)
    done = score(tmp_path, "--metrics")
    assert done.exit_code == 0, done.output
    assert "24 pair(s) without a value: lpips: Output size is too small" in done.output
    assert not any(r["edit:lpips"] for r in rows(tmp_path))


def test_pairs_that_cannot_be_compared_are_blank_and_counted(tmp_path: Path) -> None:
    from isr.scoring.from_python import score as isr_score

    folder = tmp_path / "edits"
    folder.mkdir()
    lines = []
    for number, (edit, control) in enumerate([((64, 64), (60, 64)), ((20, 20), (20, 20))]):
        for name, size in (("e", edit), ("c", control), ("s", edit)):
            draw = np.random.default_rng([number, len(name), ord(name)])
            pixels = draw.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{name}{number}.png")
        lines.append(
            json.dumps(
                {
                    "file_name": f"e{number}.png",
                    "control_file_name": f"c{number}.png",
                    "source_file_name": f"s{number}.png",
                    "prompt": "make the circle red",
                }
            )
        )
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    isr_score(folder, judge="shapes-oracle", metrics=True, out=tmp_path / "out")
    said = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert said["blank"]["images of different sizes"] == 1
    assert said["blank"]["no image to compare with"] == 2
    assert any(why.startswith("vifp: ") for why in said["blank"])
    small = next(r for r in rows(tmp_path / "out") if r["file_name"] == "e1.png" and r["arm"] == "protected")
    assert small["edit:vifp"] == ""
    assert small["edit:psnr"] != ""
    part = said["treatments"][0]["metrics"]["edit:psnr"]
    assert part["n"] == 1
    assert part["spearman"]["value"] is None


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "piq" else 1)
    with pytest.raises(MissingExtraError, match=r"isr-eval\[metrics\]"):
        require_piq()
    assert score(tmp_path, "--metrics").exception is not None
    assert not (tmp_path / "isr.db").exists()


@pytest.mark.slow
def test_lpips_is_piqs(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same (random) weights; the real ones cannot be had without a network."""
    import piq
    import torch
    from torchvision.models import vgg16

    monkeypatch.undo()
    torch.manual_seed(0)
    network = vgg16(weights=None)
    linear = [torch.rand(1, c, 1, 1) for c in (64, 128, 256, 512, 512)]

    def fake(url: str, **options: Any) -> Any:
        if "lpips" in url:
            return linear
        assert options["weights_only"]
        return network.state_dict()

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fake)
    mine = lpips_vgg()
    monkeypatch.setattr("piq.perceptual.vgg16", lambda **_: network)
    theirs = piq.LPIPS()
    x, y = torch.rand(2, 1, 3, 40, 48)
    torch.testing.assert_close(mine(x, y), theirs(x, y))


@pytest.mark.slow
def test_two_ssims_have_two_names_at_512() -> None:
    """Pooled they differ by .08 at the paper's size; the one at full size is what sifm_ref writes into metadata."""
    import torch

    from sifm_ref.budget import ssim

    draw = np.random.default_rng(0)
    y, x = np.mgrid[0:512, 0:512] / 512
    clean = np.stack([np.sin(9 * x + 4 * y), np.cos(7 * y), np.sin(5 * x * y)], 2) * 60 + 128
    clean = np.rint(clean).astype(np.uint8)
    noisy = (clean + draw.integers(-7, 8, clean.shape)).astype(np.uint8)
    a, b = (torch.from_numpy(i).permute(2, 0, 1)[None].double() / 255 for i in (clean, noisy))
    functions, _ = metrics.metrics(lpips=lambda: None)  # type: ignore[arg-type, return-value]
    pooled, full = (float(functions[n](a, b)) for n in ("ssim", "ssim_full"))
    assert pooled - full > 0.05
    assert ssim(clean, noisy) == pytest.approx(full, abs=1e-5)
    small = [i[..., :200, :200] for i in (a, b)]
    assert float(functions["ssim"](*small)) == float(functions["ssim_full"](*small))
