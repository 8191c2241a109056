"""Methods compared on the same units: paired differences, the image sign-flip test, McNemar.

The unit of randomisation is the source image. The test flips the sign of whole images, which is exact when
the two methods are exchangeable within images; McNemar's test takes edits as independent and is given only as
an extra that says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtr, chdtrc

from isr.errors import StatisticsError
from isr.stats.difference import OpenDifference, difference_interval
from isr.stats.multiplicity import holm_family, simultaneous_level
from isr.stats.rows import Interval, codes
from isr.types import Floats

EXACT_IMAGES = 15
"""Up to this number of images with a difference all sign patterns are enumerated."""


@dataclass(frozen=True, slots=True)
class SignFlip:
    """p-value of the image sign-flip test, and how it was computed. ``None`` with the reason in ``method``."""

    p_value: float | None
    method: str
    images: int


def sign_flip_test(
    d: ArrayLike, image: ArrayLike, *, rng: np.random.Generator | None = None, draws: int = 10_000
) -> SignFlip:
    """Two-sided test that the paired differences ``d`` (n,) are symmetric about 0, by image.

    Statistic: the absolute sum of ``d``. Exact over all ``2^G`` sign patterns if at most EXACT_IMAGES images
    have a sum other than 0 (images with 0 do not change under a flip); otherwise ``draws`` random patterns and
    ``p = (1 + #) / (1 + draws)`` (Phipson and Smyth 2010). No pair: no p-value. No difference at all: p = 1.

    >>> sign_flip_test([1, 1, 1], [0, 1, 2]).p_value  # 2 of the 8 patterns are as extreme
    0.25
    """
    x, group = np.asarray(d, dtype=np.float64), codes(image)
    if x.ndim != 1 or x.shape != group.shape or not np.isfinite(x).all():
        raise StatisticsError("sign_flip_test: expected one finite difference and one image per pair")
    if x.size == 0:
        return SignFlip(None, "no pair: there is nothing to test", 0)
    order = np.lexsort((x, group))
    sums = np.bincount(group[order], weights=x[order])
    size = np.sort(np.abs(sums[sums != 0]))
    images = int(sums.size)
    if images < 2:
        return SignFlip(None, "one image: its sign alone cannot be tested", 1)
    if size.size == 0:
        return SignFlip(1.0, "no image differs", images)
    seen = abs(float(np.sort(sums).sum())) * (1 - 1e-12) - 1e-12
    if size.size <= EXACT_IMAGES:
        bits = np.arange(2**size.size)[:, None] >> np.arange(size.size) & 1
        reached = np.abs((2.0 * bits - 1.0) @ size) >= seen
        return SignFlip(float(reached.mean()), f"exact over 2^{size.size} sign patterns", images)
    if rng is None:
        raise StatisticsError(
            "sign_flip_test: more than 15 images differ; give rng=numpy.random.default_rng(seed)"
        )
    # images of equal size are exchangeable: the number of plus signs among them is binomial
    values, counts = np.unique(size, return_counts=True)
    plus = rng.binomial(counts, 0.5, size=(draws, counts.size))
    reached = np.abs((2.0 * plus - counts) @ values) >= seen
    return SignFlip((1 + int(reached.sum())) / (1 + draws), f"{draws} random sign patterns", images)


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
    counts pairs that were left out, ``open`` says what they leave open. ``None`` where something does not exist; ``notes`` says why.
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
    rng: np.random.Generator | None = None,
    draws: int = 10_000,
    level: float = 0.95,
) -> tuple[PairedComparison, ...]:
    """Every declared pair of methods, aligned on units, as one family.

    outcomes: method -> (n,) outcomes of the same units in the same order, 0 or 1, NaN where undecided. pairs:
    the declared family, default all pairs in the order given. identical: pairs that are the same run twice.
    Holm adjusts over the whole family (:func:`holm_family`); the simultaneous intervals are Bonferroni's.

    >>> (found,) = compare_methods({'ours': [1, 1, 1, 1], 'theirs': [0, 0, 0, 1]}, ['a', 'b', 'c', 'd'])
    >>> found.difference.value, found.p_value  # three images differ: 2 of 2^3 patterns
    (0.75, 0.25)
    """
    group = codes(image)
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
            rng,
            draws,
            level,
        )
        for a, b in family
    ]
    adjusted = holm_family([one.p_value for one in found])
    return tuple(replace(one, p_holm=p) for one, p in zip(found, adjusted, strict=True))


def _one(
    first: str,
    second: str,
    table: Mapping[str, Floats],
    group: ArrayLike,
    identical: bool,
    family: int,
    rng: np.random.Generator | None,
    draws: int,
    level: float,
) -> PairedComparison:
    a, b = table[first], table[second]
    both = ~(np.isnan(a) | np.isnan(b))
    d, image = (a - b)[both], np.asarray(group)[both]
    own = difference_interval(d, image, level=level, identical=identical and bool(both.any()))
    joint = difference_interval(
        d, image, level=simultaneous_level(level, family), identical=identical and bool(both.any())
    )
    test = SignFlip(1.0, "both sides are the same edits", own.clusters)
    if not (identical and both.any()):
        test = sign_flip_test(d, image, rng=rng, draws=draws)
    binary = bool(np.isin(d, (-1.0, 0.0, 1.0)).all()) and d.size > 0
    extra = mcnemar(int((d == 1).sum()), int((d == -1).sum())) if binary else None
    dropped = int((~both).sum())
    notes = own.notes + ((f"{dropped} units left out: undecided on one side or both",) if dropped else ())
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
    )
