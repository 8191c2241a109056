"""`isr agree` and `isr calibrate` from end to end: runs and stores over real HTTP, labels, plans, thresholds."""

from __future__ import annotations

import csv
import json
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import isr
from isr.calibration.correction.by_design import corrected_rate
from isr.calibration.correction.rogan_gladen import Calibration
from isr.cli import cli
from isr.errors import UsageError
from isr.judging.store import Store
from isr.people.agree import agree
from isr.people.agreement_study import Choices
from isr.people.correct import correct
from isr.people.correct_rows import Settings
from isr.people.judgements import Judgements, read_source
from isr.people.labels import Label, Labels, Mark
from isr.people.labels_file import write_labels
from isr.people.learn_threshold import learn
from isr.people.sheet_key import NAME, read_key
from isr.people.study_file import guideline_version, pixels_of, read_study
from isr.stats.rate import rate_interval
from tests import processes
from tests.chat_server import serving
from tests.directories import card_text, make_directory
from tests.runs import the_run

WORD = {"fails": "fine", "fine": "fails"}


def command(*args: object) -> processes.CompletedProcess[str]:
    return processes.run([sys.executable, "-m", "isr", *args])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """120 edits of 40 images by two methods judged by one judge; the card stays beside the run."""
    root = tmp_path_factory.mktemp("agree")
    make_directory(root / "e", images=40, prompts=3, methods=("sifm", "noise"), controls=False)
    with serving() as server:
        (root / "judge.toml").write_text(card_text(server.base_url))
        isr.score(root / "e", judge=str(root / "judge.toml"))
        yield root / "e.isr"


def rows_of(run: Path) -> list[dict[str, str]]:
    with (the_run(run) / "edits.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def label_rows(
    run: Path, wrong: float = 0.15, raters: tuple[str, ...] = ("a", "b", "c"), **more: Any
) -> Labels:
    """People who contradict the judge now and then, each on their own."""
    rng, out = np.random.default_rng(0), []
    for row in rows_of(run):
        for rater in raters:
            marks = [row[f"judge:{q}"] for q in ("semantic", "perceptual")]
            said = [Mark(WORD[m] if rng.random() < wrong else m) for m in marks]
            out.append(
                Label(
                    edit_id=row["edit_id"],
                    rater=rater,
                    semantic=said[0],
                    perceptual=said[1],
                    edit_sha256=row["edit_sha256"],
                    image_id=row["image_id"],
                    **more,
                )
            )
    return Labels(tuple(out))


def judged(run: Path) -> Judgements:
    return read_source(run)[-1]


def test_a_run_and_its_store_say_the_same(run: Path, tmp_path: Path) -> None:
    labels = label_rows(run)
    by_run = judged(run)
    by_store = read_source(run / "isr.db", pixels=pixels_of(labels))
    assert len(by_store) == 1
    for question in ("semantic", "perceptual", "outcome"):
        codes = {e: by_run.code(question, e) for e in by_run.edits}
        assert codes == {e: by_store[0].code(question, e) for e in by_run.edits}
    assert (by_store[0].judge, by_store[0].rubrics) == (by_run.judge, by_run.rubrics)
    with pytest.raises(isr.InputError, match="a store names edits by their pixels only"):
        read_source(run / "isr.db")


def test_answers_of_an_unzipped_bundle_are_read_by_the_rubrics_that_they_name(
    run: Path, tmp_path: Path
) -> None:
    labels = label_rows(run)
    with Store(run / "isr.db", read_only=True) as store:
        rows = list(store.export())
    answers = tmp_path / "answers.jsonl"
    answers.write_text("".join(json.dumps(r) + "\n" for r in rows), "utf-8")
    (found,) = read_source(answers, pixels=pixels_of(labels))
    (by_store,) = read_source(run / "isr.db", pixels=pixels_of(labels))
    assert found == by_store
    with pytest.raises(UsageError, match="found a store or its answers, which would take"):
        CliRunner().invoke(cli, ["calibrate", str(answers)], catch_exceptions=False)
    spoilt = [r for r in rows if "answer" in r]
    spoilt[0]["answer"]["text"] += " "
    answers.write_text("".join(json.dumps(r) + "\n" for r in rows), "utf-8")
    with pytest.raises(isr.InputError, match=r"cannot be imported.*\n.*answers.jsonl:\d+"):
        read_source(answers, pixels=pixels_of(labels))


