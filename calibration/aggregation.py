"""One label from several: majority, and Dawid and Skene's model of fallible raters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from isr.errors import StatisticsError
from isr.stats.special import logsumexp
from isr.types import Floats, Ints

UNDECIDED = -1
"""Code of "no label", in votes and in results."""


@dataclass(frozen=True, slots=True)
class Majority:
    """Majority labels (n,), UNDECIDED at a tie or without a vote; the votes counted, and how many tied."""

    labels: Ints
    counts: Ints
    ties: int
    empty: int


def majority(votes: ArrayLike, *, classes: int = 2) -> Majority:
    """The most frequent label per row of ``votes`` (n, raters), codes 0 .. classes-1, UNDECIDED = no vote.

    A tie stays undecided: it is never broken by order or chance.

    >>> majority([[1, 1, 0], [0, 1, -1]]).labels.tolist()  # a tie has no label
    [1, -1]
    """
    table = np.asarray(votes, dtype=np.int64)
    if table.ndim != 2 or ((table < UNDECIDED) | (table >= classes)).any():
        raise StatisticsError(f"majority: votes: expected codes -1 .. {classes - 1} of shape (n, raters)")
    counts = np.stack([(table == c).sum(axis=1) for c in range(classes)], axis=1).astype(np.int64)
    best = counts.max(axis=1, initial=0)
    tied, empty = (counts == best[:, None]).sum(axis=1) > 1, best == 0
    labels = np.where(tied | empty, UNDECIDED, counts.argmax(axis=1) if table.size else 0)
    return Majority(labels.astype(np.int64), counts, int((tied & ~empty).sum()), int(empty.sum()))


@dataclass(frozen=True, slots=True, kw_only=True)
class DawidSkene:
    """Result of :func:`dawid_skene`; rows of ``posterior`` follow ``items``, columns follow ``classes``.

    ``confusion[j, c, l]`` is the probability that rater ``raters[j]`` says ``classes[l]`` when the truth is
    ``classes[c]``. ``notes`` says what the result must not be used for.
    """

    items: tuple[Any, ...]
    raters: tuple[Any, ...]
    classes: tuple[Any, ...]
    prior: Floats
    posterior: Floats
    confusion: Floats
    log_likelihood: float | None
    iterations: int
    converged: bool
    notes: tuple[str, ...]

    @property
    def labels(self) -> tuple[Any, ...]:
        """The most probable class per item; the first of equally probable ones."""
        return tuple(self.classes[i] for i in self.posterior.argmax(axis=1)) if self.items else ()


def _named(values: Sequence[Any]) -> tuple[Ints, tuple[Any, ...]]:
    """Codes in sorted order of the names where they sort, and the names."""
    names = list(dict.fromkeys(values))
    if len({type(v) for v in names}) <= 1:
        names.sort()
    index = {v: i for i, v in enumerate(names)}
    return np.array([index[v] for v in values], dtype=np.int64), tuple(names)


def dawid_skene(
    item: Sequence[Any],
    rater: Sequence[Any],
    label: Sequence[Any],
    *,
    gold: Mapping[Any, Any] | None = None,
    restarts: int = 5,
    rng: np.random.Generator | None = None,
    smoothing: float = 0.0,
    max_iterations: int = 500,
    tolerance: float = 1e-8,
) -> DawidSkene:
    """Maximum likelihood for items with unknown truth and raters with own error rates, by EM in log space.

    Dawid and Skene (1979, eq. 2.3 to 2.5). One entry per answer; a rater may answer an item repeatedly. The
    first run starts from the shares of votes; ``restarts`` more (with ``rng``) start from randomly sharpened
    or blurred ones, and the most likely end is kept. gold: item -> known class, held fixed. smoothing: added
    to every cell of the error tables. Needs three raters and, given the truth, independent errors; judges
    that err alike violate this: then calibrate the vote count against people instead.

    >>> found = dawid_skene([0, 0, 1, 1], ['x', 'y', 'x', 'y'], [1, 1, 0, 0], rng=np.random.default_rng(0))
    >>> [int(row.argmax()) for row in found.posterior]
    [1, 0]
    """
    item_list, rater_list, label_list = list(item), list(rater), list(label)
    if not len(item_list) == len(rater_list) == len(label_list):
        raise StatisticsError("dawid_skene: item, rater and label: expected one entry each per answer")
    if not item_list:
        empty = np.zeros((0, 0))
        return DawidSkene(
            items=(),
            raters=(),
            classes=(),
            prior=np.zeros(0),
            posterior=empty,
            confusion=np.zeros((0, 0, 0)),
            log_likelihood=None,
            iterations=0,
            converged=False,
            notes=("no answers",),
        )
    i, items = _named(item_list)
    j, raters = _named(rater_list)
    known = dict(gold or {})
    k_all, classes = _named([*label_list, *known.values()])
    k = k_all[: len(label_list)]
    counts = np.zeros((len(items), len(raters), len(classes)))
    np.add.at(counts, (i, j, k), 1.0)
    position = {c: n for n, c in enumerate(classes)}
    held = np.array([position[known[x]] if x in known else UNDECIDED for x in items], dtype=np.int64)
    votes = counts.sum(axis=1)
    start = votes / votes.sum(axis=1, keepdims=True)
    best = _expectation_maximisation(_clamp(start, held), counts, held, smoothing, max_iterations, tolerance)
    for _ in range(restarts if rng is not None else 0):
        assert rng is not None
        noisy = rng.dirichlet(np.ones(len(classes)), size=len(items)) * 0.5 + start * rng.uniform(0.2, 2.0)
        noisy = noisy / noisy.sum(axis=1, keepdims=True)
        other = _expectation_maximisation(
            _clamp(noisy, held), counts, held, smoothing, max_iterations, tolerance
        )
        if other[3] > best[3] + 1e-6:
            best = other
    notes = _model_notes(len(raters), len(classes), bool(known), best[5])
    prior, posterior, confusion, likelihood, iterations, converged = best
    return DawidSkene(
        items=items,
        raters=raters,
        classes=classes,
        prior=prior,
        posterior=posterior,
        confusion=confusion,
        log_likelihood=likelihood,
        iterations=iterations,
        converged=converged,
        notes=notes,
    )


def _model_notes(raters: int, classes: int, gold: bool, converged: bool) -> tuple[str, ...]:
    notes = ["supposes that raters err independently given the truth; check against people"]
    if raters < 3 and not gold:
        notes.append(f"{raters} raters: the model is not identified below three; use the majority or labels")
    if classes < 2:
        notes.append("every answer is the same: error rates cannot be learnt")
    if not converged:
        notes.append("did not converge: raise max_iterations")
    return tuple(notes)


def _clamp(posterior: Floats, held: Ints) -> Floats:
    out = posterior.copy()
    rows = np.flatnonzero(held != UNDECIDED)
    out[rows] = 0.0
    out[rows, held[rows]] = 1.0
    return out


def _expectation_maximisation(
    posterior: Floats, counts: Floats, held: Ints, smoothing: float, limit: int, tolerance: float
) -> tuple[Floats, Floats, Floats, float, int, bool]:
    """(prior, posterior, confusion, log likelihood, iterations, converged) from a start."""
    last, done, steps = -np.inf, False, 0
    prior = posterior.mean(axis=0)
    confusion = np.zeros((counts.shape[1], posterior.shape[1], counts.shape[2]))
    likelihood = last
    while steps < limit and not done:
        steps += 1
        prior = posterior.mean(axis=0)
        confusion = np.einsum("nc,njl->jcl", posterior, counts) + smoothing
        total = confusion.sum(axis=2, keepdims=True)
        confusion = np.divide(
            confusion, total, out=np.full_like(confusion, 1 / counts.shape[2]), where=total > 0
        )
        # a probability of 0 must forbid, not produce 0 * -inf where nothing was counted
        logs = np.log(np.maximum(confusion, 1e-300))
        joint = np.einsum("njl,jcl->nc", counts, logs) + np.log(np.maximum(prior, 1e-300))
        evidence = logsumexp(joint, axis=1)
        fixed = held != UNDECIDED
        per_item = np.where(fixed, joint[np.arange(joint.shape[0]), np.maximum(held, 0)], evidence)
        likelihood = float(per_item.sum())
        posterior = _clamp(np.exp(joint - evidence[:, None]), held)
        done = abs(likelihood - last) <= tolerance * (1 + abs(likelihood))
        last = likelihood
    return prior, posterior, confusion, likelihood, steps, done


__all__ = ["UNDECIDED", "DawidSkene", "Majority", "dawid_skene", "majority"]
