"""The metric: outcomes in, one estimate out."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import isr
from isr.errors import MissingExtraError, StatisticsError
from isr.types import Estimate

WORDS = {True: "immunized", False: "not_immunized", None: "undecided"}


def computed(outcomes: list, clusters: list | None = None, **options) -> Estimate:  # type: ignore[no-untyped-def,type-arg]
    metric = isr.ISR(**options)
    metric.update(outcomes, list(range(len(outcomes))) if clusters is None else clusters)
    return metric.compute()


def test_the_rate_its_denominator_and_its_bounds() -> None:
    e = computed(["immunized"] * 6 + ["not_immunized"] * 3 + ["undecided"], [0, 0, 1, 1, 2, 2, 3, 3, 4, 5])
    # 6 of 9 decided; with the undecided one at either end: 6 / 10 and 7 / 10; image 5 has nothing decided
    assert e.value == pytest.approx(6 / 9)
    assert (e.n, e.clusters, e.level) == (9, 5, 0.95)
    assert e.bounds == (0.6, 0.7)
    assert e.low is not None
    assert e.high is not None
    assert 0 <= e.low < e.value < e.high <= 1


def test_words_bools_and_none_are_the_same() -> None:
    outcomes = [True, False, None, True, True, False, False, True]
    clusters = [0, 0, 1, 1, 2, 2, 3, 3]
    expected = computed(outcomes, clusters)
    assert computed([WORDS[o] for o in outcomes], clusters) == expected
    decided = [o for o in outcomes if o is not None]
    kept = [c for o, c in zip(outcomes, clusters, strict=True) if o is not None]
    numpy = computed(list(np.array(decided)), list(np.array(kept)))
    assert (numpy.value, numpy.low, numpy.high) == (expected.value, expected.low, expected.high)


class Tensor:
    """What torch's tensors and all arrays have; torch itself is not needed."""

    def __init__(self, values: list[float]) -> None:
        self._values = values

    def tolist(self) -> list[float]:
        return self._values


def test_arrays_and_tensors_of_zeros_and_ones() -> None:
    expected = computed([True, False, None, True, True, False], [0, 0, 1, 1, 2, 2])
    nan = float("nan")
    clusters = [0, 0, 1, 1, 2, 2]
    for outcomes in (
        [1, 0, None, 1, 1, 0],
        [1.0, 0.0, nan, 1.0, 1.0, 0.0],
        np.array([1, 0, nan, 1, 1, 0]),
        np.array([1, 0, nan, 1, 1, 0], np.float32),
        [np.int64(1), np.bool_(False), np.float64(nan), np.uint8(1), True, "not_immunized"],
        Tensor([1.0, 0.0, nan, 1.0, 1.0, 0.0]),
    ):
        assert computed(outcomes, clusters) == expected  # type: ignore[arg-type]
        assert computed(outcomes, np.array(clusters)) == expected  # type: ignore[arg-type]
        assert computed(outcomes, Tensor(clusters)) == expected  # type: ignore[arg-type]


def test_what_is_wrong_is_told_with_its_place() -> None:
    with pytest.raises(
        StatisticsError, match=r"ISR\.update: outcomes\[1\]: expected .*; found 0\.7 \(2 of 4 are none"
    ):
        computed([1, 0.7, 0, 2], [0, 1, 2, 3])


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from([True, False, None]), st.integers(0, 5)), max_size=24), st.data())
def test_parts_merged_are_the_whole(rows: list[tuple[bool | None, int]], data: st.DataObject) -> None:
    whole = computed([o for o, _ in rows], [c for _, c in rows])
    cut = data.draw(st.integers(0, len(rows)))
    parts = []
    for some in (rows[:cut], rows[cut:]):
        part = isr.ISR()
        part.update([o for o, _ in some], [c for _, c in some])
        parts.append(part)
    before = [p.compute() for p in parts]
    assert (parts[0] + parts[1]).compute() == whole
    assert [p.compute() for p in parts] == before  # a sum is a new one
    assert parts[0].merge(parts[1]) is parts[0]
    assert parts[0].compute() == whole


def test_only_what_is_alike_is_merged() -> None:
    with pytest.raises(StatisticsError, match=r"ISR\.merge: expected the same level and interval"):
        isr.ISR().merge(isr.ISR(level=0.9))
    with pytest.raises(TypeError):
        isr.ISR() + 1  # type: ignore[operator]


def test_a_call_gives_the_batch_and_adds_it() -> None:
    metric = isr.ISR()
    assert metric([1, 0], ["a", "b"]) == computed([1, 0], ["a", "b"])
    assert metric.forward([1, 1, 1], ["c", "d", "e"]).value == 1
    assert metric.compute() == computed([1, 0, 1, 1, 1], list("abcde"))  # 4 of 5
    with pytest.raises(StatisticsError):
        metric([3], ["x"])
    assert metric.compute().n == 5
    assert repr(metric) == "ISR(level=0.95, interval='logit-t'): 5 edits of 5 images, 0 undecided"


