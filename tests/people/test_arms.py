"""Labels of control edits: one study on the page, and both arms in agree, calibrate and the report."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from isr.errors import InputError
from isr.people.agree import agree
from isr.people.agreement_study import Choices
from isr.people.arms import with_arms
from isr.people.correct import correct
from isr.people.correct_rows import Settings
from isr.people.judgements import EditInfo, read_source
from isr.people.label_files import load_labels
from isr.people.label_store import LabelStore
from isr.people.labelling_export import export, import_into, labels_of
from isr.people.labels import Labels
from isr.people.labels_file import read_labels, write_labels
from isr.report.people import people, with_controls
from isr.report.runs import named_runs, read_report_run
from tests.people.label_run import IDS, the_judge, the_labels
from tests.people.label_store_samples import planned

WORDS_OF_ARMS = ("", "Protected", "CONTROL", "clean", "clean", "source")


def both_arms() -> Labels:
    """36 labels of protected edits, and 36 of control edits of which people contradict the judge as often."""
    of_controls = tuple(replace(r, arm="control") for r in the_labels().rows)
    return Labels((*the_labels().rows, *of_controls))


def test_agreement_of_control_edits_is_a_study_of_its_own() -> None:
    judge = replace(the_judge(), controls=the_judge())
    found = agree(both_arms(), [judge], Choices())
    alone = agree(the_labels(), [the_judge()], Choices())
    assert found.questions == alone.questions
    assert found.controls is not None
    assert found.controls.questions == alone.questions
    assert found.as_dict()["controls"]["counts"]["edits"] == 36
    assert "controls" not in alone.as_dict()
    assert alone.controls is None


def test_control_rates_are_corrected_beside_the_others() -> None:
    judge = replace(the_judge(), controls=the_judge())
    report = correct(judge, both_arms(), Settings(design="random"))
    alone = correct(the_judge(), the_labels(), Settings(design="random"))
    assert report.rates == alone.rates
    assert [c.rate for c in report.controls.values()] == ["control_semantic", "control_perceptual", "control"]
    assert report.controls["outcome"].corrected == alone.rates["outcome"].corrected
    assert "controls" not in alone.as_dict()
    assert set(report.as_dict()["controls"]) == {"semantic", "perceptual", "outcome"}


def test_what_cannot_be_said_of_control_edits_is_told() -> None:
    (note,) = agree(both_arms(), [the_judge()], Choices()).notes
    assert note == "36 labelled control edits were judged by no judge; they are left out"
    report = correct(the_judge(), both_arms(), Settings(design="random"))
    assert report.controls == {}
    assert report.warnings == ("36 labelled control edits were judged by nobody here; they are left out",)
    half = replace(the_judge(), controls=the_judge(IDS[:18]))
    told = correct(half, both_arms(), Settings(design="random")).warnings
    assert len(told) == 1
    assert told[0].startswith(
        "control edits: isr calibrate: 18 of 36 labelled edits are none of the judged ones"
    )
    only = Labels(tuple(r for r in both_arms().rows if r.arm))
    for question in (
        lambda: agree(only, [the_judge()], Choices()),
        lambda: correct(the_judge(), only, Settings(design="random")),
    ):
        with pytest.raises(InputError, match="control edits only; give both files"):
            question()


def test_an_arm_is_told_by_pixels_where_no_column_names_it() -> None:
    """As in labels-controls.csv of earlier versions: a label names the pixels of the control edit."""
    judge = the_judge()
    edits = {e: replace(i, sha256=f"sha256:e{e}") for e, i in judge.edits.items()}
    controls = {e: EditInfo(i.image_id, f"sha256:c{e}") for e, i in judge.edits.items()}
    judge = replace(judge, edits=edits, controls=replace(judge, edits=controls))
    rows = [replace(r, edit_sha256=f"sha256:c{r.edit_id}") for r in the_labels().rows]
    told = with_arms(Labels((*the_labels().rows, *rows)), [judge])
    assert [r.arm for r in told.rows] == [""] * 36 + ["control"] * 36
    same = replace(judge, controls=replace(judge, edits=edits))  # an editor that did the same to both
    assert {r.arm for r in with_arms(Labels(tuple(rows)), [same]).rows} == {""}


def test_an_arm_is_written_and_read_and_has_a_part_in_the_digest(tmp_path: Path) -> None:
    for name in ("l.csv", "l.jsonl"):
        write_labels(tmp_path / name, both_arms())
        back = read_labels(tmp_path / name)
        assert [r.arm for r in back.rows] == [""] * 36 + ["control"] * 36
        assert back.digest == both_arms().digest != the_labels().digest


def test_one_study_labels_both_arms_and_everything_reads_them(run: Path, tmp_path: Path) -> None:
    study = planned(run, tmp_path / "s", edits=24, controls=1.0, attention=0, repeat=0)
    with LabelStore(tmp_path / "s") as store:
        store.begin(study)
        store.sign_in("ann")
        for number in range(store.state("ann").total):
            for question in ("semantic", "perceptual"):
                value = "fails" if number % 3 == 0 and question == "semantic" else "fine"
                store.add("ann", uuid.uuid4().hex, number, "mark", question, value)
            store.add("ann", uuid.uuid4().hex, number, "done")
        export(store, tmp_path / "s")
        arms = [len(labels_of(store, kind).rows) for kind in ("edit", "control")]
    files = [tmp_path / "s" / n for n in ("labels.csv", "labels-controls.csv")]
    labels = load_labels(files)
    assert arms == [24, 24]
    assert sum(r.arm == "control" for r in labels.rows) == 24
    (judge,) = read_source(run)
    found = agree(labels, [judge], Choices())
    assert found.controls is not None
    assert found.controls.counts["edits_judged"] == 24
    report = correct(judge, labels, Settings(design="random"))
    assert {c.labels for c in report.controls.values()} == {24}
    (shown,) = named_runs([read_report_run(run, None)])
    page = people([shown], files[0])
    assert [title for title, _ in page.studies] == ["", "control edits: "]
    assert page.notes == ()
    assert with_controls(files[0]) == files
    assert with_controls(files[1]) == files[1:]
    old = (
        files[1].read_text().replace(",control,", ",,")
    )  # as earlier versions wrote it: no arm, the same pixels
    files[1].write_text(old)
    assert agree(load_labels(files), [judge], Choices()).controls.counts["edits_judged"] == 24  # type: ignore[union-attr]
    with LabelStore(tmp_path / "again") as again:
        again.begin(study)
        taken = import_into(again, load_labels(files))
        assert (taken.raters, taken.left) == ({"ann": 48}, {})
        assert [len(labels_of(again, kind).rows) for kind in ("edit", "control")] == [24, 24]


def test_a_word_that_names_no_arm_is_refused(tmp_path: Path) -> None:
    lines = ["edit_id,rater,arm,semantic", *(f"e{n},ann,{arm},fails" for n, arm in enumerate(WORDS_OF_ARMS))]
    (tmp_path / "l.csv").write_text("\n".join(lines), "utf-8")
    with pytest.raises(InputError) as caught:
        read_labels(tmp_path / "l.csv")
    assert [(p.where, p.field, p.found) for p in caught.value.problems] == [
        ("l.csv:5", "arm", "'clean' (2 rows)"), ("l.csv:7", "arm", "'source'"),
    ]  # fmt: skip
    assert "protected or control" in str(caught.value)
    with pytest.raises(InputError) as caught:
        read_source(tmp_path / "l.csv", words={}, columns={})
    assert [(p.where, p.found) for p in caught.value.problems] == [
        ("l.csv:5", "'clean'"), ("l.csv:7", "'source'"),
    ]  # fmt: skip
