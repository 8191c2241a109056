"""Rates and differences corrected by people's labels in a report: what `isr calibrate` and `isr compare` say, or why not."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import isr
from isr.cli import cli
from isr.people.labels import Label, Labels, Mark
from isr.people.labels_file import write_labels
from isr.report.comparison import compared
from isr.report.corrected import NO_DESIGN, corrected
from isr.report.page import Options, write_report
from isr.report.paper import estimates_csv, latex, methods
from isr.report.runs import ReportRun, read_report_run
from tests.runs import recorded_run


def say(number: int) -> dict[str, Any]:
    fails = number % 5 < 2
    return {"reasoning": "seen", "score": 0 if fails else 4, "verdict": "fails" if fails else "fine"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ReportRun:
    root = tmp_path_factory.mktemp("labelled")
    return read_report_run(recorded_run(root, images=12, prompts=3, say=say, methods=("sifm", "noise")))


@pytest.fixture(scope="module")
def file(run: ReportRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labels of both methods on two of three prompts of each image; every seventh person contradicts the judge."""
    rows = []
    for row in run.rows:
        if row["arm"] == "protected" and row["edit_id"].split("-")[1] != "2":
            said = (row["outcome"] == "immunized") != (len(rows) % 7 == 0)
            rows.append(
                Label(
                    edit_id=row["edit_id"], rater="ann", semantic=Mark("fails" if said else "fine"), perceptual=Mark("fine"),
                    edit_sha256=row["edit_sha256"],
                )
            )  # fmt: skip
    path = tmp_path_factory.mktemp("labels") / "labels.csv"
    write_labels(path, Labels(tuple(rows)))
    return path


def test_every_output_has_what_calibrate_and_compare_say(run: ReportRun, file: Path, tmp_path: Path) -> None:
    people = corrected([run], file, "random")
    assert people is not None
    assert people.given is not None
    pairs = compared([run], people.given)
    for rate in people.rates:
        method = rate.treatment.method
        said = isr.calibrate(
            run.folder, file, design="random", where=[f"method={method}"], allow_unmatched=True
        )
        assert rate.found is not None
        assert rate.found == said.rates["outcome"]
        c = rate.found.corrected
        assert c is not None
        span = f"{100 * (c.value or 0):.1f} [{100 * (c.low or 0):.1f}, {100 * (c.high or 0):.1f}]"
        assert f"{span}, 24 labels" in latex([run], pairs, people)  # 12 images, 2 of 3 prompts
        assert f"{method}: {100 * (c.value or 0):.1f}%" in methods([run], pairs, people)[-2]
    ((pair,),) = (f.rows for f in pairs)
    (wanted,) = isr.compare(run.folder, labels=file, design="random").confirmed
    assert pair.people == wanted
    assert wanted.corrected is not None
    lines = list(csv.DictReader(io.StringIO(estimates_csv([run], pairs, people))))
    (line,) = [r for r in lines if r["estimate"] == "difference_corrected"]
    assert float(line["value"]) == wanted.corrected.value
    assert float(line["p_holm"]) == wanted.p_holm
    rates = [r for r in lines if r["estimate"] == "isr_corrected"]
    assert len(rates) == 2
    assert all("24 labels, design random" in r["method"] for r in rates)
    assert "corrected by 24 labelled units" in methods([run], pairs, people)[-1]
    page = write_report([run], tmp_path / "r.html", Options(assets="none", comparisons=pairs, people=people))
    text = page.read_text("utf-8")
    assert 'id="corrected"' in text
    assert "to people, 24 labels" in text


def test_without_a_design_the_report_says_what_is_missing(run: ReportRun, file: Path) -> None:
    assert corrected([run]) is None  # no labels
    people = corrected([run], file)
    assert people is not None
    assert (people.reason, people.rates) == (NO_DESIGN, ())
    done = CliRunner().invoke(cli, ["report", str(run.folder), "--labels", str(file), "--methods"])
    assert "nothing says how the labelled edits were chosen; say --design random" in done.stdout
    assert "Corrected by people" not in done.stdout


def test_a_plan_beside_the_labels_says_the_design(run: ReportRun, file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "labels.csv"
    copy.write_bytes(file.read_bytes())
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"plan": "x", "design": "random"}), "utf-8")
    people = corrected([run], copy)
    assert people is not None
    assert [r.refused for r in people.rates] == ["", ""]
    plan.write_text(json.dumps({"plan": "x", "design": "whim"}), "utf-8")
    people = corrected([run], copy)
    assert people is not None
    assert "expected the design random or within_verdict; found 'whim'" in people.reason
    plan.write_text("[]", "utf-8")
    people = corrected([run], copy)
    assert people is not None
    assert "expected the plan.json of a sample" in people.reason


def test_what_is_refused_is_a_sentence(run: ReportRun, tmp_path: Path) -> None:
    """Labels of one method only: its rate is corrected, the other's and the difference are not."""
    some = [r for r in run.rows if r["arm"] == "protected" and r["method"] == "sifm"]
    rows = (
        Label(edit_id=r["edit_id"], rater="ann", semantic=Mark("fails"), perceptual=Mark("fine"))
        for r in some
    )
    path = tmp_path / "labels.csv"
    write_labels(path, Labels(tuple(rows)))
    people = corrected([run], path, "random")
    assert people is not None
    assert people.refusals == ("noise: no label is of its edits",)
    (pairs,) = compared([run], people.given)
    assert pairs.rows
    assert not pairs.confirmed
    assert any("no unit is labelled on both methods" in note for note in pairs.notes)
    path.write_text("nonsense\n1\n", "utf-8")
    broken = corrected([run], path, "random")
    assert broken is not None
    assert broken.reason
    assert latex([run], compared([run], broken.given), broken).count(r"\begin{tabular}") == 2
