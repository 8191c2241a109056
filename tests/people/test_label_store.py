"""Labelling studies: what is drawn, what clicks amount to, what comes out and goes in again."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isr.errors import InputError, UsageError
from isr.judging.edits import load_edits
from isr.judging.rubrics import load_pair
from isr.people.correct import Settings, correct
from isr.people.judgements import read_source
from isr.people.label_store import LabelStore, folded
from isr.people.labelling_export import export, import_into, labels_of, rater_reports
from isr.people.labelling_plan import Study, check_plan, order_for, plan_study
from isr.people.labels import Label, Labels, Mark
from isr.people.labels_file import read_labels
from isr.people.labelstudio import import_labels
from tests.runs import recorded_run

RUBRICS = list(load_pair().values())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded_run(tmp_path_factory.mktemp("labelling"), images=8, prompts=3)


def planned(run: Path, out: Path, **options: object) -> Study:
    return plan_study(load_edits(run.parent / "edits"), RUBRICS, out, **options)  # type: ignore[arg-type]


def answer(
    store: LabelStore, rater: str, semantic: str = "fine", perceptual: str = "fails", note: str = ""
) -> None:
    at = store.state(rater).position
    for question, value in (("semantic", semantic), ("perceptual", perceptual)):
        store.add(rater, uuid.uuid4().hex, at, "mark", question, value)
    if note:
        store.add(rater, uuid.uuid4().hex, at, "note", "", note)
    store.add(rater, uuid.uuid4().hex, at, "done", seconds=2.5)


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


def test_designs_keep_their_probabilities_and_calibrate_takes_them(run: Path, tmp_path: Path) -> None:
    (judge,) = read_source(run)
    for design, judges in (("random", []), ("within_verdict", [judge])):
        study = planned(
            run, tmp_path / design, design=design, judges=judges, edits=16, attention=0, controls=0, repeat=0
        )
        pis = {i.pi for i in study.items}
        assert all(p is not None and 0 < p <= 1 for p in pis)
        with LabelStore(tmp_path / design) as store:
            store.begin(study)
            store.sign_in("ann")
            for number in range(16):
                answer(store, "ann", "fails" if number % 3 == 0 else "fine", "fine")
            export(store, tmp_path / design)
        labels = read_labels(tmp_path / design / "labels.csv")
        plan = json.loads((tmp_path / design / "plan.json").read_text())
        assert plan["design"] == ("random" if design == "random" else "within_verdict")
        settings = Settings(design=plan["design"], by="editor")
        report = correct(judge, labels, settings, plan=plan)
        assert report.rates["semantic"].corrected is not None, report.rates["semantic"].refused
    with pytest.raises(UsageError, match="two judges or more"):
        planned(run, tmp_path / "d", design="disagreement", judges=[judge])


def test_disagreement_draws_more_of_what_is_disputed(run: Path, tmp_path: Path) -> None:
    other = recorded_run(
        tmp_path / "b", images=8, prompts=3,
        say=lambda n: {"reasoning": "", "score": 0 if n % 9 == 0 else 3, "verdict": "fails" if n % 9 == 0 else "fine"},
    )  # fmt: skip
    judges = [read_source(p)[0] for p in (run, other)]
    study = planned(
        run, tmp_path, design="disagreement", judges=judges, edits=12, attention=0, controls=0, disputed=0.75
    )
    strata = {s: [i.pi for i in study.items if i.stratum == s] for s in ("disputed", "agreed")}
    assert len(strata["disputed"]) + len(strata["agreed"]) == 12
    assert {len(set(p)) for p in strata.values()} == {1}
    drawn, of = zip(*(study.plan["strata"][s] for s in ("disputed", "agreed")), strict=True)
    assert [p[0] for p in strata.values()] == [d / n for d, n in zip(drawn, of, strict=True)]
    assert study.plan["design"] == "random"  # with inclusion probabilities in the labels


def test_a_click_counts_once_and_only_where_it_belongs(run: Path, tmp_path: Path) -> None:
    with LabelStore(tmp_path) as store:
        store.begin(planned(run, tmp_path, edits=5, attention=0, controls=0, repeat=0))
        store.sign_in("ann")
        for _ in range(3):
            state = store.add("ann", "the-same-click", 0, "mark", "semantic", "fails")
        assert state.marks == {"semantic": "fails"}
        for bad in (
            ("ann", "x1", 1, "mark", "semantic", "fails"),
            ("ann", "x2", 0, "mark", "semantic", "maybe"),
            ("ann", "x3", 0, "done", "", ""),
            ("ann", "x4", 0, "drop", "", ""),
            ("bo", "x5", 0, "mark", "semantic", "fails"),
        ):
            with pytest.raises(UsageError):
                store.add(*bad)
        assert store.state("ann").marks == {"semantic": "fails"}
        for name in ("", "../x", "a" * 61, "<b>", " ann"):
            with pytest.raises(UsageError):
                store.sign_in(name)
        store.sign_in("Zoë O. Ñandú-1")


@given(st.lists(st.sampled_from(["s1", "s0", "p1", "p0", "done", "undo"]), max_size=60))
def test_undo_leaves_what_would_be_there_without_what_was_undone(keys: Sequence[str]) -> None:
    """Against a plain stack: undo removes the last key that stands."""
    stack: list[str] = []
    events = []
    position = 0
    for key in keys:
        word = {"s": "semantic", "p": "perceptual"}.get(key[0], "")
        mark = len(key) == 2
        if key == "done":
            answered = {
                k[0] for k in stack[len(stack) - stack[::-1].index("done") if "done" in stack else 0 :]
            }
            if not {"s", "p"} <= answered:
                continue
        events.append(
            (position, "mark" if mark else key, word if mark else "", key[1:] if mark else "", 0.0, "")
        )
        if key == "undo":
            stack = stack[:-1]
        else:
            stack.append(key)
        position = stack.count("done")
    done, marks, _ = folded(events)
    assert len(done) == stack.count("done")
    last = stack[len(stack) - stack[::-1].index("done") if "done" in stack else 0 :]
    expected: dict[str, str] = {}
    for key in last:
        expected[{"s": "semantic", "p": "perceptual"}[key[0]]] = key[1:]
    assert marks == expected


def test_exports_are_read_again_and_raters_are_reported(run: Path, tmp_path: Path) -> None:
    with LabelStore(tmp_path) as store:
        study = planned(run, tmp_path, edits=20, attention=3, controls=0.2, repeat=0.2)
        store.begin(study)
        store.sign_in("ann")
        total = store.state("ann").total
        for number in range(total):
            item = store.item("ann", number)
            assert item is not None
            if item.kind == "attention":
                answer(store, "ann", item.expected.get("semantic", "fine"), item.expected["perceptual"])
            else:
                answer(
                    store,
                    "ann",
                    "cannot_tell" if number == 0 else "fails",
                    "fine",
                    note="what?" if number == 0 else "",
                )
        assert store.state("ann").finished
        files = {f.name for f in export(store, tmp_path)}
        assert files == {"labels.csv", "labels-controls.csv", "label-studio.json", "plan.json", "raters.json"}
        labels = read_labels(tmp_path / "labels.csv")
        assert labels.digest == labels_of(store).digest
        assert len(labels.rows) == 20
        assert len(read_labels(tmp_path / "labels-controls.csv").rows) == 4
        studio = import_labels(tmp_path / "label-studio.json")
        assert [(r.edit_id, r.semantic, r.perceptual, r.pi, r.plan) for r in studio.rows] == [
            (r.edit_id, r.semantic, r.perceptual, r.pi, r.plan) for r in labels.rows
        ]
        (report,) = rater_reports(store)
        assert report["attention"] == {"passed": 3, "of": 3}
        assert report["self_consistency"]["perceptual"]["same"] == 1.0
        assert report["median_seconds"] == 2.5
        assert report["cannot_tell"]["semantic"] in (1, 0)
        for name in ("labels.csv", "label-studio.json"):
            with LabelStore(tmp_path / f"again-{name}") as again:
                again.begin(study)
                read = (
                    read_labels(tmp_path / name) if name.endswith("csv") else import_labels(tmp_path / name)
                )
                taken = import_into(again, read)
                assert (taken.raters, taken.left) == ({"ann": 20}, {})
                back = labels_of(again)
                assert {_whole(r, name) for r in back.rows} == {_whole(r, name) for r in labels.rows}
                assert {r.edit_id: r.time for r in back.rows} == {r.edit_id: r.time for r in labels.rows}
                with pytest.raises(UsageError, match="not begun"):
                    import_into(again, read)


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


def _whole(row: Label, name: str) -> tuple[object, ...]:
    """What must come back; Label Studio's export has neither notes nor seconds."""
    extra = sorted(row.extra.items()) if name.endswith("csv") else []
    return (row.edit_id, row.rater, row.semantic, row.perceptual, row.edit_sha256, row.time, row.pi, *extra)


