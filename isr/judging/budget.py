"""Money that a run may spend."""

from __future__ import annotations


class Budget:
    """Money that may be spent in this run; a request starts only if its worst case still fits."""

    def __init__(self, usd: float | None) -> None:
        self.usd = usd
        self.spent = 0.0
        self.reserved = 0.0

    def reserve(self, worst: float) -> bool:
        if self.usd is not None and self.spent + self.reserved + worst > self.usd:
            return False
        self.reserved += worst
        return True

    def owe(self, worst: float) -> None:
        """Reserves what an earlier run committed, whether or not it fits: it comes before anything new."""
        self.reserved += worst

    def settle(self, worst: float, cost: float) -> None:
        self.reserved -= worst
        self.spent += cost
