"""What people say by what the judge said: steps with intervals and n, a diagonal for probabilities only; one rater, a low kappa."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isr.people.labels import Label, Labels, Mark
from isr.people.labels_file import write_labels
from isr.report.limits import limits
from isr.report.page import Options, write_report
from isr.report.people import checked, low_kappas, people
from isr.report.reliability import LEAST, reliabilities
from isr.report.runs import ReportRun, read_report_run
from isr.stats.rate import rate_interval
from tests.runs import recorded_run

SCORES = (0, 1, 3, 4)


def say(number: int) -> dict[str, Any]:
    score = SCORES[number * 7919 % 101 % 4] if number % 38 else 2
    return {"reasoning": "seen", "score": score, "verdict": "fails" if score < 2 else "fine"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ReportRun:
    return read_report_run(
        recorded_run(tmp_path_factory.mktemp("reliability"), images=12, prompts=4, say=say)
    )


def labels(run: ReportRun, raters: tuple[str, ...], every: int = 3) -> Labels:
    """Each rater says what the judge says but for every so many edits; perceptual failures are seen by nobody."""
    made = []
    for n, row in enumerate(r for r in run.rows if r["arm"] == "protected"):
        for rater in raters:
            said = row["recorded:semantic"] == "fails"
            mark = Mark("fails" if said != (n % every == 0) else "fine")
            made.append(Label(edit_id=row["edit_id"], rater=rater, semantic=mark, perceptual=Mark("fine"), image_id=row["image_id"]))  # fmt: skip
    return Labels(tuple(made))


def test_steps_are_scores_with_their_own_intervals(run: ReportRun) -> None:
    known = labels(run, ("ann",))
    found = {one.title.rpartition(", ")[2]: one for one in reliabilities([run], [known])}
    one = found["semantic"]
    rows = {r["edit_id"]: r for r in run.rows if r["arm"] == "protected"}
    told = {x.edit_id: x.semantic.value == "fails" for x in known.rows}
    scores = sorted({r["recorded:semantic_score"] for r in rows.values()})
    assert [s.words for s in one.steps] == scores
    for step in one.steps:
        some = [e for e, r in rows.items() if r["recorded:semantic_score"] == step.words]
        wanted = rate_interval(
            np.array([told[e] for e in some]), np.array([rows[e]["image_id"] for e in some]), level=run.level
        )
        e = step.share.estimate
        assert (e.value, e.low, e.high, e.n) == (wanted.value, wanted.low, wanted.high, len(some))
    assert sum(s.share.estimate.n for s in one.steps) == len(rows)
    small = [s for s in one.steps if s.share.estimate.n < LEAST]
    assert small
    assert one.figure.svg.count("<circle") == len(one.steps) - len(small)
    assert len(list(csv.DictReader(io.StringIO(one.figure.csv)))) == len(
        one.steps
    )  # the small ones are in the list


def test_a_diagonal_is_for_probabilities_only(run: ReportRun) -> None:
    known = labels(run, ("ann",))
    (one, *_) = reliabilities([run], [known])
    assert not one.by_probability
    assert "stroke-dasharray='4 4'" not in one.figure.svg
    rows = [r | {"recorded:semantic_p_yes": f"{0.07 + 0.9 * (n % 10) / 10}"} for n, r in enumerate(run.rows)]
    (sure, *_) = reliabilities([replace(run, rows=rows)], [known])
    assert sure.by_probability
    assert sure.figure.svg.count("stroke-dasharray='4 4'") == 1
    assert all(re.fullmatch(r"\d+% to \d+%", s.words) for s in sure.steps)


def test_one_rater_is_told_so(run: ReportRun, tmp_path: Path) -> None:
    for raters, word in ((("ann",), "1 rater"), (("ann", "bo"), "2 raters")):
        file = tmp_path / f"{len(raters)}.csv"
        write_labels(file, labels(run, raters))
        page = write_report([run], tmp_path / "r.html", Options(assets="none", labels=file)).read_text(
            "utf-8"
        )
        section = page[page.index('id="agreement"') : page.index('id="gallery"')]
        assert f"labels by {word} of" in section
        assert ("One rater: agreement among people is not measurable" in section) == (len(raters) == 1)
        assert ("People with each other" in section) == (len(raters) == 2)


def test_a_low_kappa_beside_a_high_agreement_says_why(run: ReportRun, tmp_path: Path) -> None:
    """People call no edit degraded: kappa is 0, whatever the judge says."""
    file = tmp_path / "labels.csv"
    write_labels(file, labels(run, ("ann", "bo"), every=100))
    found = people([run], file)
    ((_, study),) = found.studies
    (said,) = low_kappas(study)
    kappa = study.questions["perceptual"].judges[0].agreement.kappa
    assert (kappa.value, kappa.low) == (0, None)
    assert said.startswith("recorded, perceptual: κ 0.00 beside AC1 ")
    assert "Of 48 edits people call 0 a failure" in said
    assert checked(found) == ["recorded"]
    assert not any("no label" in line for line in limits([run], checked(found)))
