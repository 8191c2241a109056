"""Conventional metrics as columns of a run, with their rank correlation to the outcome."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from scipy.stats import spearmanr

pytest.importorskip("piq", reason="needs isr-eval[metrics]")

from isr.cli import cli
from isr.errors import MissingExtraError, UsageError
from isr.scoring.measures import Given, Wanted, pixels
from isr.scoring.metrics import given_of, importlib, require_captions, require_piq
from isr.scoring.metrics_cache import Cache
from isr.scoring.options import Options
from isr.scoring.stored import read_stored
from isr.types import Edit, ImageRef, Treatment, Unit

ROOT = Path(__file__).resolve().parents[2]
SHAPES = ROOT / "examples" / "shapes"
COLUMNS = [f"{p}:{m}" for p in ("edit", "protected") for m in ("psnr", "ssim", "ssim_full", "vifp", "fsim")]


def score(out: Path, *options: str, limit: int = 12) -> Any:
    args = [
        "score",
        str(SHAPES),
        "--judge",
        "shapes-oracle",
        "--out",
        str(out),
        "--limit",
        str(limit),
        "--quiet",
    ]
    return CliRunner().invoke(cli, [*args, *options])


def rows(out: Path) -> list[dict[str, str]]:
    return [dict(row) for row in read_stored(out).rows]


def test_columns_beside_the_verdicts(tmp_path: Path) -> None:
    done = score(tmp_path, "--metrics")
    assert done.exit_code == 0, done.output
    assert "edit:psnr" in done.output
    assert "lpips: absent, its weights come from a file: --lpips-weights FILE" in done.output
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
    assert list(said["absent"]) == ["lpips"]
    assert set(said["definitions"]) == {"psnr", "ssim", "ssim_full", "vifp", "fsim"}
    assert "ssim: piq 0.8" in done.output
    assert "shorter side of about 256" in done.output


@pytest.mark.slow
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

    monkeypatch.setattr(Cache, "_value", never)
    assert score(tmp_path, "--metrics").exit_code == 0
    assert rows(tmp_path) == first


def test_an_image_too_small_for_a_network_leaves_a_blank(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import piq

    def too_small(x: Any, y: Any, **_: Any) -> Any:
        raise RuntimeError("Output size is too small")

    monkeypatch.setattr(piq, "fsim", too_small)
    done = score(tmp_path, "--metrics")
    assert done.exit_code == 0, done.output
    assert "24 pair(s) without a value: fsim: Output size is too small" in done.output
    assert not any(r["edit:fsim"] for r in rows(tmp_path))


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
    functions = {m.name: m.value for m in pixels.measures(Wanted())}
    pooled, full = (float(functions[n](SimpleNamespace(tensors=(a, b)))) for n in ("ssim", "ssim_full"))
    assert pooled - full > 0.05
    assert ssim(clean, noisy) == pytest.approx(full, abs=1e-5)
    small = SimpleNamespace(tensors=[i[..., :200, :200] for i in (a, b)])
    assert float(functions["ssim"](small)) == float(functions["ssim_full"](small))


# ------------------------------------------------------------------------------ weights and checkpoints


def measured(out: Path, *options: str) -> dict[str, Any]:
    done = score(out, "--metrics", *options, limit=4)
    assert done.exit_code == 0, done.output
    return {"text": done.output, **json.loads((out / "metrics.json").read_text())}


def test_columns_by_weights_and_by_checkpoints(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from tests.scoring.measures import tiny
    from tests.scoring.measures.weights import ALEXNET, drawn, write

    alexnet, clip = write(tmp_path / "alexnet.ckpt", drawn(ALEXNET)), tiny.save(tmp_path / "clip", "clip")
    asked = ("--lpips-weights", str(alexnet), "--metric-model", f"c={clip}", "--caption", "prompt")
    said = measured(tmp_path / "out", *asked, "--source-caption", "split")
    more = ["lpips_alex", "clip@c", "clip_i@c", "clip_t@c", "clip_dir@c"]
    edit = [f"edit:{m}" for m in ("psnr", "ssim", "ssim_full", "vifp", "fsim", *more)]
    assert said["columns"] == [*edit, *COLUMNS[5:], "protected:lpips_alex", "protected:clip@c"]
    assert said["absent"] == {}
    recorded = json.loads((tmp_path / "out" / "run.json").read_text())["options"]
    assert recorded["lpips_weights"] == ["../alexnet.ckpt"]
    assert recorded["metric_models"] == ["c=../clip"]
    assert recorded["caption"] == "prompt"
    assert list(said["definitions"]) == list(said["shown"]) == [c.removeprefix("edit:") for c in edit]
    assert said["shown"]["clip_t@c"] == {"title": "CLIP-T (c)", "orientation": -1}
    assert said["shown"]["lpips_alex"] == {"title": "LPIPS (AlexNet)", "orientation": 1}
    found = [r for r in rows(tmp_path / "out") if r["arm"] == "protected"]
    assert all(r[c] for r in found for c in said["columns"])
    one = said["treatments"][0]["metrics"]["edit:clip_t@c"]
    assert one["mean"] == pytest.approx(np.mean([float(r["edit:clip_t@c"]) for r in found]), rel=1e-5)
    assert one["spearman"]["n"] == 4
    assert "name@model: by a checkpoint, which metrics.json defines with its digest" in said["text"]
    # again with the same: nothing is measured; with other weights: that column alone, and it is said
    lines = (tmp_path / "out" / "metrics.jsonl").read_text().count("\n")
    measured(tmp_path / "out", *asked, "--source-caption", "split")
    assert (tmp_path / "out" / "metrics.jsonl").read_text().count("\n") == lines
    assert "measured again" not in caplog.text
    write(alexnet, drawn(ALEXNET, seed=1))
    again = measured(tmp_path / "out", *asked, "--source-caption", "split")
    assert "lpips_alex: measured before by piq=" in caplog.text
    assert caplog.text.count("and measured again by") == 1
    assert again["definitions"]["lpips_alex"] != said["definitions"]["lpips_alex"]
    new = [r for r in rows(tmp_path / "out") if r["arm"] == "protected"]
    assert all(a["edit:lpips_alex"] != b["edit:lpips_alex"] for a, b in zip(found, new, strict=True))
    assert all(a["edit:clip@c"] == b["edit:clip@c"] for a, b in zip(found, new, strict=True))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--metrics", "--lpips-weights", "none.ckpt"), r"--lpips-weights none\.ckpt: expected a file"),
        (("--metrics", "--metric-model", "no/folder"), r"--metric-model no/folder: expected a folder"),
        (("--lpips-weights", "x"), "--lpips-weights: expected --metrics beside it; found none; add it"),
        (("--metric-model", "x"), "--metric-model: expected --metrics beside it"),
        (("--metrics", "--caption", "target"), "--caption: expected --metric-model beside it"),
        (
            ("--metrics", "--metric-model", "x", "--source-caption", "y"),
            "--source-caption: expected --caption",
        ),
        (("--metrics", "--dists-weights", "none.pt"), r"--dists-weights none\.pt: expected a file"),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(
    tmp_path: Path, options: tuple[str, ...], expected: str
) -> None:
    done = score(tmp_path / "out", *options)
    assert done.exit_code == 2 or done.exception is not None
    with pytest.raises(UsageError, match=expected):
        raise done.exception  # type: ignore[misc]
    assert not (tmp_path / "out").exists()


def test_a_caption_is_a_column_and_never_the_instruction_by_itself() -> None:
    options = Options(directory=Path("e"), metrics=True, metric_models=("x",), caption="target")
    with pytest.raises(
        UsageError, match=r"--caption: expected a column .*\(prompt, split\); found 'target'; an instr"
    ):
        require_captions(options, {"split"})
    require_captions(options, {"split", "target"})


def test_an_edit_without_a_text_is_blank_and_counted(tmp_path: Path) -> None:
    image = ImageRef("a.png", "sha256:" + "0" * 64)
    unit = Unit("i", "p", "e", "0", "")
    edit = Edit(
        edit_id="1", prompt="make it red", unit=unit, treatment=Treatment("", "", "", ""), edited=image
    )
    texts = {"caption": "target", "source_caption": ""}
    assert given_of(edit, ("edit", "caption"), tmp_path, texts) == "no text in the column 'target'"
    assert given_of(edit, ("edit", "control"), tmp_path, texts) == "no image to compare with"
    told = given_of(replace(edit, extra={"target": "a red dog"}), ("edit", "caption"), tmp_path, texts)
    assert isinstance(told, Given)
    assert (told.images, told.texts) == ((image,), ("a red dog",))
