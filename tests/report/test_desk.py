"""Who said what of each edit, for the disagreement desk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from isr.people.labels import Label, Labels, Mark
from isr.report.desk import desk_data, guideline, sources
from isr.report.runs import ReportRun, read_report_run
from tests.runs import answer, recorded_run


def say(number: int) -> dict[str, Any]:
    """In turn: fails and fine, fine and undecided, ..."""
    word = ("fails", "fine", "fine", "perhaps", "fine", "fine")[number % 6]
    return answer(number) | {"score": 0 if word == "fails" else 3, "verdict": word}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ReportRun:
    return read_report_run(recorded_run(tmp_path_factory.mktemp("desk"), images=3, prompts=2, say=say))


def label(run: ReportRun, number: int, rater: str, semantic: str, perceptual: str, **more: Any) -> Label:
    row = [r for r in run.rows if r["arm"] == "protected"][number]
    given = {"edit_id": row["edit_id"], "edit_sha256": row["edit_sha256"], **more}
    return Label(rater=rater, semantic=Mark(semantic), perceptual=Mark(perceptual), **given)


def said(data: dict[str, Any]) -> dict[str, list[str]]:
    return {s["name"]: s["said"] for s in data["sources"]}


def test_judges_raters_and_their_majority_have_a_digit_for_each_edit(run: ReportRun) -> None:
    labels = Labels(
        (
            label(run, 0, "ann", "fails", "fine"),
            label(run, 0, "bo", "fine", "fine"),
            label(run, 1, "ann", "fine", "cannot_tell", extra={"note": "dark"}),
            label(run, 1, "bo", "fine", "fine", edit_sha256=""),
            label(run, 2, "ann", "fine", ""),
            label(run, 3, "bo", "fine", "fine", edit_sha256=f"sha256:{'0' * 64}"),  # of other pixels
            label(run, 4, "bo", "fails", "fails", arm="control", extra={"note": "of a control edit"}),
            label(run, 5, "bo", "fails", "cannot_tell", edit_sha256="", extra={"note": "both"}),
        )
    )
    data = desk_data([run], labels, {"semantic": "Is it there?"})
    judged = [
        ["fails", "fine", "undecided"].index(r["recorded:semantic"] or "undecided")
        for r in run.rows
        if r["arm"] == "protected"
    ]
    assert said(data)["recorded (the program replay)"][0] == "".join(map(str, judged))
    people = {k: v for k, v in said(data).items() if "rater" in k}
    assert people == {
        "majority of 2 raters": ["211--0", "11---2", "21---2"],
        "rater ann": ["011---", "12----", "02----"],
        "rater bo": ["11---0", "11---2", "11---2"],
    }
    assert data["notes"] == [(1, "ann", "dark"), (5, "bo", "both")]
    assert data["titles"]["semantic"] == "Is it there?"
    assert data["titles"]["perceptual"].startswith("Is the edit substantially degraded")
    assert [f"sha256:{d}" for d in data["digests"]] == [
        r["edit_sha256"] for r in run.rows if r["arm"] == "protected"
    ]
    assert data["key"] == f"isr desk {run.result.signature}"
    assert data["guideline"].startswith("semantic/v1:sha256:")


def test_one_rater_is_no_majority_and_no_labels_are_nobody(run: ReportRun) -> None:
    assert [s.kind for s in sources([run], None)] == ["judge"]
    assert [s.kind for s in sources([run], Labels((label(run, 0, "ann", "fails", "fine"),)))] == [
        "judge",
        "rater",
    ]


def test_a_rater_who_saw_the_verdicts_is_in_no_majority(run: ReportRun) -> None:
    blind = tuple(label(run, n, r, "fails", "fine") for n in range(2) for r in ("ann", "bo"))
    reader = tuple(label(run, n, r, "fine", "fine", extra={"seen": "verdicts"}) for n in range(3) for r in ("x", "y", "z"))  # fmt: skip
    found = said(desk_data([run], Labels((*blind, *reader)), {}))
    assert found["majority of 2 raters"][0] == "00----"
    assert found["rater x, who saw the verdicts"][0] == "111---"


def test_a_judge_of_runs_that_share_no_edit_is_one_and_else_told_apart(
    run: ReportRun, tmp_path: Path
) -> None:
    other = replace(
        run,
        name="other",
        root=tmp_path,
        rows=[{**r, "edit_sha256": f"x{r['edit_sha256']}"} for r in run.rows],
    )
    (joined,) = sources([run, other], None)
    assert joined.name == "recorded (the program replay)"
    assert all((codes >= 0).all() for codes in joined.codes.values())
    assert len(joined.codes["outcome"]) == 12
    again = replace(run, name="again")
    assert [s.name for s in sources([run, again], None)] == [
        "recorded (edits) (the program replay)", "recorded (again) (the program replay)",
    ]  # fmt: skip
    data = desk_data([run, other, again], None, {})
    assert data["homes"] == [{"name": "edits", "runs": [0, 2]}, {"name": tmp_path.name, "runs": [1]}]
    assert str(tmp_path) not in str(data["homes"])


def test_the_guideline_is_named_where_all_runs_ask_alike(run: ReportRun) -> None:
    changed = replace(run, result=replace(run.result, rubrics=run.result.rubrics[:1]))
    assert guideline([run, run]) == "+".join(
        f"{r['name']}:{str(r['digest'])[:19]}" for r in run.result.rubrics
    )
    assert guideline([run, changed]) == ""
