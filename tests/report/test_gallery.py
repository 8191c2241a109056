"""The gallery's data: what the page needs to name, filter and rate edits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from isr.report.assets import Assets
from isr.report.gallery import FIELDS, OUTCOMES, further_columns, gallery, how_made, possible
from isr.report.runs import ReportRun, read_report_run
from isr.types import Unit
from tests.gallery_runs import contrary, judged_runs, undecided_often
from tests.runs import answer, recorded_run


def change(edits: Path, rows: list[dict[str, Any]]) -> None:
    for number, row in enumerate(rows):
        row |= {"kind": ("a", "b")[number % 2], "same": "x", "each": f"v{number}"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[ReportRun]:
    panels = {"one": [answer], "two": [contrary, undecided_often]}
    found = judged_runs(
        tmp_path_factory.mktemp("gallery"), panels, images=4, prompts=3, methods=("alpha",), change=change
    )
    return [read_report_run(path) for path in found]


def entries(data: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(zip(FIELDS, e, strict=True)) for e in data["entries"]]


def test_what_is_known_of_an_outcome_gives_the_runs_own_rate(runs: list[ReportRun]) -> None:
    for run in runs:
        rows = [r for r in run.rows if r["arm"] == "protected"]
        codes = np.array(possible(run, rows))
        estimate = run.result.treatments[0].estimates["isr"]
        assert int((codes & 4 > 0).sum()) == run.result.treatments[0].counts["decided"]
        assert (np.mean(codes & 1), np.mean(codes >> 1 & 1)) == pytest.approx(estimate.bounds)
        assert set(codes.tolist()) <= {0, 2, 3, 4, 7}  # certain is possible, and what is decided is certain
    assert {0, 2, 3} & set(possible(runs[1], list(runs[1].rows)))  # the panel leaves some undecided


def test_an_edit_holds_its_codes_and_those_of_its_control(runs: list[ReportRun], tmp_path: Path) -> None:
    data = gallery(runs, Assets(page=tmp_path, mode="none"))
    assert data["judged"] == [0, 1, 1]
    assert any(e["c"][0] != e["c"][1] for e in entries(data))
    for place, run in enumerate(runs):
        rows = {r["edit_id"]: r for r in run.rows if r["arm"] == "protected"}
        controls = {tuple(r[c] for c in Unit._fields): r for r in run.controls}
        for entry in entries(data):
            row = rows[entry["id"]]
            control = controls[tuple(row[c] for c in Unit._fields)]
            assert entry["k"][2 * place : 2 * place + 2] == possible(run, [row, control])
            assert OUTCOMES[entry["c"][place]] == control["outcome"]
            assert entry["h"] == ""  # its name is its own


def test_a_run_without_a_control_says_nothing_of_it(runs: list[ReportRun], tmp_path: Path) -> None:
    bare = replace(runs[0], rows=[r for r in runs[0].rows if r["arm"] == "protected"])
    assert not bare.controls
    alone = entries(gallery([runs[1]], Assets(page=tmp_path, mode="none")))
    both = entries(gallery([bare, runs[1]], Assets(page=tmp_path, mode="none")))
    assert [e["c"] for e in both] == [[None, *e["c"]] for e in alone]


def test_further_columns_are_those_that_tell_edits_apart(runs: list[ReportRun], tmp_path: Path) -> None:
    assert further_columns(runs) == ["each", "kind"]
    data = gallery(runs, Assets(page=tmp_path, mode="none"))
    assert data["further"] == ["each", "kind"]
    rows = {r["edit_id"]: r for r in runs[0].rows if r["arm"] == "protected"}
    for entry in entries(data):
        row = rows[entry["id"]]
        assert [data["texts"][x] for x in entry["x"]] == [row["each"], row["kind"]]


def test_a_column_of_many_values_is_one_only_where_the_run_was_grouped_by_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, runs: list[ReportRun]
) -> None:
    monkeypatch.setattr("isr.report.gallery.MOST_VALUES", 5)
    assert further_columns(runs) == ["kind"]

    def each(rows: list[dict[str, Any]]) -> None:
        change(tmp_path, rows)

    grouped = recorded_run(tmp_path, change=each, by=("each",))
    assert further_columns([read_report_run(grouped)]) == ["each", "kind"]


def test_edits_of_one_name_have_a_part_of_their_digest(tmp_path: Path) -> None:
    def other(edits: Path, rows: list[dict[str, Any]]) -> None:
        Image.new("RGB", (16, 16), (1, 2, 3)).save(edits / rows[0]["file_name"])

    found = []
    for name, hook in (("a", lambda edits, rows: None), ("b", other)):
        (tmp_path / name).mkdir()
        found += judged_runs(
            tmp_path / name, {name: [answer]}, images=2, prompts=1, methods=("alpha",), change=hook
        )
    data = gallery([read_report_run(path) for path in found], Assets(page=tmp_path, mode="none"))
    parts = [(e["id"], e["h"]) for e in entries(data)]
    assert len(parts) == len(set(parts)) == 3
    assert sorted(len(h) for _, h in parts) == [0, 12, 12]


def test_how_intervals_are_made_is_that_of_the_signature(tmp_path: Path, runs: list[ReportRun]) -> None:
    assert how_made(runs[0]) == {
        "level": 0.95,
        "z": pytest.approx(1.959963984540054),
        "interval": "logit-t",
        "prompts": "fixed",
        "estimand": "edit-mean",
        "rules": 2,
        "correction": "CR2",
        "until": None,
    }
    other = read_report_run(recorded_run(tmp_path, level=0.9, interval="wilson"))
    assert (how_made(other)["level"], how_made(other)["interval"]) == (0.9, "wilson")
