"""Methods compared on the same units: paired differences, the image sign-flip test, McNemar.

The unit of randomisation is the source image. The test flips the sign of whole images (:mod:`isr.stats.sign_flip`), which is
exact when the two methods are exchangeable within images; McNemar's test takes edits as independent and is given only as
an extra that says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from isr.errors import StatisticsError
from isr.stats.difference import (
    OpenDifference,
    WithinMargin,
    difference_interval,
    difference_p_value,
    margin_p_values,
)
from isr.stats.multiplicity import holm_family, simultaneous_level
from isr.stats.rate import rate_interval
from isr.stats.rows import Interval, Prompts, codes
from isr.stats.sign_flip import SignFlip, sign_flip_test
from isr.stats.special import bdtr, chdtrc
from isr.types import Floats, Ints

LEFT_OUT = "units left out: undecided on one side or both"
PATTERNS_DIFFER = 2.0
"""Two methods whose design effects differ by this factor fail in different patterns: they are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class McNemar:
    """McNemar's test in three forms; it takes edits as independent, which edits of one image are not."""

    only_first: int
    only_second: int
    exact_p: float
    mid_p: float
    chi2: float | None
    chi2_p: float | None
    note: str


def mcnemar(only_first: int, only_second: int) -> McNemar:
    """From the two discordant counts (McNemar 1947; mid-p: Fagerland, Lydersen and Laake 2013).

    Without a discordant pair the chi-square does not exist (None) and the exact p-value is 1.

    >>> round(mcnemar(1, 5).exact_p, 5)  # 2 x (1 + 6) / 2^6
    0.21875
    """
    b, c = int(only_first), int(only_second)
    if b < 0 or c < 0:
        raise StatisticsError(f"mcnemar: expected counts of at least 0, found {b} and {c}")
    note = "takes edits as independent: type-I error is far above nominal where edits of an image go together"
    n, low = b + c, min(b, c)
    if n == 0:
        return McNemar(
            only_first=b,
            only_second=c,
            exact_p=1.0,
            mid_p=1.0,
            chi2=None,
            chi2_p=None,
            note=f"{note}; no discordant pair",
        )
    upto = float(bdtr(low, n, 0.5))
    at = upto - (float(bdtr(low - 1, n, 0.5)) if low else 0.0)
    chi2 = (b - c) ** 2 / n
    return McNemar(
        only_first=b,
        only_second=c,
        exact_p=min(1.0, 2 * upto),
        mid_p=min(1.0, 2 * upto - at),
        chi2=chi2,
        chi2_p=float(chdtrc(1, chi2)),
        note=note,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedComparison:
    """``first`` minus ``second`` on the pairs in which both are decided.

    ``simultaneous`` holds together with those of the family; ``p_holm`` is adjusted within it. ``undecided``
    counts pairs that were left out, ``open`` says what they leave open. ``within``: Holm-adjusted p-values against a margin. ``None`` where something does not exist; ``notes`` says why.
    """

    first: str
    second: str
    difference: Interval
    simultaneous: Interval
    p_value: float | None
    p_method: str
    p_holm: float | None
    undecided: int
    mcnemar: McNemar | None
    notes: tuple[str, ...]
    open: OpenDifference | None = None
    within: WithinMargin | None = None


def _outcome(name: str, values: ArrayLike, n: int) -> Floats:
    x = np.asarray(values, dtype=np.float64)
    if x.shape != (n,) or not (np.isnan(x) | ((x >= 0) & (x <= 1))).all():
        raise StatisticsError(f"compare_methods: {name}: expected {n} numbers in [0, 1], NaN where undecided")
    return x


def compare_methods(
    outcomes: Mapping[str, ArrayLike],
    image: ArrayLike,
    *,
    pairs: Sequence[tuple[str, str]] | None = None,
    identical: Sequence[tuple[str, str]] = (),
    seed: int = 0,
    level: float = 0.95,
    prompt: ArrayLike | None = None,
    prompts: Prompts = "fixed",
    margin: float | None = None,
) -> tuple[PairedComparison, ...]:
    """Every declared pair of methods, aligned on units, as one family.

    outcomes: method -> (n,) outcomes of the same units in the same order, 0 or 1, NaN where undecided. pairs:
    the declared family, default all pairs in the order given. identical: pairs that are the same run twice.
    seed: of the random sign patterns where outcomes are no whole numbers. prompts: "random" takes the ``prompt`` of each unit as
    a sample of prompts (two-way clustering, and t in place of sign-flips of images). margin: also whether the first is no
    worse than the second by more than this, and whether they are equivalent within it. Holm adjusts over the whole family
    (:func:`holm_family`), and over both claims of a margin together (:func:`holm_margins`); the simultaneous intervals are
    Bonferroni's.

    >>> (found,) = compare_methods({'ours': [1, 1, 1, 1], 'theirs': [0, 0, 0, 1]}, ['a', 'b', 'c', 'd'])
    >>> found.difference.value, found.p_value  # three images differ: 2 of 2^3 patterns
    (0.75, 0.25)
    """
    group = codes(image)
    asked = np.zeros_like(group) if prompt is None else codes(prompt)
    table = {name: _outcome(name, x, group.size) for name, x in outcomes.items()}
    names = list(table)
    family = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]] if pairs is None else list(pairs)
    missing = {x for pair in family for x in pair if x not in table}
    if missing:
        raise StatisticsError(f"compare_methods: pairs: no outcomes for {', '.join(sorted(missing))}")
    found = [
        _one(
            a,
            b,
            table,
            np.asarray(group),
            (a, b) in identical or (b, a) in identical,
            len(family),
            seed,
            level,
            asked,
            prompts,
            margin,
        )
        for a, b in family
    ]
    adjusted = holm_family([one.p_value for one in found])
    told = [replace(one, p_holm=p) for one, p in zip(found, adjusted, strict=True)]
    if margin is None:
        return tuple(told)
    margins = holm_margins([one.within for one in found])
    return tuple(replace(one, within=w) for one, w in zip(told, margins, strict=True))


