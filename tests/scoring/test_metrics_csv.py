"""Conventional metrics belong to one run: their summary holds correlations with that run's outcomes."""

from __future__ import annotations

import csv
import json
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

import isr
from isr.cli import cli
from isr.scoring.metrics_csv import (
    EARLIER,
    METRICS,
    SUMMARY,
    Shown,
    read_definitions,
    read_shown,
    write_metrics,
)
from isr.scoring.stored import read_stored

SHAPES = Path(__file__).resolve().parents[2] / "examples" / "shapes"


def measure(run: Path) -> None:
    """Writes a PSNR of 20 dB for every edit of a run, as its metrics."""
    with (run / "edits.csv").open(encoding="utf-8", newline="") as file:
        rows = [{**r, "edit:psnr": "20"} for r in csv.DictReader(file) if r["arm"] == "protected"]
    write_metrics(run, rows, {"columns": ["edit:psnr"], "treatments": []}, read_stored(run).digest)


def bundled(run: Path, out: Path) -> set[str]:
    done = CliRunner().invoke(cli, ["bundle", str(run), "--out", str(out)])
    assert done.exit_code == 0, done.exception
    with zipfile.ZipFile(out) as archive:
        return {METRICS, SUMMARY} & set(archive.namelist())


@pytest.mark.parametrize("other", [{"limit": 6}, {"level": 0.9}], ids=["edits", "question"])
def test_metrics_of_a_replaced_run_are_not_those_of_the_new_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, other: dict[str, object]
) -> None:
    """The same edit directory, so the same pictures, but other outcomes: a bundle must not hold the old correlations."""
    run = tmp_path / "run"
    isr.score(SHAPES, judge="shapes-oracle", limit=4, out=run)
    measure(run)
    assert "edit:psnr" in read_stored(run).rows[0]
    assert bundled(run, tmp_path / "a.zip") == {METRICS, SUMMARY}
    isr.score(SHAPES, judge="shapes-oracle", limit=4, out=run)  # the same question: the same table
    assert bundled(run, tmp_path / "b.zip") == {METRICS, SUMMARY}
    isr.score(SHAPES, judge="shapes-oracle", out=run, replace=True, **{"limit": 4, **other})
    assert "edit:psnr" not in read_stored(run).rows[0]
    assert "it is not of this run" in caplog.text
    assert "isr score --metrics again" in caplog.text
    assert bundled(run, tmp_path / "c.zip") == set()


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"mine": {"title": "Mine", "orientation": 1}}, {"mine": Shown("Mine", 1)}),
        (
            {
                "a": {"title": "x" * 81, "orientation": 1},
                "b": {"title": "B", "orientation": 0},
                "c": 3,
                "d": {},
            },
            {},
        ),
        (None, EARLIER),
        ([1], EARLIER),
    ],
)
def test_how_a_metric_stands_in_tables_is_what_its_run_says(
    tmp_path: Path, said: object, expected: object
) -> None:
    (tmp_path / SUMMARY).write_text(json.dumps({"shown": said, "definitions": {"a": "b", "c": 1}}))
    assert read_shown(tmp_path) == expected
    assert read_definitions(tmp_path) == {"a": "b"}
    assert Shown("LPIPS", 1).heading == "LPIPS↑"