def test_recorded_answers_without_rubrics_ask_for_them_in_the_words_of_the_command(tmp_path: Path) -> None:
    (tmp_path / "said.jsonl").write_text('{"edit_id": "a"}\n', "utf-8")
    with pytest.raises(
        isr.InputError, match=r"--rubric NAME/vN --rubric NAME/vN .in a study file rubrics = "
    ):
        read_source(tmp_path / "said.jsonl")


def test_the_command_prints_a_table_and_writes_both_files(run: Path, tmp_path: Path) -> None:
    write_labels(tmp_path / "labels.csv", label_rows(run))
    done = command(
        "agree",
        "--labels",
        tmp_path / "labels.csv",
        "--judge",
        run,
        "--out",
        tmp_path / "o",
        "--by",
        "method",
    )
    assert done.returncode == 0, done.stderr
    for words in (
        "720 labels by 3 raters of 240 edits", "held-out rater with rest", "always '", "human-human", "human-MLLM",
        "final ISR verdict", "edits on which judges and people disagree most", "signature: isr=",
    ):  # fmt: skip
        assert words in done.stdout, words
    assert "MLLM-MLLM" in done.stdout
    made = json.loads((tmp_path / "o" / "agreement.json").read_text())
    assert made["questions"]["semantic"]["judges"][0]["by"][0]["group"] == "noise"
    assert (tmp_path / "o" / "table.txt").read_text() == done.stdout


def test_two_judges_are_compared_on_the_same_edits(run: Path) -> None:
    one = judged(run)
    rng = np.random.default_rng(1)
    flipped = {
        q: {e: replace(v, value=WORD[v.value]) if rng.random() < 0.4 else v for e, v in verdicts.items()}
        for q, verdicts in one.verdicts.items()
    }
    labels = label_rows(run, wrong=0.1)
    other = replace(one, name="worse", verdicts=flipped)
    found = agree(labels, [one, other], Choices(by="method")).questions["semantic"]
    d = found.differences[0]
    values = {j.judge: j.agreement.kappa.value for j in found.judges}
    assert d.coefficient.value == pytest.approx(values["judge"] - values["worse"])
    assert d.p_holm < 0.001
    assert set(found.table_one) == {"human-human", "MLLM-MLLM", "human-MLLM"}
    # three raters who err alone by 10 % on this question: chance that two say the same is .9^2 + .1^2
    assert found.table_one["human-human"].value == pytest.approx(0.82, abs=0.05)
    assert (
        found.judges[0].ceiling.human.value < found.judges[0].ceiling.judge.value
    )  # here the judge is the truth


def test_labels_belong_to_pixels(run: Path) -> None:
    labels = label_rows(run)
    moved = replace(labels.rows[0], edit_sha256="sha256:" + "0" * 64)
    first = labels.rows[0].edit_id
    others = tuple(r for r in labels.rows if r.edit_id != first)
    for function in (
        lambda x: agree(x, [judged(run)], Choices()),
        lambda x: correct(judged(run), x, Settings(design="random")),
    ):
        with pytest.raises(isr.InputError, match=r"1 label\(s\) of other images"):
            function(Labels((moved, *others)))


def test_edits_in_common_are_needed(run: Path) -> None:
    with pytest.raises(isr.InputError, match="expected edits in common"):
        agree(
            Labels((Label(edit_id="nowhere", rater="a", semantic=Mark("fine"), perceptual=Mark("fine")),)),
            [judged(run)],
            Choices(),
        )
    assert command("agree").returncode == 2
    assert "expected a study file, or --labels" in command("agree").stderr


