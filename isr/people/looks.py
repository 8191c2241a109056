"""How an item was looked at: the window and the scales of its pictures. They are kept with the label that was given."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

NARROW_PX = 600
"""Windows below this width, in CSS pixels, show two pictures too small; the page warns of them."""

RANGES: Mapping[str, tuple[float, float]] = {
    "window_px": (1, 100_000),
    "pixel_ratio": (0.01, 100),
    "fit_scale": (0.0001, 1000),
    "largest_scale": (0.0001, 1000),
}
"""What each number may be at least and at most; columns of a file of labels have the same names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The page when an item was answered; ``None``: not known.

    ``window_px``: width of the window in CSS pixels. ``pixel_ratio``: device pixels in one CSS pixel. ``fit_scale``: CSS
    pixels in one pixel of the edit while all of it was shown. ``largest_scale``: the largest such scale until the answer.
    """

    window_px: float | None = None
    pixel_ratio: float | None = None
    fit_scale: float | None = None
    largest_scale: float | None = None

    @property
    def narrow(self) -> bool | None:
        """Whether the window was below ``NARROW_PX``; ``None`` where its width is not known."""
        return None if self.window_px is None else self.window_px < NARROW_PX

    def cells(self) -> dict[str, str]:
        """What is known, by column of a file of labels."""
        return {name: f"{value:.6g}" for name, value in asdict(self).items() if value is not None}


UNKNOWN = Look()


def wrong_cells(cells: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Columns of a row that hold no number of their range, each with what is expected there."""
    for name, (low, high) in RANGES.items():
        if cells.get(name) and _number(cells[name], low, high) is None:
            yield name, f"a number from {low:g} to {high:g}, or nothing"


def look_of(cells: Mapping[str, str]) -> Look:
    """What the cells of a row say; an empty or missing cell, and one of ``wrong_cells``, is not known."""
    return Look(**{name: _number(cells.get(name, ""), low, high) for name, (low, high) in RANGES.items()})


def _number(text: str, low: float, high: float) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and low <= value <= high else None