def holm_margins(found: Sequence[WithinMargin | None]) -> tuple[WithinMargin | None, ...]:
    """Adjusted p-values of all claims about a margin in a declared family, no worse and equivalent; in its order.

    Step-down as in Holm (1979), but of pairs of nested claims: a member is tested for "no worse" first, then at the same level
    for "equivalent", and its share of the level goes to the others when both are claimed (a graph of Bretz and others 2009).
    Any false claim at all is thereby as rare as the level says. Members without a test keep their share.

    >>> holm_margins([WithinMargin(0.01, 0.02), WithinMargin(0.04, 0.5)])  # x 2, x 2, then x 1, x 1
    (WithinMargin(not_worse=0.02, equivalent=0.04), WithinMargin(not_worse=0.04, equivalent=0.5))
    """
    left = {i: list(one) for i, one in enumerate(found) if one is not None}
    adjusted: dict[int, list[float]] = {i: [] for i in left}
    share, last = len(found), 0.0
    while left:
        i = min(left, key=lambda k: left[k][0])
        last = max(last, min(1.0, left[i].pop(0) * share))
        adjusted[i].append(last)
        if not left[i]:
            del left[i]
            share -= 1
    return tuple(WithinMargin(*adjusted[i]) if i in adjusted else None for i in range(len(found)))


def _one(
    first: str,
    second: str,
    table: Mapping[str, Floats],
    group: ArrayLike,
    identical: bool,
    family: int,
    seed: int,
    level: float,
    asked: Ints,
    prompts: Prompts,
    margin: float | None,
) -> PairedComparison:
    a, b = table[first], table[second]
    both = ~(np.isnan(a) | np.isnan(b))
    d, image = (a - b)[both], np.asarray(group)[both]
    same, prompt = identical and bool(both.any()), asked[both]
    own, joint = (
        difference_interval(d, image, prompt=prompt, prompts=prompts, level=at, identical=same)
        for at in (level, simultaneous_level(level, family))
    )
    test = SignFlip(1.0, "both sides are the same edits", own.clusters)
    if not same and prompts == "random":
        found = difference_p_value(d, image, prompt=prompt, prompts=prompts)
        test = SignFlip(found, "t, images and prompts both as samples", own.clusters)
    elif not same:
        test = sign_flip_test(d, image, seed=seed)
    within = None if margin is None else margin_p_values(d, image, margin, prompt=prompt, prompts=prompts)
    binary = bool(np.isin(d, (-1.0, 0.0, 1.0)).all()) and d.size > 0
    extra = mcnemar(int((d == 1).sum()), int((d == -1).sum())) if binary else None
    dropped = int((~both).sum())
    notes = own.notes + _patterns(first, a[both], second, b[both], image, prompts)
    notes += (f"{dropped} {LEFT_OUT}",) if dropped else ()
    return PairedComparison(
        first=first,
        second=second,
        difference=own,
        simultaneous=joint,
        p_value=test.p_value,
        p_method=test.method,
        p_holm=None,
        undecided=dropped,
        mcnemar=extra,
        notes=notes,
        within=within,
    )


def _patterns(
    first: str, a: Floats, second: str, b: Floats, image: ArrayLike, prompts: Prompts
) -> tuple[str, ...]:
    """A note where one method fails by whole images and the other by single edits."""
    if not (np.isin(a, (0.0, 1.0)).all() and np.isin(b, (0.0, 1.0)).all()):
        return ()
    one, other = (rate_interval(y, image, method="cluster-t").design_effect for y in (a, b))
    if one is None or other is None or max(one, other, 1.0) < PATTERNS_DIFFER * max(min(one, other), 1.0):
        return ()
    holds = "the test is exact, and the interval holds," if prompts == "fixed" else "test and interval hold"
    said = (
        f"{first} and {second} fail in different patterns (design effects {one:.1f} and {other:.1f}): {holds} for methods that are "
        "exchangeable within images; near 0 and 1 both can miss more often than they say"
    )
    return (said,)
