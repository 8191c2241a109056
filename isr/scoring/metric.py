"""ISR over outcomes that are already known, in the shape of a torchmetrics metric, without torch."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Self

from isr.types import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from isr.stats.rate import Method

OUTCOMES = {"immunized": True, "not_immunized": False, "undecided": None}
_EXPECTED = f"{', '.join(OUTCOMES)}, or True, False, None, or 1, 0, NaN"


class ISR:
    """Immunization Success Rate (arXiv 2512.14320): the share of edits that are immunized.

    ``update`` takes outcomes and the image that each edit was made from; ``compute`` gives the estimate with its interval,
    bounds and the interval of the identified set. An outcome is a word (``"immunized"``, ``"not_immunized"``,
    ``"undecided"``), True, False or None, or 1, 0 or NaN; outcomes and clusters may be lists, arrays or tensors of one axis.

    >>> metric = ISR()
    >>> metric.update([1, 0, 1, float("nan")], ["a", "a", "b", "b"])
    >>> metric.compute().value  # two of the three that are decided
    0.6666666666666666
    """

    def __init__(self, *, level: float = 0.95, interval: Method = "logit-t") -> None:
        self.level = level
        self.interval: Method = interval
        self._outcomes: list[bool | None] = []
        self._clusters: list[Hashable] = []

    def __repr__(self) -> str:
        undecided = sum(o is None for o in self._outcomes)
        said = f"{len(self._outcomes)} edits of {len(set(self._clusters))} images, {undecided} undecided"
        return f"ISR(level={self.level!r}, interval={self.interval!r}): {said}"

    def update(self, outcomes: Iterable[str | float | None], clusters: Sequence[Any]) -> None:
        """Adds outcomes; ``clusters[i]`` names the source image of edit i. Raises ``StatisticsError``, and adds nothing."""
        new, images = list(_listed("outcomes", outcomes)), list(_listed("clusters", clusters))
        if len(new) != len(images):
            raise _wrong(f"one cluster for each outcome; found {len(new)} outcomes, {len(images)} clusters")
        strange = [i for i, o in enumerate(new) if _outcome(o) is _STRANGE]
        if strange:
            first = strange[0]
            many = f" ({len(strange)} of {len(new)} are none of these)" if len(strange) > 1 else ""
            raise _wrong(f"{_EXPECTED}; found {new[first]!r}{many}", f": outcomes[{first}]")
        for i, image in enumerate(images):
            if not isinstance(image, Hashable) or image != image:
                raise _wrong(f"a name or a number of the source image; found {image!r}", f": clusters[{i}]")
        self._outcomes += [_outcome(o) for o in new]
        self._clusters += images

    def compute(self) -> Estimate:
        """The estimate over everything added so far; ``value`` is ``None`` where nothing was decided."""
        import numpy as np

        from isr.scoring.estimates import Frame, Settings, estimate_of, within
        from isr.stats.rate import rate_interval

        codes: dict[Any, int] = {}
        image = np.array([codes.setdefault(c, len(codes)) for c in self._clusters], np.int64)
        known = np.array([o is not None for o in self._outcomes], np.bool_)
        low = np.array([o is True for o in self._outcomes], np.bool_)
        high = np.array([o is not False for o in self._outcomes], np.bool_)
        found = rate_interval(low[known], image[known], level=self.level, method=self.interval)
        estimate = estimate_of(found, self.level)
        if not known.size:
            return estimate
        each = np.arange(known.size)
        frame = Frame(image, np.zeros_like(each), each, each, np.zeros_like(known))
        return within(estimate, frame, low, high, Settings(self.level, self.interval))

    def forward(self, outcomes: Iterable[str | float | None], clusters: Sequence[Any]) -> Estimate:
        """Adds outcomes as ``update`` does, and returns the estimate of these alone."""
        batch = self._empty()
        batch.update(outcomes, clusters)
        self.merge(batch)
        return batch.compute()

    __call__ = forward

    def merge(self, other: ISR) -> Self:
        """Adds all that another one holds, and returns itself. Raises ``StatisticsError`` if its level or interval differ.

        Clusters are told apart by their names: the same name in both is the same image.
        """
        mine, theirs = ((m.level, m.interval) for m in (self, other))
        if mine != theirs:
            raise _wrong(
                f"the same level and interval; found {mine} and {theirs}; make both alike", "", "merge"
            )
        self._outcomes += list(other._outcomes)
        self._clusters += list(other._clusters)
        return self

    def __add__(self, other: ISR) -> ISR:
        """A new one that holds what both hold."""
        return self._empty().merge(self).merge(other) if isinstance(other, ISR) else NotImplemented

    def reset(self) -> None:
        """Forgets everything."""
        self._outcomes.clear()
        self._clusters.clear()

    def plot(
        self, values: Estimate | Sequence[Estimate] | None = None, ax: Axes | None = None
    ) -> tuple[Figure, Axes]:
        """Draws estimates with their intervals, and with bounds where edits are undecided; returns figure and axes.

        values: what ``forward`` returned, one row each; by default ``compute()``. Raises ``MissingExtraError`` without
        matplotlib.
        """
        from isr.errors import MissingExtraError

        if find_spec("matplotlib") is None:
            raise MissingExtraError(
                "ISR.plot: expected matplotlib; found none; pip install 'isr-eval[figures]'"
            )
        from matplotlib import pyplot

        shown = (
            [self.compute()] if values is None else [values] if isinstance(values, Estimate) else list(values)
        )
        if ax is None:
            _, ax = pyplot.subplots(figsize=(6, 1.1 + 0.35 * len(shown)), layout="constrained")
        for row, e in enumerate(shown):
            if e.bounds is not None and e.is_open:
                ax.plot(e.bounds, (row, row), color="0.75", linewidth=7, solid_capstyle="butt", zorder=1)
            if e.low is not None and e.high is not None:
                ax.plot((e.low, e.high), (row, row), color="C0", linewidth=2, zorder=2)
            if e.value is not None:
                ax.plot(e.value, row, "o", color="C0", zorder=3)
        ax.set_xlim(0, 1)
        ax.xaxis.set_major_formatter(lambda x, _: f"{x:.0%}")
        ax.set_ylim(len(shown) - 0.5, -0.5)
        ax.set_yticks(range(len(shown)), [f"n {e.n}, {e.clusters} images" for e in shown])
        open_ = "; grey: bounds by undecided edits" if any(e.is_open for e in shown) else ""
        ax.set_xlabel(f"ISR with {self.level:.0%} intervals{open_}")
        figure = ax.get_figure(root=True)
        assert figure is not None
        return figure, ax

    def _empty(self) -> ISR:
        return ISR(level=self.level, interval=self.interval)


_STRANGE: Any = object()


def _listed(name: str, values: Any) -> Iterator[Any]:
    """The values of a list, an iterable, an array or a tensor of one axis, as Python's own."""
    plain = values.tolist() if hasattr(values, "tolist") else values
    if isinstance(plain, str | bytes) or not isinstance(plain, Iterable):
        raise _wrong(f"a list, or an array of one axis; found {plain!r}"[:200], f": {name}")
    return (v.item() if hasattr(v, "item") and getattr(v, "ndim", 0) == 0 else v for v in plain)


def _outcome(said: Any) -> bool | None:
    """True, False, None for undecided; ``_STRANGE`` for what is no outcome."""
    found: bool | None
    if isinstance(said, str):
        found = OUTCOMES.get(said, _STRANGE)
    elif said is None or (isinstance(said, float) and math.isnan(said)):
        found = None
    elif isinstance(said, bool | int | float) and said in (0, 1):
        found = bool(said)
    else:
        found = _STRANGE
    return found


def _wrong(text: str, where: str = "", method: str = "update") -> Exception:
    from isr.errors import StatisticsError

    return StatisticsError(f"ISR.{method}{where}: expected {text}")