def test_guidelines_apart(run: Path, tmp_path: Path) -> None:
    mixed = (
        *label_rows(run, raters=("a",), guideline="v1").rows,
        *label_rows(run, raters=("b",), guideline="v2").rows,
    )
    write_labels(tmp_path / "l.csv", Labels(mixed))
    done = command("agree", "--labels", tmp_path / "l.csv", "--judge", run)
    assert done.returncode == 2
    assert "v1 (240), v2 (240)" in done.stderr
    done = command("agree", "--labels", tmp_path / "l.csv", "--judge", run, "--pool-guidelines")
    assert "note: labels of several guidelines were pooled: v1+v2" in done.stdout
    assert "guideline=v1+v2" in done.stdout


def test_a_guideline_carries_its_digest(tmp_path: Path) -> None:
    assert guideline_version("semantic/v1").startswith("semantic/v1:sha256:9342596")
    (tmp_path / "guide.md").write_text("look")
    assert guideline_version(str(tmp_path / "guide.md")).startswith("guide.md:sha256:")
    assert guideline_version("our own, 2026") == "our own, 2026"
    assert guideline_version("") == ""


# Plans


def test_a_template_draws_strata_with_known_probabilities(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "plan"
    done = command(
        "agree",
        "--template",
        "table-i",
        "--judge",
        run,
        "--out",
        out,
        "--strata",
        "method",
        "--guideline",
        "g1",
    )
    assert done.returncode == 0, done.stderr
    assert "150 edits of 240, 3 raters" in done.stdout
    raters = out / "for-raters"
    first, second = (
        list(csv.DictReader((raters / f"labels-rater{n}.csv").read_text("utf-8").splitlines()))
        for n in (1, 2)
    )
    assert {r["edit_id"] for r in first} == {r["edit_id"] for r in second}
    assert [r["edit_id"] for r in first] != [r["edit_id"] for r in second]
    assert {(r["semantic"], r["perceptual"]) for r in first} == {("", "")}
    assert all((raters / r["before"]).is_file() and (raters / r["after"]).is_file() for r in first)
    key = read_key(out / NAME).edits
    assert set(key) == {r["edit_id"] for r in first}
    assert {(e.pi, e.guideline, bool(e.edit_sha256)) for e in key.values()} == {(75 / 120, "g1", True)}
    tasks = json.loads((raters / "labelstudio-tasks.json").read_text())
    assert len(tasks) == 150
    again = command(
        "agree",
        "--template",
        "table-i",
        "--judge",
        run,
        "--out",
        tmp_path / "p2",
        "--strata",
        "method",
        "--guideline",
        "g1",
    )
    assert again.stdout.splitlines()[0] == done.stdout.splitlines()[0]
    assert command("agree", "--template", "table-i", "--out", out).returncode == 2
    assert (
        "--edits"
        in command("agree", "--template", "table-i", "--judge", run, "--out", out, "--edits", "999").stderr
    )


def test_labels_within_verdict_hold_for_the_judge_that_made_the_strata(run: Path, tmp_path: Path) -> None:
    done = command(
        "agree",
        "--template",
        "table-i",
        "--judge",
        run,
        "--out",
        tmp_path,
        "--strata",
        "verdict",
        "--edits",
        "100",
    )
    assert "within_verdict" in done.stdout
    plan = json.loads((tmp_path / "plan.json").read_text())
    drawn = {e.edit_id: e for e in read_key(tmp_path / NAME).edits.values()}
    rows = tuple(
        replace(r, plan=drawn[r.edit_id].plan, pi=drawn[r.edit_id].pi)
        for r in label_rows(run).rows
        if r.edit_id in drawn
    )
    labels, one = Labels(rows), judged(run)
    report = correct(one, labels, Settings(design="within_verdict"), plan=plan)
    assert report.rates["outcome"].corrected.method.startswith("post-stratified")
    assert report.rates["outcome"].sensitivity.low is None
    with pytest.raises(isr.DesignError, match="give it with --plan"):
        correct(one, labels, Settings(design="within_verdict"))
    with pytest.raises(isr.DesignError, match="expected the plan of the labels"):
        correct(one, labels, Settings(design="within_verdict"), plan={**plan, "seed": 9})
    with pytest.raises(isr.DesignError, match="found another instrument"):
        correct(replace(one, judge="sha256:0"), labels, Settings(design="within_verdict"), plan=plan)
    with pytest.raises(isr.DesignError, match="labels drawn at random"):
        learn(one, labels, Settings(design="within_verdict"))


# Corrections


def test_the_corrected_rate_is_that_of_the_estimator(run: Path) -> None:
    one, labels = judged(run), label_rows(run)
    edits = sorted(one.edits)
    some = labels.of_edits(np.random.default_rng(2).choice(edits, 100, replace=False).tolist())
    report = correct(one, some, Settings(design="random"))
    for question, rate in report.rates.items():
        j = np.array([one.code(question, e) for e in edits])
        y = np.array([labels.codes([e], question)[0].sum() >= 2 for e in edits], float)
        marked = np.array([e in some.edits for e in edits])
        image = [one.edits[e].image_id for e in edits]
        assert rate.corrected == corrected_rate(j, y, marked, image, label_design="random")
        assert rate.raw == rate_interval(j, image)
        assert rate.labels == 100
    assert "|design=random|" in report.signature


def test_unequal_probabilities_are_weighted(run: Path) -> None:
    one, labels = judged(run), label_rows(run)
    pi = {e: 0.9 if i % 2 else 0.3 for i, e in enumerate(sorted(one.edits))}
    rows = tuple(replace(r, pi=pi[r.edit_id]) for r in labels.rows)
    plain, weighted = (
        correct(one, x, Settings(design="random")).rates["outcome"].corrected for x in (labels, Labels(rows))
    )
    assert plain.low != weighted.low
    some = (replace(rows[0], pi=None), *(r for r in rows[1:] if r.edit_id != rows[0].edit_id))
    assert (
        "'pi' of every labelled edit, or of none"
        in correct(one, Labels(some), Settings(design="random")).rates["outcome"].refused
    )


def test_external_labels_need_the_same_instrument_and_other_edits(run: Path) -> None:
    one, labels = judged(run), label_rows(run)
    edits = sorted(one.edits)
    target, rest = edits[:90], edits[90:]
    report = correct(one, labels, Settings(design="external", drawn="random", by="method"), edits=target)
    j = np.array([one.code("outcome", e) for e in rest])
    y = np.array([labels.codes([e], "outcome")[0].sum() >= 2 for e in rest], float)
    counts = Calibration.from_rows(j, y, [one.edits[e].image_id for e in rest], label_design="random")
    expected = corrected_rate(
        [one.code("outcome", e) for e in target], None, None, [one.edits[e].image_id for e in target],
        label_design="external", calibration=counts,
    )  # fmt: skip
    assert report.rates["outcome"].corrected == expected
    assert {h.rate for h in report.rates["outcome"].homogeneity} == {"sensitivity", "specificity"}
    with pytest.raises(isr.DesignError, match="error rates hold for one instrument"):
        correct(
            one, labels, Settings(design="external", drawn="random"), judged=replace(one, judge="sha256:0")
        )
    with pytest.raises(isr.DesignError, match="edits outside the target"):
        correct(one, labels, Settings(design="external", drawn="random"))
    by_verdict = Labels(tuple(replace(r, stratum="fails") for r in labels.rows))
    refused = (
        correct(one, by_verdict, Settings(design="external", drawn="random"), edits=target)
        .rates["outcome"]
        .refused
    )
    assert "labels selected by verdict bias sensitivity" in refused


def test_the_guard_refuses_and_says_why(run: Path) -> None:
    one = judged(run)
    immunized = [e for e in sorted(one.edits) if one.code("outcome", e) == 1]
    report = correct(one, label_rows(run).of_edits(immunized[:30]), Settings(design="random"))
    assert report.rates["outcome"].corrected is None
    assert "no label among the edits with verdict 0" in report.rates["outcome"].refused


# Study files


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "labels"),
        ('[labels]\nfile = "l.csv"\n', "judges"),
        ('[labels]\nfile = "l.csv"\n[[judges]]\nname = "j"\n', "one of run, store, recorded"),
        ('[labels]\nfile = "l.csv"\n[[judges]]\nrun = "a"\nstore = "b"\n', "one of run, store, recorded"),
        ('[labels]\nfile = "l.csv"\nconsensus = "mean"\n[[judges]]\nrun = "a"\n', "labels.consensus"),
        ('level = 95\n[labels]\nfile = "l.csv"\n[[judges]]\nrun = "a"\n', "level"),
        ("a = ", "TOML"),
    ],
)
def test_malformed_study_files(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "study.toml"
    path.write_text(text)
    with pytest.raises(isr.InputError) as caught:
        read_study(path)
    assert told in str(caught.value)


def test_a_study_file_re_runs_what_options_say(run: Path, tmp_path: Path) -> None:
    write_labels(tmp_path / "labels.csv", label_rows(run))
    text = f"""
[labels]
file = "labels.csv"
guideline = "semantic/v1"
[[judges]]
name = "mine"
run = "{run}"
[[judges]]
name = "again"
store = "{run / "isr.db"}"
[analysis]
by = "method"
"""
    (tmp_path / "study.toml").write_text(text)
    done = command("agree", tmp_path / "study.toml")
    assert done.returncode == 0, done.stderr
    assert "judge=mine=sha256:" in done.stdout
    assert "guideline=semantic/v1:sha256:9342596" in done.stdout
    assert "mine - again: percent 1.00" in done.stdout
    assert command("agree", tmp_path / "study.toml", "--labels", tmp_path / "labels.csv").returncode == 2


# Thresholds


@pytest.mark.slow
def test_a_calibration_decides_in_place_of_the_rubric_and_only_for_its_judge(
    run: Path, tmp_path: Path
) -> None:
    labels, cal = tmp_path / "labels.csv", tmp_path / "cal.toml"
    write_labels(labels, label_rows(run))
    done = command("calibrate", run, "--labels", labels, "--design", "random", "--out", cal)
    assert done.returncode == 0, done.stderr
    assert "learnt thresholds of judge" in done.stdout
    made = tomllib.loads(cal.read_text())
    assert made["semantic"]["report"]["sensitivity"][0] > 0.5
    directory, store, card = run.parent / "e", run / "isr.db", run.parent / "judge.toml"
    # a threshold above every probability turns every decided verdict into `fine`, without asking anybody
    never = tmp_path / "never.toml"
    text = cal.read_text()
    for question in ("semantic", "perceptual"):
        text = text.replace(f"threshold = {made[question]['threshold']!r}", "threshold = 1.0")
    never.write_text(text)
    args = (
        "score",
        directory,
        "--judge",
        card,
        "--store",
        store,
        "--quiet",
        "--json",
        "--out",
    )
    scored = command(*args, tmp_path / "never", "--calibration", never)
    assert scored.returncode == 0, scored.stderr
    result = json.loads(scored.stdout)
    assert "|calibration=sha256:" in result["signature"]
    assert [t["estimates"]["isr"]["value"] for t in result["treatments"]] == [0, 0]
    with_cal = json.loads(command(*args, tmp_path / "o", "--calibration", cal).stdout)
    assert with_cal["signature"] != result["signature"]
    taken = command(*args, tmp_path / "o", "--calibration", never)
    assert taken.returncode == 2
    assert "found the result of another (calibration: sha256:" in taken.stderr
    refused = command(*args, tmp_path / "o", "--calibration", cal, "--set", "decoding.temperature=1.0")
    assert refused.returncode == 2
    assert "expected a calibration of this run's judge" in refused.stderr
    other = tmp_path / "other.toml"
    other.write_text(cal.read_text().replace(made["semantic"]["rubric_digest"], "sha256:0"))
    assert (
        "expected a calibration for semantic/v1"
        in command(*args, tmp_path / "o", "--calibration", other).stderr
    )
    broken = tmp_path / "broken.toml"
    broken.write_text("schema = 1")
    told = command(*args, tmp_path / "o", "--calibration", broken).stderr
    assert "problem(s)" in told
    assert "judge_digest" in told


@pytest.mark.parametrize("kind", ["isotonic", "platt"])
def test_a_calibration_file_is_read_as_it_was_written(run: Path, tmp_path: Path, kind: Any) -> None:
    from isr.judging.thresholds import read_recalibration, write_recalibration

    made = learn(judged(run), label_rows(run), Settings(design="random"), kind=kind)
    write_recalibration(tmp_path / "c.toml", made)
    again = read_recalibration(tmp_path / "c.toml")
    assert again.digest == made.digest
    assert again.decisions == made.decisions


# Panels and repeats


def test_a_panel_is_read_as_its_members_and_as_a_whole(tmp_path: Path) -> None:
    make_directory(tmp_path / "e", images=6, prompts=2, controls=False)
    with serving() as server:
        for name, seed in (("one", 0), ("two", 1)):
            text = card_text(server.base_url).replace("max_tokens = 512", f"max_tokens = 512\nseed = {seed}")
            (tmp_path / f"{name}.toml").write_text(text)
        (tmp_path / "panel.toml").write_text(
            f'backend = "panel"\nrule = "strict"\nmembers = ["{tmp_path}/one.toml", "{tmp_path}/two.toml"]\n'
        )
        isr.score(tmp_path / "e", judge=str(tmp_path / "panel.toml"), repeats=3)
    found = read_source(tmp_path / "e.isr")
    assert [j.name for j in found] == ["one", "two", "panel (strict)"]
    assert found[2].verdicts == {}
    assert found[2].rule == "strict"
    for edit in found[0].edits:
        members = [j.code("outcome", edit) for j in found[:2]]
        assert found[2].code("outcome", edit) == min(members)
        assert members[0] == max(found[0].code(q, edit) for q in ("semantic", "perceptual"))
        assert found[2].code("semantic", edit) is None
    rows = tuple(
        Label(edit_id=e, rater="a", semantic=Mark("fails"), perceptual=Mark("fine")) for e in found[0].edits
    )
    study = agree(Labels(rows), found, Choices())
    panel = next(j for j in study.questions["semantic"].judges if j.judge == "panel (strict)")
    assert panel.unanswered == 12
    assert panel.agreement.kappa.value is None
    corrected = correct(found[2], Labels(rows), Settings(design="random"))
    assert list(corrected.rates) == ["outcome"]


def test_thresholds_and_repeats_belong_to_the_instrument(run: Path) -> None:
    one, labels = judged(run), label_rows(run)
    edits = sorted(one.edits)
    for part in ("calibration=sha256:0123456789ab", "repeats=3", "reask=refusal"):
        other = replace(one, signature=f"{one.signature}|{part}")
        assert other.identity != one.identity
        assert other.instrument != one.instrument
        with pytest.raises(isr.DesignError, match="error rates hold for one instrument"):
            correct(one, labels, Settings(design="external", drawn="random"), judged=other, edits=edits[:90])
    assert replace(one, signature=f"{one.signature}|repeats=1").identity == one.identity


def test_labels_with_a_plan_are_not_random(run: Path) -> None:
    one, labels = judged(run), label_rows(run)
    planned = Labels(tuple(replace(r, plan="sha256:00", stratum="fails", pi=None) for r in labels.rows))
    with pytest.raises(isr.DesignError, match="were not drawn at random from all edits"):
        correct(one, planned, Settings(design="random"))


def test_labels_without_consensus_are_told(run: Path) -> None:
    one, labels = judged(run), label_rows(run)
    first = min(one.edits)
    rows = tuple(replace(r, semantic=Mark("cannot_tell")) if r.edit_id == first else r for r in labels.rows)
    report = correct(one, Labels(rows), Settings(design="random"))
    assert any("semantic: 1 of" in w and "have no consensus" in w for w in report.warnings)


def test_a_store_cannot_be_corrected_and_bad_outputs_are_told(run: Path, tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("edit_id,rater,semantic,perceptual\nx,a,fails,fine\n")
    args = ("calibrate", str(run / "isr.db"), "--labels", str(tmp_path / "l.csv"), "--design", "random")
    done = command(*args)
    assert done.returncode == 2
    assert "found a store" in done.stderr
