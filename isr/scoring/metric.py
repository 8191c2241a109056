"""ISR over outcomes that are already known, in the shape of a torchmetrics metric, without torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from isr.types import Estimate

if TYPE_CHECKING:
    from isr.stats.rate import Method

OUTCOMES = {"immunized": True, "not_immunized": False, "undecided": None}


class ISR:
    """Immunization Success Rate (arXiv 2512.14320): the share of edits that are immunized.

    ``update`` takes outcomes (``"immunized"``, ``"not_immunized"``, ``"undecided"``, or True, False, None) and
    the image that each edit was made from; ``compute`` gives the estimate with its interval, bounds and the interval of the identified set.
    """

    def __init__(self, *, level: float = 0.95, interval: Method = "logit-t") -> None:
        self.level = level
        self.interval: Method = interval
        self._outcomes: list[bool | None] = []
        self._clusters: list[Any] = []

    def update(self, outcomes: Iterable[str | bool | None], clusters: Sequence[Any]) -> None:
        """Adds outcomes; ``clusters[i]`` names the source image of edit i. Raises ``StatisticsError``."""
        import numpy as np

        from isr.errors import StatisticsError

        new = [bool(o) if isinstance(o, np.bool_) else o for o in outcomes]
        if len(new) != len(clusters):
            raise StatisticsError(
                f"ISR.update: expected one cluster for each outcome; found {len(new)} outcomes, {len(clusters)} clusters"
            )
        strange = sorted(
            {
                repr(o)
                for o in new
                if not (o is None or isinstance(o, bool) or (isinstance(o, str) and o in OUTCOMES))
            }
        )
        if strange:
            raise StatisticsError(
                f"ISR.update: expected outcomes out of {', '.join(OUTCOMES)} (or True, False, None); "
                f"found {', '.join(strange)}"
            )
        self._outcomes += [OUTCOMES[o] if isinstance(o, str) else o for o in new]
        self._clusters += list(clusters)

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

    def reset(self) -> None:
        """Forgets everything."""
        self._outcomes.clear()
        self._clusters.clear()
