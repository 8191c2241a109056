"""Which edits are labelled, in which order, is drawn once and checked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import isr
from isr.errors import UsageError
from isr.judging.edits import load_edits
from isr.people.label_store import LabelStore
from isr.people.labelling_plan import check_plan, order_for, plan_study
from isr.people.labels import Label, Labels, Mark
from isr.people.labels_file import write_labels
from tests.people.label_store_samples import RUBRICS, planned
from tests.runs import recorded_run


def test_orders_are_each_raters_own_and_repeats_stand_far_apart(run: Path, tmp_path: Path) -> None:
    study = planned(run, tmp_path, edits=20, controls=0.2, repeat=0.2, attention=3)
    kinds = [i.kind for i in study.items]
    assert (kinds.count("edit"), kinds.count("control"), kinds.count("attention")) == (20, 4, 3)
    orders = [order_for(study, n) for n in (1, 2, 1)]
    assert orders[0] == orders[2] != orders[1]
    for order in orders:
        assert len(order) == 31
        assert set(order) == set(range(27))
        twice = [i for i in set(order) if order.count(i) == 2]
        assert len(twice) == 4
        for item in twice:
            first = order.index(item)
            assert study.items[item].kind == "edit"
            assert order.index(item, first + 1) - first >= 9
    arms = [kinds[i] for i in orders[0]]
    assert arms != sorted(arms)


def test_a_study_goes_on_only_with_what_it_was_planned_with(run: Path, tmp_path: Path) -> None:
    edits = load_edits(run.parent / "edits")
    with LabelStore(tmp_path) as store:
        store.begin(replace(planned(run, tmp_path, edits=5), options={"edits": 5, "design": "random"}))
        study = store.study()
    assert study.directory
    check_plan(study, edits, {"edits": 5})
    with pytest.raises(UsageError, match="--edits: expected 5"):
        check_plan(study, edits, {"edits": 6})
    changed = [replace(e, edited=replace(e.edited, sha256="sha256:" + "0" * 64)) for e in edits.edits]
    with pytest.raises(UsageError, match="found others in their place"):
        check_plan(study, replace(edits, edits=tuple(changed)), {})


def test_without_sources_no_check_asks_what_is_unchanged(run: Path, tmp_path: Path) -> None:
    edits = load_edits(run.parent / "edits")
    bare = replace(edits, edits=tuple(replace(e, source=None) for e in edits.edits))
    study = plan_study(bare, RUBRICS, tmp_path, edits=4, attention=5)
    kinds = [i.edit_id.rpartition("-")[2] for i in study.items if i.kind == "attention"]
    assert kinds == ["black", "noise", "black", "noise", "black"]


def test_whole_units_are_drawn_to_compare_methods(tmp_path: Path) -> None:
    """Of 24 units of three methods 8 are drawn: 24 edits, each unit's three, and control edits of these units first."""
    run = recorded_run(tmp_path, images=8, prompts=3, methods=("a", "b", "c"))
    edits = load_edits(tmp_path / "edits")
    made = plan_study(edits, RUBRICS, tmp_path / "out", design="units", edits=24, controls=0.3, seed=4)
    by_id = {e.edit_id: e for e in edits.edits}
    drawn = [i for i in made.items if i.kind == "edit"]
    units = [by_id[i.edit_id].unit for i in drawn]
    assert len(units) == 24
    assert {units.count(u) for u in units} == {3}
    assert all(
        sorted(by_id[i.edit_id].treatment.method for i in drawn if by_id[i.edit_id].unit == u)
        == ["a", "b", "c"]
        for u in units
    )
    assert {i.pi for i in drawn} == {8 / 24}
    controls = [by_id[i.edit_id].unit for i in made.items if i.kind == "control"]
    assert len(controls) == 7
    assert set(controls) <= set(units)
    assert made.plan["design"] == "random"
    other = plan_study(edits, RUBRICS, tmp_path / "two", design="units", edits=24, seed=5)
    assert {i.edit_id for i in other.items if i.kind == "edit"} != {i.edit_id for i in drawn}
    with pytest.raises(UsageError, match="--strata: expected none with --design units"):
        plan_study(edits, RUBRICS, tmp_path / "three", design="units", edits=24, strata=["editor"])
    # and these labels, with their plan and their probabilities, are labels at random to isr compare
    labels = tmp_path / "labels.csv"
    write_labels(
        labels,
        Labels(
            tuple(
                Label(
                    edit_id=i.edit_id, rater="ann", semantic=Mark("fails"), perceptual=Mark("fine"),
                    edit_sha256=i.edit_sha256, pi=i.pi, plan=made.plan["plan"],
                )
                for i in drawn
            )
        ),
    )  # fmt: skip
    found = isr.compare(run, labels=labels, design="random")
    assert [p.labels for p in found.confirmed] == [8, 8, 8]
