"""The ImagenHub study: published agreement, an independent library's, the ranking, calibration. Skips without data."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from isr.errors import DesignError
from isr.people.agree import agree
from isr.people.agreement_study import AgreementStudy, Choices
from isr.people.correct import correct, where_edits
from isr.people.correct_rows import Settings
from isr.people.judgements import Judgements
from isr.people.labels import Labels
from isr.people.learn_threshold import learn
from isr.people.study_file import read_study, study_judges, study_labels
from tests.processes import run

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data" / "imagenhub_tie"
STUDY = ROOT / "examples" / "imagenhub" / "study.toml"
REFERENCE = json.loads((ROOT / "tests" / "reference" / "imagenhub" / "agreement.json").read_text())["values"]
PUBLISHED = {
    ("InstructPix2Pix", "semantic"): ("0.60", "0.74"),
    ("InstructPix2Pix", "perceptual"): ("0.41", "0.61"),
    ("MagicBrush", "semantic"): ("0.50", "0.66"),
}

pytestmark = pytest.mark.skipif(
    not (DATA / "labels.csv").is_file(),
    reason=f"no ImagenHub ratings in {DATA}; examples/imagenhub/prepare.py makes them",
)


@pytest.fixture(scope="module")
def inputs() -> tuple[Labels, list[Judgements]]:
    study = read_study(STUDY)
    labels = study_labels(study.labels, DATA)
    return labels, study_judges(study, DATA, labels)


@pytest.fixture(scope="module")
def found(inputs: tuple[Labels, list[Judgements]]) -> AgreementStudy:
    return agree(*inputs, Choices(seed=1))


def test_agreement_of_people_as_published_to_two_digits(found: AgreementStudy) -> None:
    for (editor, question), (fleiss, alpha) in PUBLISHED.items():
        row = next(r for r in found.questions[question].raters if r.group == editor)
        assert row.graded is not None
        assert (f"{row.graded.fleiss.value:.2f}", f"{row.graded.alpha.value:.2f}") == (fleiss, alpha)


@pytest.mark.parametrize("editor", sorted(REFERENCE))
@pytest.mark.parametrize("question", ["semantic", "perceptual"])
def test_agreement_of_people_as_statsmodels_and_krippendorff(
    found: AgreementStudy, editor: str, question: str
) -> None:
    """tests/reference/imagenhub/agreement.json says which versions gave these values."""
    row = next(r for r in found.questions[question].raters if r.group == editor)
    expected = REFERENCE[editor][question]
    assert row.graded is not None
    for name, value in (("fleiss", row.graded.fleiss.value), ("alpha_ordinal", row.graded.alpha.value)):
        if expected[name] is None:  # one grade only
            assert value is None
        else:
            assert value == pytest.approx(expected[name], abs=1e-9)


def test_the_ranking_is_what_the_papers_say(found: AgreementStudy) -> None:
    """GPT-4o stands well above LLaVA and Qwen-VL, which do not differ from chance."""
    for question in ("semantic", "perceptual"):
        judges = {j.judge: j for j in found.questions[question].judges}
        best = judges["gpt-4o"]
        assert best.agreement.kappa.low > 0.25
        for other in ("llava", "qwen-vl"):
            assert abs(judges[other].agreement.kappa.value) < 0.1
            assert judges[other].agreement.percent.value < judges[other].baseline.percent.value
            assert judges[other].agreement.kappa.high < best.agreement.kappa.low
        differences = {(d.first, d.second): d for d in found.questions[question].differences}
        assert differences["gpt-4o", "llava"].p_holm < 1e-6
        assert differences["gpt-4o", "qwen-vl"].p_holm < 1e-6
        assert differences["llava", "qwen-vl"].p_holm > 0.05


def test_unusable_answers_are_counted(found: AgreementStudy) -> None:
    reasons = {j.judge: dict(j.reasons) for j in found.questions["semantic"].judges}
    assert reasons == {
        "gpt-4o": {"missing_field": 5},
        "llava": {"empty": 1, "missing_field": 28},
        "qwen-vl": {"missing_field": 70},
    }


@pytest.mark.proof
def test_the_command_runs_the_study_and_writes_the_same_bytes_twice(tmp_path: Path) -> None:
    texts = []
    for out in ("a", "b"):
        done = run(
            [sys.executable, "-m", "isr", "agree", STUDY, "--data", DATA, "--out", tmp_path / out, "--json"],
            check=True,
        )
        texts.append(done.stdout)
        assert (tmp_path / out / "agreement.json").read_text() == done.stdout
    assert texts[0] == texts[1]
    made: dict[str, Any] = json.loads(texts[0])
    assert made["counts"] == {
        "labels": 4833, "edits": 1611, "edits_judged": 1432, "images": 116, "raters": 3, "judges": 3,
    }  # fmt: skip
    assert "|consensus=majority|" in made["signature"]
    assert "study=sha256:" in made["signature"]


def test_labels_of_the_target_give_the_full_label_rate(inputs: tuple[Labels, list[Judgements]]) -> None:
    labels, judges = inputs
    where = ["editor=InstructPix2Pix"]
    edits = where_edits(judges[0], labels, where)
    assert edits is not None
    with pytest.raises(
        DesignError, match=r"179 of 1611 labelled edits .* Imagic/"
    ):  # the judges were not asked
        correct(judges[0], labels, Settings(design="random"), edits=edits)
    report = correct(judges[0], labels, Settings(design="random"), edits=edits, where=where)
    assert report.warnings == ()
    rate = report.rates["semantic"]
    truth = labels.codes(edits, "semantic").sum(axis=1) >= 2
    assert rate.corrected is not None
    assert rate.corrected.value == pytest.approx(truth.mean())


def test_labels_of_other_editors_do_not_carry_over_and_the_guard_warns(
    inputs: tuple[Labels, list[Judgements]],
) -> None:
    labels, judges = inputs
    edits = where_edits(judges[0], labels, ["editor=MagicBrush"])
    report = correct(judges[0], labels, Settings(design="external", drawn="random"), edits=edits)
    rate = report.rates["semantic"]
    assert rate.corrected is not None
    assert rate.corrected.high < 0.296  # what people say of MagicBrush
    assert all(h.warns for h in rate.homogeneity)
    assert any("isr_semantic: sensitivity differs between groups" in w for w in report.warnings)


def test_learnt_thresholds_are_reported_on_held_out_folds(inputs: tuple[Labels, list[Judgements]]) -> None:
    labels, judges = inputs
    for kind in ("isotonic", "platt"):
        made = learn(judges[0], labels, Settings(design="random"), kind=kind)  # type: ignore[arg-type]
        for decision in made.decisions.values():
            r = decision.report
            assert r["brier"] == pytest.approx(
                r["brier_reliability"] - r["brier_resolution"] + r["brier_uncertainty"]
            )
            assert r["brier"] < r["brier_uncertainty"]
            assert r["auc"][0] > 0.75
            assert sum(r["reliability_n"]) == decision.learned_on["edits"]
            assert decision.probability(0) > decision.probability(10)


@pytest.mark.proof
def test_the_document_shows_what_the_command_prints(tmp_path: Path) -> None:
    document = ROOT / "docs" / "agreement.md"
    copy = tmp_path / "agreement.md"
    copy.write_text(document.read_text("utf-8"), "utf-8")
    script = ROOT / "benchmarks" / "agreement_transport.py"
    run([sys.executable, script, "--data", DATA, "--write", copy], check=True)
    assert copy.read_text("utf-8") == document.read_text("utf-8")
