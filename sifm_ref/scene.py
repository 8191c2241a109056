"""What goes into a method and what comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

Callback = Callable[[int, Tensor | None], None]


def silent(step: int, loss: Tensor | None) -> None:
    """A callback that does nothing. ``step``: iterations done; ``loss``: (B,), or ``None`` where there is none."""


@dataclass(frozen=True)
class Scene:
    """A batch of images to protect.

    ``source``: (B, 3, H, W) in [0, 1], on the grid of 8-bit levels. ``prompts``: one text for each image, the ``c`` of
    the paper. ``mask``: (B, 1, H, W), 1 where an inpainting editor repaints; ``None`` for editors without masks.
    """

    source: Tensor
    prompts: tuple[str, ...]
    mask: Tensor | None = None


@dataclass(frozen=True)
class Immunized:
    """Protected images (B, 3, H, W) in [0, 1], before rounding, and the trace of the loss: (B,) for each iteration.

    ``losses`` is empty where a method optimises nothing.
    """

    image: Tensor
    losses: tuple[Tensor, ...] = field(default=())

    def ends(self) -> tuple[Tensor, Tensor] | None:
        """The loss (B,) in the beginning and in the end, means over a tenth of the trace; ``None`` without a trace."""
        if not self.losses:
            return None
        window = max(1, (len(self.losses) - 1) // 10)
        first, last = self.losses[:window], self.losses[-window:]
        return sum(first[1:], first[0]) / len(first), sum(last[1:], last[0]) / len(last)
