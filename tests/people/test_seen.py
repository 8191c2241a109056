"""Labels that were given with the judges' verdicts in view: they stay known as such, and no rate is made of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from isr.errors import DesignError
from isr.people.correct import correct
from isr.people.correct_rows import Settings
from isr.people.judgements import read_source
from isr.people.label_store import LabelStore
from isr.people.labelling_export import export, import_into, labels_of
from isr.people.labels import Label, Labels, Mark, independent, seen_told
from isr.people.labels_file import read_labels, write_labels
from isr.people.learn_threshold import learn
from tests.people.confirm_samples import KIND, STRICT, confirmed, sampled
from tests.people.label_store_samples import planned


def seen(rows: tuple[Label, ...], rater: str = "reader") -> tuple[Label, ...]:
    return tuple(replace(r, rater=rater, extra={**r.extra, "seen": "verdicts"}) for r in rows)


def test_what_a_rater_saw_stays_with_the_labels_through_a_study(run: Path, tmp_path: Path) -> None:
    study = planned(run, tmp_path, edits=20, attention=0, controls=0, repeat=0)
    blind = tuple(
        Label(
            edit_id=i.edit_id,
            rater="ann",
            semantic=Mark("fails" if n % 3 else "fine"),
            perceptual=Mark("fine"),
        )
        for n, i in enumerate(study.items)
    )
    write_labels(tmp_path / "reader.csv", Labels((*blind, *seen(blind))))
    given = read_labels(tmp_path / "reader.csv")
    (told,) = given.notes
    assert "verdicts in view (column seen): reader 20;" in told
    with LabelStore(tmp_path) as store:
        store.begin(study)
        import_into(store, given)
        export(store, tmp_path)
        assert {r.rater: r.extra.get("seen") for r in labels_of(store).rows} == {
            "ann": None,
            "reader": "verdicts",
        }
    # Label Studio's annotations have no place for it
    assert read_labels(tmp_path / "label-studio.json").raters == ["ann"]
    labels = read_labels(tmp_path / "labels.csv")
    assert labels.notes == given.notes

    (judge,) = read_source(run)
    settings = Settings(design="random", by="editor")
    both, one = (correct(judge, x, settings) for x in (labels, replace(labels, rows=labels.rows[:20])))
    assert both.rates == one.rates
    assert both.signature == one.signature  # its labels are those that it is made of
    assert told in both.warnings
    only = replace(labels, rows=labels.rows[20:])
    assert only.raters == ["reader"]
    with pytest.raises(DesignError, match="judges' verdicts in view"):
        correct(judge, only, settings)
    with pytest.raises(DesignError, match="judges' verdicts in view"):
        learn(judge, only, settings)


def test_differences_leave_them_out_too() -> None:
    contenders, labels = sampled(3, (0.3, 0.6), (KIND, STRICT), labelled=120)
    found = confirmed(contenders, labels)
    wrong = tuple(replace(r, semantic=r.perceptual, perceptual=r.semantic) for r in labels.rows)
    with_reader = confirmed(contenders, replace(labels, rows=(*labels.rows, *seen(wrong))))
    assert with_reader.confirmed == found.confirmed
    assert with_reader.signature == found.signature
    assert any("verdicts in view" in w for w in with_reader.warnings)
    with pytest.raises(DesignError, match="isr label"):
        confirmed(contenders, replace(labels, rows=seen(labels.rows)))


def test_other_words_in_the_column_say_nothing_and_capitals_do_not_matter() -> None:
    rows = tuple(
        Label(edit_id=f"e{n}", rater="r", semantic=Mark("fine"), extra={"seen": word})
        for n, word in enumerate(("", "source", "Verdicts"))
    )
    assert independent(Labels(rows)).rows == rows[:2]
    assert independent(Labels(rows[:2])).notes == ()
    assert list(seen_told(rows[:2])) == []
