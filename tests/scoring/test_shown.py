"""How an estimate is shown: a point, a range, or nothing with its reason; the words for each."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from isr.scoring.estimates import Frame, Settings
from isr.scoring.means import mean_grade
from isr.scoring.shown import GRADE_TOP, Shown, headline, read_the_bounds, shown, shown_pair
from isr.stats.difference import OpenDifference
from isr.stats.paired import PairedComparison
from isr.stats.rows import Interval
from isr.types import Estimate, Unit

OPEN = Estimate(
    value=0.684, low=0.53, high=0.81, level=0.95, method="m", n=57, clusters=12, bounds=(0.595, 0.786), identified=(0.47, 0.87)
)  # fmt: skip
WHOLE = replace(OPEN, n=84, bounds=(0.684, 0.684), identified=None)


@pytest.mark.parametrize(
    ("decided", "edits", "said"), [(95, 100, "value"), (94, 100, "bounds"), (19, 20, "value"), (133, 140, "value"), (0, 0, "value"), (0, 1, "bounds")]
)  # fmt: skip
def test_more_than_one_in_twenty_undecided_is_too_many(decided: int, edits: int, said: str) -> None:
    assert headline(decided, edits) == said


def test_a_point_has_its_interval_and_what_the_undecided_leave_open() -> None:
    one = shown("isr", OPEN, of=59)
    assert (one.kind, one.point, one.ends, one.interval) == ("point", 0.684, None, (0.53, 0.81))
    assert (one.value, one.span, one.size) == ("68.4%", "53.0% to 81.0%", "57 of 59 decided")
    assert one.left_open == "59.5% to 78.6% (47.0% to 87.0%)"
    assert one.told == "53.0% to 81.0%; 47.0% to 87.0% with the undecided"
    assert (one.band, one.held) == ((0.595, 0.786), (0.47, 0.87))


def test_a_range_has_no_point() -> None:
    one = shown("isr", OPEN, "bounds", of=84)
    assert (one.kind, one.point, one.ends, one.interval) == ("range", None, (0.595, 0.786), (0.47, 0.87))
    assert (one.value, one.span, one.size, one.left_open) == (
        "59.5% to 78.6%",
        "47.0% to 87.0%",
        "57 of 84 decided",
        "",
    )
    assert one.told == "47.0% to 87.0%"
    words = " ".join((one.value, one.span, one.size, one.told, one.written(one.one), one.spanned(one.one)))
    assert "68.4" not in words
    assert shown("isr", replace(OPEN, identified=None), "bounds").span == "no interval"
    assert shown("isr_worst", OPEN, "bounds").size == "57 decided"


def test_where_every_outcome_is_known_the_value_stands() -> None:
    """Edits that are undecided on the other question only leave nothing open."""
    one = shown("isr_semantic", WHOLE, "bounds", of=84)
    assert (one.kind, one.value, one.size) == ("point", "68.4%", "84")


def test_nothing_has_a_reason() -> None:
    none = replace(OPEN, value=None, low=None, high=None, bounds=None, identified=None, notes=("no edits",))
    one = shown("isr", none)
    assert (one.kind, one.value, one.span, one.told) == ("nothing", "-", "", "no edits")
    unbounded = shown("isr_conditional", replace(OPEN, bounds=None, identified=None), "bounds", of=84)
    assert (unbounded.kind, unbounded.point) == ("nothing", None)
    assert "too many for one value" in unbounded.reason
    undecided = shown("isr", replace(none, bounds=(0.0, 1.0)), "bounds", of=3)
    assert (undecided.value, undecided.told) == ("-", "no edits")  # nothing decided is no number


@pytest.mark.parametrize("name", ["uplift", "isr_conditional"])
def test_an_estimate_over_pairs_is_a_range_where_either_side_is(name: str) -> None:
    assert shown(name, OPEN).kind == "point"
    assert shown(name, OPEN, "bounds").kind == "range"
    assert shown(name, OPEN, other="bounds").kind == "range"
    noted = shown(name, replace(OPEN, notes=(read_the_bounds(27, 84, "pairs"),)))
    assert (noted.kind, noted.size) == ("range", "57 of 84 decided")
    assert shown("isr", OPEN, other="bounds").kind == "point"  # the control edits say nothing of it


def test_differences_are_in_percentage_points() -> None:
    one = shown(
        "uplift", replace(OPEN, value=-0.081, bounds=(-0.333, 0.171), identified=(-0.5, 0.31)), "bounds"
    )
    assert (one.value, one.span) == ("-33.3 to +17.1 pp", "-50.0 to +31.0 pp")
    assert shown("uplift", replace(WHOLE, value=0.5, low=0.395, high=0.605)).span == "+39.5 to +60.5 pp"


def test_a_mean_grade_has_bounds_by_the_ends_of_the_scale() -> None:
    grades = np.array([4.0, 3.0, 2.0, math.nan, math.nan, 4.0])
    frame = Frame.of_units([Unit(f"i{i // 2}", "p", "", str(i), "") for i in range(6)], [False] * 6)
    e = mean_grade(grades, frame, Settings(), GRADE_TOP)
    one = shown("source_kept", e, "bounds", of=6)
    ends = [float(np.nan_to_num(grades, nan=end).mean()) for end in (0.0, GRADE_TOP)]
    assert one.ends == pytest.approx(tuple(ends))
    assert (one.value, one.size) == (f"{ends[0]:.2f} to {ends[1]:.2f}", "4 of 6 graded")
    assert shown("source_kept", e, of=6).value == "3.25"


def paired(undecided: int) -> Shown:
    d = Interval(
        value=0.2,
        low=0.1,
        high=0.3,
        n=40,
        clusters=10,
        method="t",
        design_effect=None,
        n_effective=None,
        notes=(),
    )
    one = PairedComparison(
        first="a", second="b", difference=d, simultaneous=d, p_value=0.01, p_holm=0.01, p_method="t", mcnemar=None, undecided=undecided, notes=(),
        open=OpenDifference(bounds=(0.05, 0.35), identified=(-0.1, 0.5), tipping_share=None),
    )  # fmt: skip
    return shown_pair(one, 0.95)


def test_a_difference_of_methods_is_a_range_where_too_many_pairs_are_undecided() -> None:
    assert (paired(2).kind, paired(2).value, paired(2).size) == ("point", "+20.0 pp", "40 of 42 decided")
    assert (paired(3).kind, paired(3).value, paired(3).span) == (
        "range",
        "+5.0 to +35.0 pp",
        "-10.0 to +50.0 pp",
    )
