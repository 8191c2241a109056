"""Rows of finished runs: the estimates of ``isr score`` itself, by purifier and split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import t

from isr.bench.general_table import general
from isr.bench.rows import EVERY, read
from isr.errors import InputError
from isr.scoring.result import Result
from isr.scoring.surrogates import Sight
from tests.bench.runs import measured_run, read_rows
from tests.runs import answer, recorded_run


def undecided(number: int) -> dict[str, Any]:
    return answer(number) | ({"verdict": "perhaps"} if number % 9 == 1 else {})


@pytest.mark.parametrize("estimand", ["edit-mean", "image-mean"])
def test_a_row_holds_what_the_result_holds(tmp_path: Path, estimand: str) -> None:
    folder = measured_run(
        tmp_path, images=5, prompts=4, say=undecided, methods=("a", "b"), by=("split",), estimand=estimand
    )
    rows, result = read([folder]), Result.load(folder)
    assert len(rows) == 3 * 2 + 3
    for part in result.treatments:
        whole, *splits = [r for r in rows if r.method == part.treatment.method]
        assert whole.estimates == {k: v for k, v in part.estimates.items() if k != "source_kept"}
        assert (whole.edits, whole.decided, whole.headline) == (
            part.counts["edits"], part.counts["decided"], part.headline,
        )  # fmt: skip
        for group, row in zip(part.groups, splits, strict=True):
            assert row.split == group.by["split"]
            assert row.estimates == {k: v for k, v in group.estimates.items() if k != "source_kept"}
    control = next(r for r in rows if r.is_control and not r.split)
    assert result.control is not None
    assert control.estimates == {k: v for k, v in result.control.estimates.items() if k != "source_kept"}
    assert (control.label, control.rate) == ("none", control.estimates["control"])
    assert {r.signature for r in rows} == {result.signature}


def test_a_metric_has_a_mean_with_a_clustered_interval(tmp_path: Path) -> None:
    folder = measured_run(tmp_path, images=5, prompts=4)
    row = next(r for r in read([folder]) if r.split == "seen")
    found = row.metrics["edit:psnr"]
    some = [r for r in read_rows(folder) if r["arm"] == "protected" and r["split"] == "seen"]
    means = [np.mean([float(r["edit:psnr"]) for r in some if r["image_id"] == i]) for i in sorted({r["image_id"] for r in some})]  # fmt: skip
    assert found.value == pytest.approx(np.mean(means))
    # equal sizes: CR1 is the variance of the images' means over their number
    half = t.ppf(0.975, 4) * np.std(means, ddof=1) / 5**0.5
    assert (found.low, found.high) == pytest.approx((np.mean(means) - half, np.mean(means) + half))
    assert (found.n, found.clusters) == (len(some), 5)
    other = next(r for r in read([folder], level=0.8) if r.split == "seen").metrics["edit:psnr"]
    assert other.low is not None
    assert found.low is not None
    assert other.low > found.low


def test_purifiers_stand_apart_and_together(tmp_path: Path) -> None:
    def two(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            number = int(row["prompt_id"])
            row["purifier"] = ("", "jpeg")[number % 2]
            row["prompt_id"] = str(number // 2)
            row["prompt"] = f"make it colour {number // 2}"
            row["split"] = "seen"

    rows = [r for r in read([measured_run(tmp_path, images=3, prompts=4, change=two)]) if not r.split]
    treated = {r.purifier: r for r in rows if not r.is_control}
    assert set(treated) == {"", "jpeg", EVERY}
    assert treated[EVERY].edits == treated[""].edits + treated["jpeg"].edits == 12
    assert treated[EVERY].estimates["isr_worst"].n == 6
    assert treated[""].estimates["isr_worst"].value is None
    (worst,) = (ln for ln in general(rows).rows if ln.cells["purifier"].text == "all, worst")
    assert worst.cells["isr"].estimate == treated[EVERY].estimates["isr_worst"]


def test_a_white_box_is_told_by_checkpoints(tmp_path: Path) -> None:
    def one(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            row |= {"editor": "tiny[steps=4]", "surrogate": "tiny", "surrogate_checkpoint": "sha256:1"}
            row["editor_checkpoint"] = "sha256:1" if row["method"] == "a" else "sha256:2"

    found = read([measured_run(tmp_path / "one", images=2, prompts=2, methods=("a", "b"), change=one)])
    assert {(r.method, r.sight) for r in found} == {
        ("a", Sight(True)),
        ("b", Sight(False)),
        ("", Sight(None)),
    }

    def old(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            row |= {"editor": "tiny[steps=4]", "surrogate": "tiny"}

    named = read([measured_run(tmp_path / "old", images=2, prompts=2, change=old)])
    assert {r.sight for r in named} == {Sight(True, by_name=True), Sight(None)}


def test_the_same_edits_twice_are_refused(tmp_path: Path) -> None:
    folder = measured_run(tmp_path, images=2, prompts=2)
    with pytest.raises(InputError, match="each method, editor, purifier and split in one run"):
        read([folder, folder])
    with pytest.raises(InputError):
        read([tmp_path / "nothing"])


def test_metrics_do_not_depend_on_who_judges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second judge's run of the same edits has no columns of metrics, and the same metrics all the same."""
    first = measured_run(tmp_path / "one", images=3, prompts=2)
    second = recorded_run(tmp_path / "two", images=3, prompts=2, change=_split)
    seen: list[int] = []

    def named(run: Any) -> str:
        if id(run) not in seen:
            seen.append(id(run))
        return ("one", "two")[seen.index(id(run))]

    monkeypatch.setattr("isr.bench.rows.judge_name", named)
    found = read([first, second])
    by = {j: {(r.method, r.split, r.is_control): r for r in found if r.judge == j} for j in ("one", "two")}
    assert by["one"].keys() == by["two"].keys()
    for key, row in by["two"].items():
        assert row.metrics.keys() == by["one"][key].metrics.keys()
        for name, mean in row.metrics.items():
            assert (mean.value, mean.n) == (
                by["one"][key].metrics[name].value,
                by["one"][key].metrics[name].n,
            )
        assert ("edit:psnr" in row.metrics) == (not row.is_control)


def _split(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        row["prompt_id"] = row["prompt"].split()[-1]
        row["split"] = ("seen", "unseen")[int(row["prompt_id"]) % 2]