def test_imports_take_all_or_nothing_and_say_what_is_wrong(run: Path, tmp_path: Path) -> None:
    study = planned(run, tmp_path, edits=4, attention=0, controls=0, repeat=0)
    fine, time = Mark("fine"), "2024-05-01T10:00:00+00:00"
    rows = [
        Label(
            edit_id=i.edit_id,
            rater="Pat O'Brien",
            semantic=fine,
            perceptual=fine,
            edit_sha256=i.edit_sha256,
            time=time,
            extra={"note": f"n{n}", "seconds": "3"},
        )
        for n, i in enumerate(study.items)
    ]
    with LabelStore(tmp_path) as store:
        store.begin(study)
        bad = [
            replace(rows[0], edit_sha256="sha256:" + "0" * 64),
            replace(rows[1], extra={"seconds": "soon"}),
            replace(rows[2], extra={"seconds": "inf"}),
            replace(rows[3], rater="<b>"),
        ]
        with pytest.raises(InputError) as caught:
            import_into(store, Labels((*bad, replace(rows[0], rater="zoe"))))
        assert len(caught.value.problems) == 4
        assert store.raters() == []
        more = [replace(rows[0], edit_id="elsewhere"), replace(rows[3], perceptual=Mark())]
        taken = import_into(store, Labels(tuple(rows[:3] + more)))
        assert taken.raters == {"Pat O'Brien": 3}
        assert taken.left == {"of edits that are not in the study": 1, "with one question answered": 1}
        back = labels_of(store).rows
        assert [(r.edit_sha256, r.time, r.extra) for r in back] == [
            (r.edit_sha256, time, {"seconds": "3.0", "note": r.extra["note"]}) for r in rows[:3]
        ]
        assert store.state("Pat O'Brien").position == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"controls": -0.1}, {"controls": float("nan")}, {"attention": -1}, {"disputed": 0.0}, {"disputed": 1.0},
        {"repeat": 1.5}, {"edits": 0},
    ],
)  # fmt: skip
def test_numbers_out_of_range_are_refused(run: Path, tmp_path: Path, wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=f"--{next(iter(wrong))}: expected"):
        planned(run, tmp_path, **wrong)


def test_without_sources_no_check_asks_what_is_unchanged(run: Path, tmp_path: Path) -> None:
    edits = load_edits(run.parent / "edits")
    bare = replace(edits, edits=tuple(replace(e, source=None) for e in edits.edits))
    study = plan_study(bare, RUBRICS, tmp_path, edits=4, attention=5)
    kinds = [i.edit_id.rpartition("-")[2] for i in study.items if i.kind == "attention"]
    assert kinds == ["black", "noise", "black", "noise", "black"]


def test_a_failed_sign_in_leaves_nothing(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LabelStore(tmp_path) as store:
        store.begin(planned(run, tmp_path, edits=4))
        with monkeypatch.context() as patch:
            patch.setattr("isr.people.label_store.order_for", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                store.sign_in("ann")
        assert store.raters() == []
        store.sign_in("ann")
        assert store.state("ann").total > 0
