"""What is done of a study and how long the rest will take: counts and measured seconds, no clock and no output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

PARALLEL = ("immunize", "edit")  # steps that workers share


@dataclass(kw_only=True)
class Kind:
    """Units of one kind of work: images of a treatment, edits of an editor, questions to a judge.

    ``seconds`` were measured on ``fresh`` units; ``before`` are seconds each from an earlier run.
    """

    step: str
    total: int
    done: int = 0
    fresh: int = 0
    seconds: float = 0.0
    before: float | None = None

    @property
    def each(self) -> float | None:
        """Seconds of one unit, where they are known."""
        return self.seconds / self.fresh if self.fresh else self.before

    @property
    def left(self) -> int:
        return max(self.total - self.done, 0)


@dataclass(kw_only=True)
class Board:
    """All work of a run. ``jobs``: workers that share the steps in ``PARALLEL``."""

    jobs: int = 1
    kinds: dict[str, Kind] = field(default_factory=dict)
    step: str = ""
    detail: str = ""
    usd: float = 0.0
    priced: bool = False

    def plan(self, key: str, step: str, total: int, known: Mapping[str, float] | None = None) -> None:
        self.kinds[key] = Kind(step=step, total=total, before=(known or {}).get(key))

    def add(self, key: str, seconds: float, *, fresh: bool) -> None:
        """One unit is done."""
        kind = self.kinds[key]
        kind.done += 1
        if fresh:
            kind.fresh += 1
            kind.seconds += seconds

    def finish(self, key: str) -> None:
        self.kinds[key].done = self.kinds[key].total

    @property
    def rate(self) -> float:
        """Units in a second of the kind of step that is going on, 0 where nothing was measured."""
        some = [k for k in self.kinds.values() if k.step == self.step and k.fresh]
        seconds = sum(k.seconds for k in some)
        shared = self.jobs if self.step in PARALLEL else 1
        return shared * sum(k.fresh for k in some) / seconds if seconds else 0.0

    def share(self) -> tuple[float, float]:
        """(done, total) of all work, in seconds where every kind's are known, in units otherwise."""
        each = {key: k.each if k.each is not None else self._like(k.step) for key, k in self.kinds.items()}
        weight = {key: 1.0 if None in each.values() else float(v or 0.0) for key, v in each.items()}
        done = sum(weight[key] * min(k.done, k.total) for key, k in self.kinds.items())
        return done, sum(weight[key] * k.total for key, k in self.kinds.items())

    def counts(self, step: str) -> tuple[int, int]:
        """(done, total) of a step."""
        some = [k for k in self.kinds.values() if k.step == step]
        return sum(min(k.done, k.total) for k in some), sum(k.total for k in some)

    def seconds_each(self) -> dict[str, float]:
        """What a unit of each kind takes, where it was measured."""
        return {key: round(k.each, 4) for key, k in self.kinds.items() if k.each is not None}

    def seconds_left(self) -> tuple[float, int]:
        """Seconds that the rest takes, and units about which nothing is known (they are not in the seconds).

        A kind that was not measured is taken to be like the measured ones of its step.
        """
        left, unknown = 0.0, 0
        for kind in self.kinds.values():
            each = kind.each if kind.each is not None else self._like(kind.step)
            if each is None:
                unknown += kind.left
            else:
                left += kind.left * each / (self.jobs if kind.step in PARALLEL else 1)
        return left, unknown

    def _like(self, step: str) -> float | None:
        known = [k.each for k in self.kinds.values() if k.step == step and k.each is not None]
        return sum(known) / len(known) if known else None
