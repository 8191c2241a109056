"""The author's and the reviewer's ISR side by side, by two judges of whom every answer is known."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from isr.bundle.archive import write_bundle
from isr.bundle.gather import gather
from isr.cli import cli
from isr.judging.plan import arms_of
from tests.runs import recorded_run


def fine(number: int) -> Mapping[str, Any]:
    return {"reasoning": "r", "score": 3, "verdict": "fine"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """``x.zip``: 4 images x 2 prompts that the author's judge finds fine. ``other.toml`` says of 3 of the 8 edits, and of
    one of the 8 control edits, that the image is degraded."""
    (tmp_path / "author").mkdir()
    run = recorded_run(tmp_path / "author", images=4, prompts=2, say=fine)
    write_bundle(gather(run), run / "isr.db", tmp_path / "x.zip", images=True)
    lines = [json.loads(line) for line in (tmp_path / "author" / "answers.jsonl").read_text().splitlines()]
    plan = gather(run).plan
    seen = {"protected": 0, "control": 0}
    arms = [arm.value for _, arm in arms_of(plan.edits)]
    card = plan.panel.members[0]
    questions = [r.question for r in plan.requests(card, arms_of(plan.edits))]
    for i, (line, question) in enumerate(zip(lines, questions, strict=True)):
        arm = arms[i // 2]
        if question == "perceptual":
            seen[arm] += 1
            if seen[arm] <= {"protected": 3, "control": 1}[arm]:
                said = {"reasoning": "r", "score": 0, "verdict": "fails"}
                line["answer"]["text"] = json.dumps(said)
    (tmp_path / "theirs.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n", "utf-8")
    answers = json.dumps(str(tmp_path / "theirs.jsonl"))
    card_text = f'backend = "replay"\nmodel = "my-own"\n[engine]\nanswers = {answers}\n'
    (tmp_path / "other.toml").write_text(card_text, "utf-8")
    return tmp_path


def score(home: Path, *more: str) -> str:
    args = ["score", str(home / "x.zip"), "--judge", str(home / "other.toml"), "--quiet", *more]
    done = CliRunner().invoke(cli, args, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_both_judges_stand_side_by_side_with_their_difference(home: Path) -> None:
    """0 of 8 and 3 of 8: +37.5 pp, the same on 5 of 8; of the control edits 0 and 1 of 8: +12.5 pp, 7 of 8."""
    said = json.loads(score(home, "--json"))
    assert said["authors"] == json.loads((home / "author/edits.isr/result.json").read_text())
    treatment, control = said["both"]["pairs"]
    assert (treatment["authors"]["value"], treatment["yours"]["value"]) == (0, 3 / 8)
    assert (treatment["authors"]["n"], treatment["yours"]["n"]) == (8, 8)
    assert treatment["difference"]["value"] == pytest.approx(3 / 8)
    assert treatment["agreement"]["percent"]["value"] == pytest.approx(5 / 8)
    assert control["difference"]["value"] == pytest.approx(1 / 8)
    assert control["agreement"]["percent"]["value"] == pytest.approx(7 / 8)
    assert said["both"]["judges"]["yours"].startswith("other (my-own")
    (run,) = (home / "x.isr").glob("runs/other-*/run.json")
    assert json.loads(run.read_text())["requests"]["answered"] == 32
    text = score(home)
    assert json.loads(run.read_text())["requests"] == {
        "from_store": 32, "answered": 0, "retries": 0, "given_up": 0,
    }  # fmt: skip
    assert "BOTH JUDGES" in text
    assert "yours - author's: +37.5 pp" in text
    lines = [line for line in text.splitlines() if line.startswith(("  author's  ", "  yours  "))]
    assert [line.split()[1] for line in lines] == ["0.0%", "37.5%", "0.0%", "12.5%"]
    assert all("recorded" in line or "other (my-own" in line for line in lines)


def test_edits_that_one_run_lacks_are_left_out_and_counted(home: Path) -> None:
    said = json.loads(score(home, "--json", "--limit", "4"))
    assert [p["other"] for p in said["both"]["pairs"]] == [4, 4]
    assert said["both"]["pairs"][0]["difference"]["n"] == 4


def test_pictures_of_the_second_run_come_from_the_bundle_beside_it(home: Path) -> None:
    score(home)
    done = CliRunner().invoke(cli, ["report", str(home / "x.isr"), "--out", str(home / "r.html")])
    assert done.exit_code == 0, done.output
    page = (home / "r.html").read_text("utf-8")
    assert page.count("data:image") >= 4 + 8 + 8


def test_both_rates_are_of_the_edits_that_both_runs_have(home: Path) -> None:
    """The author has one edit of each of 4 images, the reviewer asked about all 8: both rates are of these 4.

    The author finds all fine. Of the reviewer's 8 outcomes, those of the author's edits are counted by hand.
    """
    run = home / "author" / "edits.isr"
    args = ["score", str(home / "author" / "edits"), "--judge", str(home / "author" / "recorded.toml")]
    done = CliRunner().invoke(cli, [*args, "--limit", "4", "--store", str(run / "isr.db"), "--quiet"])
    assert done.exit_code == 0, done.output
    (short,) = (f.parent for f in run.glob("runs/*/result.json"))
    write_bundle(gather(short), run / "isr.db", home / "x.zip", images=True)
    said = json.loads(score(home, "--limit", "8", "--json"))
    own = {
        t["edit_id"]
        for t in csv.DictReader((short / "edits.csv").read_text().splitlines())
        if t["arm"] == "protected"
    }
    (mine,) = (home / "x.isr").glob("runs/other-*/edits.csv")
    rows = [
        r
        for r in csv.DictReader(mine.read_text().splitlines())
        if r["edit_id"] in own and r["arm"] == "protected"
    ]
    hit = sum(r["outcome"] == "immunized" for r in rows)
    treatment = said["both"]["pairs"][0]
    assert [treatment[who]["n"] for who in ("authors", "yours")] == [4, 4]
    assert (treatment["authors"]["value"], treatment["yours"]["value"]) == (0, hit / 4)
    assert treatment["other"] == 4
    assert said["yours"]["treatments"][0]["estimates"]["isr"]["value"] == 3 / 8
    assert said["yours"]["data"]["edits"] == 8


def test_who_names_no_edits_asks_about_those_of_the_author(home: Path) -> None:
    run = home / "author" / "edits.isr"
    args = ["score", str(home / "author" / "edits"), "--judge", str(home / "author" / "recorded.toml")]
    done = CliRunner().invoke(cli, [*args, "--limit", "4", "--store", str(run / "isr.db"), "--quiet"])
    assert done.exit_code == 0, done.output
    (short,) = (f.parent for f in run.glob("runs/*/result.json"))
    write_bundle(gather(short), run / "isr.db", home / "x.zip", images=True)
    said = json.loads(score(home, "--json"))
    assert said["yours"]["data"]["edits"] == 4
    (record,) = (home / "x.isr").glob("runs/other-*/run.json")
    assert (
        json.loads(record.read_text())["requests"]["answered"] == 16
    )  # 4 edits and 4 control edits, 2 questions
