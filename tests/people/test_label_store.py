"""Labelling studies: what is drawn, what clicks amount to, what comes out and goes in again."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isr.errors import UsageError
from isr.people.judgements import read_source
from isr.people.label_store import FILE, LabelStore, folded
from isr.people.looks import UNKNOWN, Look
from tests.people.label_store_samples import planned
from tests.runs import recorded_run


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


def _confirm(store: LabelStore, name: str, look: Look = UNKNOWN) -> None:
    """Answers the item that ann is shown; ``name``: of the clicks."""
    at = store.state("ann").position
    for question in ("semantic", "perceptual"):
        store.add("ann", f"{name}-{question}", at, "mark", question, "fails")
    store.add("ann", f"{name}-done", at, "done", seconds=2.0, look=look)


def test_how_an_item_was_looked_at_is_kept_with_the_answer_that_stands(run: Path, tmp_path: Path) -> None:
    near = Look(window_px=390, pixel_ratio=2.625, fit_scale=0.17, largest_scale=1)
    far = Look(window_px=1440, pixel_ratio=1, fit_scale=0.5, largest_scale=0.5)
    with LabelStore(tmp_path) as store:
        store.begin(planned(run, tmp_path, edits=5, attention=0, controls=0, repeat=0))
        store.sign_in("ann")
        _confirm(store, "first", near)
        store.add("ann", "first-done", 0, "done", look=far)  # sent again: it was kept before
        _confirm(store, "second")
        assert [s.look for s in store.said("ann")] == [near, UNKNOWN]
        store.add("ann", "undo-1", 2, "undo")
        store.add("ann", "again-done", 1, "done", look=far)
    with LabelStore(tmp_path) as store:
        assert [s.look for s in store.said("ann")] == [near, far]


def test_a_study_of_before_opens_and_goes_on(run: Path, tmp_path: Path) -> None:
    """A store that knew nothing of windows and scales: what it holds stays, what is missing is empty."""
    look = Look(window_px=800, pixel_ratio=2, fit_scale=0.3, largest_scale=2)
    with LabelStore(tmp_path) as store:
        store.begin(planned(run, tmp_path, edits=5, attention=0, controls=0, repeat=0))
        store.sign_in("ann")
        _confirm(store, "first", look)
    with closing(sqlite3.connect(tmp_path / FILE)) as db:
        db.execute("DROP TABLE looks")
        db.commit()
    with LabelStore(tmp_path) as store:
        _confirm(store, "second", look)
        assert [(s.seconds, s.look) for s in store.said("ann")] == [(2.0, UNKNOWN), (2.0, look)]
