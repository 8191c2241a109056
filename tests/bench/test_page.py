"""The study's page: its declared families, as they stand in results.md."""

from __future__ import annotations

from dataclasses import replace

from isr.bench.comparisons import MAIN, Family, compared
from isr.bench.page import shown
from isr.report.comparison import MOST_PAIRS
from tests.bench.test_comparisons import LABELS, NOISE, SIFM, pair, run


def family() -> Family:
    outcomes: dict[object, list[float]] = {
        SIFM: [1, 1, 1, 1, 1, 1, 1, 0], NOISE: [1, 0, 1, 0, 1, 1, 1, 0], None: [0] * 8,
    }  # fmt: skip
    found = run(outcomes)  # type: ignore[arg-type]
    return compared(MAIN, "oracle", [pair("noise"), pair("none")], [found], LABELS, level=0.95)


def test_a_declared_family_is_shown_under_the_studys_names() -> None:
    made = family()
    found = shown(made)
    assert [(r.first, r.second) for r in found.rows] == [("SIFM", "noise"), ("SIFM", "none")]
    assert [(r.wins, r.losses) for r in found.rows] == [(2, 0), (7, 0)]
    assert [r.found.p_holm for r in found.rows] == [m.found.p_holm for m in made.members]
    assert {r.place for r in found.rows} == {"a, none, eps 0.03, on a"}
    assert found.runs == "main family by oracle, the study's claims"
    assert found.level == 0.95


def test_a_family_that_does_not_fit_is_told() -> None:
    made = family()
    many = replace(made, members=made.members * (MOST_PAIRS // 2 + 1))
    assert shown(many).reason == f"{MOST_PAIRS + 2} comparisons do not fit here; results.md has them"
