"""The cells of a study, counted by arithmetic."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from isr.bench.cells import Marks, plan
from isr.bench.comparisons import ABLATIONS, MAIN, declared
from isr.bench.study import Study

MARKS = Marks({}, {}, [("oracle", 1, "d1"), ("panel", 3, "d2")])


def study(**changes: Any) -> Study:
    """Two editors that are both surrogates, a third that is for transfer only; ours, two baselines, an ablation."""
    return Study.model_validate(
        {
            "name": "s",
            "seeds": [0, 1],
            "purifiers": ["none", "jpeg"],
            "judges": ["one", "two"],
            "images": {"folder": "x", "prompts": "y"},
            "editors": [
                {"name": "a", "editor": "x"},
                {"name": "b", "editor": "x", "purifiers": ["none"]},
                {"name": "c", "editor": "x", "surrogate": False},
            ],
            "methods": [
                {"name": "SIFM", "method": "sifm", "eps": [0.03, 0.1], "role": "ours"},
                {"name": "noise", "method": "noise", "eps": [0.03, 0.1]},
                {"name": "SA", "method": "semantic_attack", "eps": [0.03], "transfer": False},
                {
                    "name": "norm only",
                    "method": "sifm",
                    "eps": [0.1],
                    "surrogates": ["a"],
                    "role": "ablation",
                },
            ],
            **changes,
        }
    )


def test_counts() -> None:
    found = plan(study(), MARKS)
    # SIFM and noise: 2 eps x 2 surrogates each; SA: 1 x 2; norm only: 1 x 1
    assert len(found.immunizations) == 4 + 4 + 2 + 1
    assert [e.editor.name for e in found.editings] == ["a", "b", "c"]
    # a: all of SIFM and noise, SA on a, norm only; b: the same with SA on b; c: no SA at all
    assert [len(e.treatments) for e in found.editings] == [4 + 4 + 1 + 1, 4 + 4 + 1 + 1, 4 + 4 + 1]
    a, b, c = found.editings
    # 6 pairs of image and prompt x 2 seeds x 2 purifiers, one purifier in b
    assert [found.units(e, 6) for e in (a, b, c)] == [24, 12, 24]
    assert [found.edits(e, 6) for e in (a, b, c)] == [240, 120, 216]
    # each judge, each editor; two questions of protected and control edits, by three members in the panel
    assert [found.questions(s, 6) for s in found.scorings] == [
        2 * 264, 2 * 132, 2 * 240, 3 * 2 * 264, 3 * 2 * 132, 3 * 2 * 240,
    ]  # fmt: skip


def test_the_declared_families() -> None:
    pairs = declared(plan(study(), MARKS), {"none": "", "jpeg": "jpeg:quality=75"})
    # editor a, surrogate a: at 0.03 noise, SA, none; at 0.1 noise, none. surrogate b: 0.03 noise, none; 0.1 the same.
    # two purifiers; b likewise with one; c without SA, two purifiers
    assert len(pairs[MAIN]) == 2 * (5 + 4) + 1 * (5 + 4) + 2 * (4 + 4)
    assert {p.second for p in pairs[MAIN]} == {"noise", "SA", "none"}
    # on a, at 0.1: SIFM - norm only, and norm only - none; in every editor and purifier
    assert len(pairs[ABLATIONS]) == 2 * (2 + 1 + 2)
    assert {(p.first, p.second) for p in pairs[ABLATIONS]} == {("SIFM", "norm only"), ("norm only", "none")}
    assert all(p.purifier != "*" for p in pairs[MAIN])


def test_other_settings_are_other_folders() -> None:
    base = study()
    folders = {c.title: c.folder for c in plan(base, MARKS).immunizations}
    assert len(set(folders.values())) == len(folders)
    methods = base.model_dump(mode="json", by_alias=True)["methods"]
    methods[0]["set"] = {"descent.steps": 7}
    changed = {c.title: c.folder for c in plan(study(methods=methods), MARKS).immunizations}
    assert {t for t in folders if folders[t] != changed[t]} == {t for t in folders if t.startswith("SIFM")}
    other = Marks({"a": "another checkpoint"}, {}, MARKS.judges)
    moved = {c.title: c.folder for c in plan(base, other).immunizations}
    assert {t for t in folders if folders[t] != moved[t]} == {t for t in folders if t.endswith("on a")}


@given(st.text(min_size=1, max_size=80).filter(lambda t: all(ord(c) > 31 and ord(c) != 127 for c in t)))
def test_no_name_leads_out_of_the_folder(name: str) -> None:
    methods = [{"name": name if name != "none" else "other", "method": "noise"}]
    editors = [{"name": name, "editor": "x"}]
    found = plan(study(methods=methods, editors=editors), MARKS)
    for cell in (*found.immunizations, *found.editings, *found.scorings):
        first, *rest = cell.folder.split("/")
        assert first in ("immunized", "edits", "scores")
        assert len(rest) == 1
        assert rest[0] not in ("", ".", "..")
        assert not set(rest[0]) & set("/\\\0")
        assert len(rest[0].encode()) < 250


def test_the_order_of_a_study_decides_nothing_in_names() -> None:
    base = study()
    again = study(methods=list(reversed(base.model_dump(mode="json", by_alias=True)["methods"])))
    one, other = (sorted(c.folder for c in plan(s, MARKS).immunizations) for s in (base, again))
    assert one == other
