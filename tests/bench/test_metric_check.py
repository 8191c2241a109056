"""What conventional metrics tell: coefficients against scipy's, intervals that are known, units that disagree."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import mannwhitneyu, spearmanr

from isr.bench.contact_sheet import GAP, SIDE, contact_sheet
from isr.bench.metric_check import Named, _inside, study
from isr.bench.thesis import told
from isr.stats.discrimination import _draws, _pairs, auc, between, called, youden
from tests.bench.runs import measured_run, read_rows
from tests.runs import HOSTILE

VALUES = st.lists(st.tuples(st.integers(0, 6), st.booleans(), st.integers(0, 4)), min_size=2, max_size=40)


def arrays(rows: list[tuple[int, bool, int]]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    x, y, g = zip(*rows, strict=True)
    return np.array(x, float), np.array(y, float), [f"image {i}" for i in g]


@settings(max_examples=50)
@given(VALUES)
def test_the_auc_is_mann_whitneys(rows: list[tuple[int, bool, int]]) -> None:
    x, y, image = arrays(rows)
    found = auc(x, y, image)
    if y.all() or not y.any():
        assert found.value is None
        assert "nothing to tell apart" in found.notes[0]
        return
    u = mannwhitneyu(x[y == 1], x[y == 0]).statistic
    assert found.value == pytest.approx(u / (y.sum() * (1 - y).sum()))
    assert auc(-x, y, image).value == pytest.approx(1 - found.value)
    if found.low is not None and found.high is not None:
        assert 0 <= found.low <= found.high <= 1


def test_two_images_have_the_three_resamples_that_can_be_computed_by_hand() -> None:
    # image a: its immunized edit is ahead of its other one; image b: the reverse; across, a is ahead of b
    x, y, image = np.array([4.0, 3.0, 1.0, 2.0]), np.array([1.0, 0.0, 1.0, 0.0]), ["a", "a", "b", "b"]
    # drawn (a, b) in half of the resamples: 2 of 4 pairs; (a, a): all; (b, b): none
    assert auc(x, y, image).value == 0.5
    won, pairs = _pairs(x, y == 1, np.array([0, 0, 1, 1]), np.zeros(4, np.int64), 2)
    draws = _draws(won, pairs, 2)
    assert np.mean(draws == 0.5) == pytest.approx(0.5, abs=0.03)
    assert np.mean(draws == 1.0) == pytest.approx(0.25, abs=0.03)
    assert np.mean(draws == 0.0) == pytest.approx(0.25, abs=0.03)


def test_the_interval_is_that_of_drawing_images_with_all_their_edits() -> None:
    rng = np.random.default_rng(1)
    image = np.repeat(np.arange(20), 6)
    y = (rng.random(120) < 0.5).astype(float)
    x = y + rng.normal(0, 1, 20)[image] + rng.normal(0, 0.7, 120)
    found = auc(x, y, [str(i) for i in image])
    draws = []
    for _ in range(2000):
        rows = np.concatenate([np.flatnonzero(image == g) for g in rng.integers(0, 20, 20)])
        a, b = x[rows][y[rows] == 1], x[rows][y[rows] == 0]
        draws.append(mannwhitneyu(a, b).statistic / (a.size * b.size))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])), abs=0.015)
    thrice = auc(np.tile(x, 3), np.tile(y, 3), [str(i) for i in np.tile(image, 3)])
    assert (thrice.value, thrice.low, thrice.high) == pytest.approx((found.value, found.low, found.high))


def test_within_a_stratum_only_its_pairs_count() -> None:
    # method 0 is always immunized and far, method 1 never: overall the metric is perfect, within it has nothing to say
    x, y = np.array([9.0, 8, 7, 1, 2, 3]), np.array([1.0, 1, 1, 0, 0, 0])
    image, method = list("abcabc"), np.array([0, 0, 0, 1, 1, 1])
    assert auc(x, y, image).value == 1.0
    assert auc(x, y, image).low is None  # the same whichever images are drawn
    assert auc(x, y, image, method).value is None
    assert auc(x, y, image, method).notes[0] == "no method has both outcomes"
    y[2], x[2] = 0.0, 10.0
    assert auc(x, y, image, method).value == 0.0


def test_between_treatments_is_spearmans_rho_of_means() -> None:
    rng = np.random.default_rng(2)
    treatment, image = np.repeat(np.arange(6), 30), np.tile(np.arange(30), 6)
    y = (rng.random(180) < treatment / 6).astype(float)
    x = rng.normal(0, 1, 180) + np.array([0, 3, 1, 2, 5, 4])[treatment]
    found = between(x, y, [str(i) for i in image], treatment)
    means = [(x[treatment == k].mean(), y[treatment == k].mean()) for k in range(6)]
    assert found.value == pytest.approx(spearmanr(*zip(*means, strict=True)).statistic)
    assert found.n == 6
    assert found.clusters == 30
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.value <= found.high
    assert "the order of so few says little" in found.notes[0]
    few = between(x, y, [str(i) for i in image], treatment // 3)
    assert few.value is None
    assert "from three on" in few.notes[0]


def test_methods_are_ranked_within_their_budget() -> None:
    """A larger budget raises metric and ISR alike; within each of two budgets the order here is the reverse."""
    image = [str(i) for i in np.tile(np.arange(10), 6)]
    treatment = np.repeat(np.arange(6), 10)
    immunized = np.array([1, 2, 3, 6, 7, 8])
    y = (np.tile(np.arange(10), 6) < immunized[treatment]).astype(float)
    x = np.array([3.0, 2, 1, 13, 12, 11])[treatment]
    assert between(x, y, image, treatment).value == pytest.approx(19 / 35)  # of 321654: 1 - 6 x 16 / 210
    assert between(x, y, image, treatment, treatment // 3).value == pytest.approx(-1.0)
    alone = between(x, y, image, treatment, np.array([0, 0, 0, 1, 1, 2])[treatment])
    assert (alone.value, alone.n) == (pytest.approx(-1.0), 3)
    assert "3 treatments are left out: fewer than three at their budget" in alone.notes
    none = between(x, y, image, treatment, treatment // 2)
    assert none.value is None
    assert "2 treatment(s) at one budget" in none.notes[0]


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


@settings(max_examples=50)
@given(VALUES)
def test_youdens_threshold_is_the_best_of_all(rows: list[tuple[int, bool, int]]) -> None:
    x, y, _ = arrays(rows)
    immunized = y == 1
    found = youden(x, immunized)
    if not (immunized.any() and (~immunized).any()):
        assert np.isnan(found)
        return

    def j(threshold: float) -> float:
        return float((x[immunized] >= threshold).mean() - (x[~immunized] >= threshold).mean())

    assert j(found) == pytest.approx(max(j(v) for v in x))
    lowest = min(v for v in [*x, np.inf] if v >= found)
    assert not any(j(v) >= j(found) - 1e-12 for v in x if v > lowest)  # of equal ones the highest


def test_a_threshold_never_sees_the_image_that_it_is_used_on() -> None:
    x, y = np.array([1.0, 2, 3, 4, 0, 9]), np.array([0.0, 0, 1, 1, 1, 0])
    image = ["a", "b", "a", "b", "c", "c"]
    calls = called(x, y, image)
    assert list(calls[4:]) == [0.0, 1.0]  # from a and b alone: immunized above 2.5
    y[4:] = 1 - y[4:]
    assert list(called(x, y, image)[4:]) == [0.0, 1.0]  # whatever its own outcomes are
    y[0] = np.nan
    assert np.isnan(called(x, y, image)[0])
    assert np.isnan(called(x[:2], np.array([1.0, 0.0]), ["a", "b"])).all()


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
    assert "SSIM, VIFp, FSIM not measured" in text
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


def test_the_sheet_shows_four_pictures_and_hostile_text(tmp_path: Path) -> None:
    def hostile(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            row["prompt"] = HOSTILE if row["prompt_id"] == "0" else row["prompt"]

    found = study([measured_run(tmp_path, images=4, prompts=4, change=hostile)])
    contact_sheet(found.units, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width == 4 * SIDE + 5 * GAP
        assert sheet.height > len(found.units) * SIDE
    assert not list(tmp_path.glob("*.partial"))
    (tmp_path / "edits" / "edits" / "0-0-0.png").write_bytes(b"no picture")
    contact_sheet(found.units, tmp_path / "sheet.png")
    contact_sheet([], tmp_path / "empty.png")
    assert "<script>" not in found.markdown()
    assert "\u202e" not in found.text()


def test_a_run_cannot_show_a_file_from_elsewhere(tmp_path: Path) -> None:
    root = tmp_path / "edits"
    root.mkdir()
    (tmp_path / "secret.png").write_bytes(b"x")
    (root / "in.png").write_bytes(b"x")
    assert _inside(root, "in.png") == root / "in.png"
    for name in ("../secret.png", str(tmp_path / "secret.png"), "", "none.png"):
        assert _inside(root, name) is None
    assert _inside(None, "in.png") is None
