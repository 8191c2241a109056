"""What conventional metrics tell: coefficients against scipy's, intervals that are known, units that disagree."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, spearmanr

from isr.bench.general_table import general
from isr.bench.metric_check import Named, _inside, study
from isr.bench.paper_tables import table_ii
from isr.bench.rows import read
from isr.bench.thesis import told
from tests.bench.runs import measured_run, read_rows


def test_ablations_are_no_methods_to_be_ranked(tmp_path: Path) -> None:
    folder = measured_run(tmp_path, images=6, prompts=4, methods=("a", "b", "c", "d"))
    roles = {"a": "ours", "b": "baseline", "c": "baseline", "d": "ablation"}
    found = study([folder], naming=lambda t: Named(t.method, roles[t.method]))
    assert found.separations[0].between.n == 3
    assert "1 ablation(s) are left out" in found.separations[0].between.notes
    bare = study([folder]).separations[0].between
    assert bare.n == 4
    assert any("4 treatments of unknown role are in it" in n for n in bare.notes)
    assert "no interval is adjusted for the number of metrics" in found.text()


def test_a_run_ends_in_a_table_and_in_units(tmp_path: Path) -> None:
    folder = measured_run(tmp_path, images=12, prompts=4, methods=("a", "b", "c"))
    found = study([folder])
    rows = [r for r in read_rows(folder) if r["arm"] == "protected"]
    psnr = next(s for s in found.separations if s.metric == "psnr")
    x = -np.array([float(r["edit:psnr"]) for r in rows])
    y = np.array([r["outcome"] == "immunized" for r in rows])
    assert psnr.overall.correlation.value == pytest.approx(spearmanr(x, y).statistic)
    assert psnr.overall.auc.value == pytest.approx(
        mannwhitneyu(x[y], x[~y]).statistic / (y.sum() * (~y).sum())
    )
    lpips = next(s for s in found.separations if s.metric == "lpips")
    assert lpips.overall.auc.value is not None
    assert lpips.overall.auc.value > 0.5  # a larger LPIPS says protected, a lower PSNR does
    assert psnr.between.n == 3
    assert len(psnr.treatments) == 3
    assert psnr.false_protected.n + psnr.missed.n == len(rows)
    for metric in ("psnr", "lpips"):
        for side in ("not_immunized", "immunized"):
            some = [u for u in found.units if (u.metric, u.outcome) == (metric, side)]
            assert len(some) == 3
            assert len({u.image_id for u in some}) == 3
            assert [u.rank for u in some] == sorted([u.rank for u in some], reverse=side == "immunized")
    text = found.text()
    for table in found.tables():
        assert table.title in text
    assert "SSIM, SSIM (full size), VIFp, FSIM not measured" in text
    assert found.markdown().count("rank") > 12


def test_the_unit_is_where_metric_and_judge_disagree_most(tmp_path: Path) -> None:
    def against(row: Mapping[str, str], rng: np.random.Generator) -> dict[str, float]:
        return {"psnr": 10.0 if row["outcome"] == "not_immunized" else 40.0}

    found = study([measured_run(tmp_path, images=6, prompts=4, metric=against)])
    (one,) = found.separations
    assert one.overall.auc.value == 0.0
    assert all(u.value == (10.0 if u.outcome == "not_immunized" else 40.0) for u in found.units)
    assert found.units[0].rank == 1
    picture = found.units[0].pictures
    assert picture["protected"] is None  # the directory has none
    assert all(p and p.is_file() for k, p in picture.items() if k != "protected")
    assert {(s.judge, s.question) for s in found.units[0].verdicts} == {
        ("recorded", "semantic"), ("recorded", "perceptual"),
    }  # fmt: skip
    assert "what I saw" in "\n".join(told(found.units[0]))


def configs(rows: list[dict[str, Any]]) -> None:
    """Methods a, b, c become three configurations of one method at one budget."""
    for row in rows:
        if row.get("method"):
            row |= {"config": f"v-{row['method']}", "method": "sifm", "eps": "0.06"}


def test_configurations_of_one_method_stand_apart(tmp_path: Path) -> None:
    folder = measured_run(tmp_path, images=6, prompts=4, methods=("a", "b", "c"), change=configs)
    bare = study([folder])
    names = {f"sifm, eps 0.06, v-{m}" for m in "abc"}
    assert {line.label for line in bare.by_treatment.rows} == names
    assert all(len(line.cells) == 4 for line in bare.by_treatment.rows)
    assert {u.name for u in bare.units} <= names
    assert any(f"{u.name}, purifier none" in "\n".join(told(u)) for u in bare.units)
    labels = {"v-a": Named("SIFM", "ours"), "v-b": Named("SIFM, norm only", "ablation")}
    found = study([folder], naming=lambda t: labels.get(t.config))
    words = ["SIFM, eps 0.06", "SIFM, norm only, eps 0.06", "sifm, eps 0.06"]
    assert [line.label for line in found.by_treatment.rows] == words
    assert [s.of[0].config for s in found.separations[0].treatments if s.of] == ["v-a", "v-b", "v-c"]
    twice = study([folder], naming=lambda t: Named("SIFM"))
    assert len({line.label for line in twice.by_treatment.rows}) == 3


def test_edits_without_a_value_are_counted(tmp_path: Path) -> None:
    def some(row: Mapping[str, str], rng: np.random.Generator) -> dict[str, float]:
        return {"psnr": float("nan") if row["prompt_id"] == "1" else 20 + rng.random()}

    found = study([measured_run(tmp_path, images=4, prompts=4, metric=some)])
    assert found.separations[0].overall.auc.n == 12
    assert "4 decided edits without a value are left out" in found.text()


def test_an_edit_equal_to_its_control_is_the_least_changed(tmp_path: Path) -> None:
    def equal(row: Mapping[str, str], rng: np.random.Generator) -> dict[str, float]:
        """PSNR is not written where it is infinite; SSIM is."""
        same = row["prompt_id"] == "1"
        far = row["outcome"] == "immunized"
        return {"psnr": float("nan") if same else 30.0 - far, "ssim": 1.0 if same else 0.5 - far / 10}

    found = study([measured_run(tmp_path, images=4, prompts=4, metric=equal)])
    by = {s.metric: s for s in found.separations}
    assert by["psnr"].overall.auc.n == by["ssim"].overall.auc.n == 16
    assert by["psnr"].overall.auc.value == by["ssim"].overall.auc.value  # the same order
    least = next(u for u in found.units if (u.metric, u.rank) == ("psnr", 16))
    assert least.value is None
    assert "PSNR infinite, rank 16 of 16" in least.title
    assert any("4 edits equal their control edit" in n for n in found.notes)


def test_nothing_measured_is_said(tmp_path: Path) -> None:
    folder = measured_run(tmp_path, images=2, prompts=2, metric=lambda row, rng: {"psnr": float("nan")})
    rows = read_rows(folder)
    assert rows
    found = study([folder])
    assert "LPIPS not measured" in found.text()


def test_a_run_cannot_show_a_file_from_elsewhere(tmp_path: Path) -> None:
    root = tmp_path / "edits"
    root.mkdir()
    (tmp_path / "secret.png").write_bytes(b"x")
    (root / "in.png").write_bytes(b"x")
    assert _inside(root, "in.png") == root / "in.png"
    for name in ("../secret.png", str(tmp_path / "secret.png"), "", "none.png"):
        assert _inside(root, name) is None
    assert _inside(None, "in.png") is None


def test_metrics_stand_under_the_title_and_with_the_orientation_that_their_run_says(tmp_path: Path) -> None:
    """A similarity by a checkpoint, and a metric of another package: neither is known here by its name."""

    def some(row: Mapping[str, str], rng: np.random.Generator) -> dict[str, float]:
        far = row["outcome"] == "immunized"
        return {
            "psnr": 20 + rng.random(),
            "clip_i@b": 0.9 - 0.5 * far,
            "mine": 1.0 + far,
            "lpips_alex": 0.1 + far,
        }

    folder = measured_run(tmp_path, images=6, prompts=4, metric=some)
    shown = {
        "psnr": {"title": "PSNR", "orientation": -1},
        "clip_i@b": {"title": "CLIP-I (b)", "orientation": -1},
        "mine": {"title": "Mine", "orientation": 1},
        "lpips_alex": {"title": "LPIPS (AlexNet)", "orientation": 1},
    }
    file = folder / "metrics.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "shown": shown}))
    found = study([folder])
    assert [line.label for line in found.table.rows] == ["PSNR", "CLIP-I (b)", "Mine", "LPIPS (AlexNet)"]
    assert [s.overall.auc.value for s in found.separations[1:]] == [1.0, 1.0, 1.0]
    assert "SSIM, SSIM (full size), VIFp, FSIM not measured" in found.text()
    rows = read([folder])
    table = general(rows)
    headings = ["PSNR↓", "CLIP-I (b)↓", "Mine↑", "LPIPS (AlexNet)↑"]
    assert [h for h in table.columns.values() if h in headings] == headings
    cell = next(line for line in table.rows if line.label != "no protection").cells["mine"]
    assert cell.estimate is not None
    paper = table_ii(rows)
    assert "LPIPS: ours is LPIPS (AlexNet); which network the paper has is not known" in paper.notes