def test_a_plot_has_the_value_the_interval_and_the_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    metric = isr.ISR()
    batches = [metric([1, 0, 1, None], list("abcd")), metric([1, 1, 0], list("efg"))]
    _, axes = metric.plot()
    e = metric.compute()
    drawn = [tuple(line.get_xdata()) for line in axes.lines]
    assert drawn == [e.bounds, (e.low, e.high), (e.value,)]
    assert "95%" in axes.get_xlabel()
    _, again = metric.plot(batches, ax=axes)
    assert again is axes
    assert [t.get_text() for t in axes.get_yticklabels()] == ["n 3, 3 images", "n 3, 3 images"]
    isr.ISR().plot()  # nothing to draw is an empty picture
    pyplot.close("all")
    monkeypatch.setattr("isr.scoring.metric.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"isr-eval\[figures\]"):
        metric.plot()


def test_in_pieces_and_in_any_order() -> None:
    rng = random.Random(0)
    rows = [(rng.choice([True, False, None]), f"image {rng.randrange(8)}") for _ in range(60)]
    whole = computed([o for o, _ in rows], [c for _, c in rows])
    metric = isr.ISR()
    rng.shuffle(rows)
    for start in range(0, 60, 7):
        some = rows[start : start + 7]
        metric.update((o for o, _ in some), [c for _, c in some])
    again = metric.compute()
    assert again.value == whole.value
    assert (again.low, again.high) == pytest.approx((whole.low, whole.high))
    assert (again.bounds, again.n, again.clusters) == (whole.bounds, whole.n, whole.clusters)


def test_computing_changes_nothing_and_reset_forgets() -> None:
    metric = isr.ISR()
    metric.update([True, False], [0, 1])
    assert metric.compute() == metric.compute()
    metric.reset()
    assert metric.compute().n == 0
    metric.update([True, True, False], [0, 1, 2])
    assert metric.compute() == computed([True, True, False])


def test_nothing_at_all() -> None:
    e = isr.ISR().compute()
    assert (e.value, e.low, e.high, e.bounds, e.n) == (None, None, None, None, 0)
    assert e.notes


def test_nothing_decided() -> None:
    e = computed([None] * 4)
    assert (e.value, e.low, e.high, e.n) == (None, None, None, 0)
    assert e.bounds == (0.0, 1.0)
    assert e.notes


def test_one_image() -> None:
    e = computed([True, False, True], ["a", "a", "a"])
    assert e.value == pytest.approx(2 / 3)
    assert (e.low, e.high) == (None, None)
    assert e.notes


def test_everything_immunized() -> None:
    e = computed([True] * 20)
    assert (e.value, e.high, e.bounds) == (1.0, 1.0, (1.0, 1.0))
    assert e.low is not None
    assert 0.5 < e.low < 1


def test_intervals_by_name_against_published_ones() -> None:
    # Wilson for 8 of 10 at 95 %: (0.4902, 0.9433) (Brown, Cai & DasGupta 2001's formula)
    z, n, p = 1.959963984540054, 10, 0.8
    middle, half = p + z * z / (2 * n), z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    e = computed([True] * 8 + [False] * 2, interval="wilson")
    assert (e.low, e.high) == pytest.approx(
        ((middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n))
    )
    assert (e.low, e.high) == pytest.approx((0.4902, 0.9433), abs=5e-5)


def test_a_higher_level_is_wider() -> None:
    outcomes = [True] * 14 + [False] * 9
    widths = [e.high - e.low for e in (computed(outcomes, level=level) for level in (0.5, 0.8, 0.95, 0.99))]  # type: ignore[operator]
    assert widths == sorted(widths)
    assert len(set(widths)) == 4


@pytest.mark.parametrize(
    ("outcomes", "clusters"),
    [
        (["immunised"], [0]),
        ([2], [0]),
        ([-1], [0]),
        ([1j], [0]),
        ("immunized", [0]),
        (1, [0]),
        (np.ones((2, 2)), [0, 1]),
        (np.array(1), [0]),
        ([True, False], [0, float("nan")]),
        ([True, False], [0, [1]]),
        ([True], 3),
        ([0.7], [0]),
        ([["immunized"]], [0]),
        (["fails"], [0]),
        ([True, False], [0]),
        ([], [0]),
    ],
)
def test_strange_outcomes_are_refused_and_nothing_is_kept(outcomes: list, clusters: list) -> None:  # type: ignore[type-arg]
    metric = isr.ISR()
    with pytest.raises(StatisticsError, match=r"ISR\.update"):
        metric.update(outcomes, clusters)
    assert metric.compute().n == 0
    assert metric.compute().bounds is None


@pytest.mark.parametrize("options", [{"level": 1.5}, {"level": 0.0}, {"interval": "wald"}])
def test_strange_settings(options: dict) -> None:  # type: ignore[type-arg]
    with pytest.raises(StatisticsError):
        computed([True, False, True], **options)


@given(st.lists(st.tuples(st.sampled_from([True, False, None]), st.integers(0, 5)), max_size=30))
def test_an_estimate_is_sane(rows: list[tuple[bool | None, int]]) -> None:
    e = computed([o for o, _ in rows], [c for _, c in rows])
    decided = [o for o, _ in rows if o is not None]
    assert e.n == len(decided)
    if decided:
        assert e.value == pytest.approx(sum(decided) / len(decided))
        assert e.bounds is not None
        assert e.bounds[0] <= e.value + 1e-12
        assert e.value <= e.bounds[1] + 1e-12
    if e.low is not None:
        assert e.value is not None
        assert e.high is not None
        assert 0 <= e.low <= e.value <= e.high <= 1


def test_an_estimate_is_no_number() -> None:
    with pytest.raises(TypeError):
        float(computed([True, False]))  # type: ignore[arg-type]
