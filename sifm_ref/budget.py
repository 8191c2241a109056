"""The budget of a perturbation, in [0, 1] pixel units, and how a saved image is made to obey it exactly."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

import numpy as np

from isr.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

LEVELS = 255
WINDOW = 11  # of SSIM
_PART = r"\s*(\d{1,15}(?:\.\d{1,15})?)\s*"
_FRACTION = re.compile(f"{_PART}/{_PART}", re.ASCII)
_SLACK = 1e-3  # of one 8-bit level: floating-point dust that must not cost a level


def number_of(text: str) -> float:
    """``0.03``, or ``8/255`` as the float nearest to it, which is what every file keeps: reading it back gives the same.

    Raises ``ValueError`` for any other text.

    >>> number_of("8/255") == 8 / 255
    True
    """
    parts = _FRACTION.fullmatch(text)
    if parts is None:
        return float(text)
    below = Fraction(parts[2])
    if not below:
        raise ValueError(f"expected a number below the line; found {text!r}")
    return float(Fraction(parts[1]) / below)


@dataclass(frozen=True, slots=True)
class Budget:
    """How far a protected image may be from its source. ``eps``: radius in [0, 1] pixel units.

    ``linf``: no sample differs by more than ``eps``. ``l2``: the Euclidean length of the whole difference, over all
    pixels and channels, is at most ``eps``. A budget quoted on [-1, 1] tensors is twice as large a number.
    """

    eps: float = 0.03
    norm: Literal["linf", "l2"] = "linf"

    def __post_init__(self) -> None:
        if self.norm not in ("linf", "l2"):
            raise UsageError(f"norm: expected linf or l2; found {self.norm!r}")
        if not (math.isfinite(self.eps) and self.eps > 0 and (self.norm == "l2" or self.eps <= 1)):
            levels = f"{self.eps:g}" if 1 < self.eps <= LEVELS else "8"
            raise UsageError(
                f"eps: expected a radius in [0, 1] pixel units, above 0; found {self.eps!r}; {levels} levels of {LEVELS} are "
                f"written {levels}/{LEVELS}, and a budget given on [-1, 1] tensors must be halved"
            )

        if self.norm == "linf" and self.levels < 1:
            raise UsageError(
                f"eps: expected at least one 8-bit level, 1/{LEVELS} = 0.00392...; found {self.eps!r}; "
                "no saved image could differ from its source"
            )

    @property
    def levels(self) -> int:
        """Whole 8-bit levels that an L-inf budget allows: 7 for 0.03."""
        return math.floor(self.eps * LEVELS + 1e-9)


def project(delta: Tensor, budget: Budget) -> Tensor:
    """The perturbation nearest to ``delta`` (B, C, H, W) within the budget, image by image."""
    if budget.norm == "linf":
        return delta.clamp(-budget.eps, budget.eps)
    length = delta.flatten(1).norm(dim=1).clamp_min(1e-30)
    return delta * (budget.eps / length).clamp(max=1.0)[:, None, None, None]


def to_8bit(source: NDArray[np.uint8], protected: NDArray[np.floating]) -> NDArray[np.uint8]:
    """``protected`` (H, W, 3) in [0, 1] as 8-bit levels, every sample rounded toward ``source``.

    Rounding toward the source can only shrink a perturbation, so what obeyed a budget still does once it is saved.
    """
    levels = np.asarray(protected, np.float64) * LEVELS - source
    delta = np.sign(levels) * np.floor(np.abs(levels) + _SLACK)
    out: NDArray[np.uint8] = np.clip(source + delta, 0, LEVELS).astype(np.uint8)
    return out


def obeying(source: NDArray[np.uint8], protected: NDArray[np.floating], budget: Budget) -> NDArray[np.uint8]:
    """``to_8bit``, with what is still beyond the budget (a foreign method's, say) brought back into it."""
    rounded = to_8bit(source, protected)
    delta = rounded.astype(np.int64) - source
    if budget.norm == "linf":
        delta = np.clip(delta, -budget.levels, budget.levels)
    else:
        length = float(np.sqrt((delta.astype(np.float64) ** 2).sum())) / LEVELS
        if length > budget.eps:
            delta = np.trunc(delta * (budget.eps / length)).astype(np.int64)
    out: NDArray[np.uint8] = (source + delta).astype(np.uint8)
    return out


@dataclass(frozen=True, slots=True)
class Measured:
    """What a saved perturbation is: ``linf`` and ``l2`` in [0, 1] units, ``psnr`` in dB, ``ssim``, share changed."""

    linf: float
    l2: float
    psnr: float
    ssim: float
    changed: float

    def within(self, budget: Budget) -> bool:
        """Whether the budget holds, to the accuracy of one float64 sum."""
        return (self.linf if budget.norm == "linf" else self.l2) <= budget.eps * (1 + 1e-12)


def measure(source: NDArray[np.uint8], protected: NDArray[np.uint8]) -> Measured:
    """The measured distortion of two 8-bit RGB images (H, W, 3) of one size. PSNR of equal images is infinite."""
    delta = np.abs(protected.astype(np.int64) - source)
    mse = float((delta.astype(np.float64) ** 2).mean()) / LEVELS**2
    return Measured(
        linf=int(delta.max()) / LEVELS,
        l2=math.sqrt(mse * delta.size),
        psnr=math.inf if mse == 0 else -10 * math.log10(mse),
        ssim=ssim(source, protected),
        changed=float((delta > 0).mean()),
    )


def ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Mean structural similarity of two 8-bit images (Wang et al. 2004, eq. 13): Gaussian window, sigma 1.5, 11 wide.

    At full size, of each channel, averaged over the places where the window is inside the image (as skimage and piq have
    it; a picture smaller than the window has its borders reflected). 1 for equal images.
    """
    from scipy.ndimage import gaussian_filter

    def blur(x: NDArray[np.floating]) -> NDArray[np.floating]:
        out: NDArray[np.floating] = gaussian_filter(x, (1.5, 1.5, 0), truncate=3.5)
        return out

    x, y = a.astype(np.float64) / LEVELS, b.astype(np.float64) / LEVELS
    c1, c2 = 0.01**2, 0.03**2
    mx, my = blur(x), blur(y)
    vx, vy, vxy = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my
    index = ((2 * mx * my + c1) * (2 * vxy + c2)) / ((mx * mx + my * my + c1) * (vx + vy + c2))
    rim = WINDOW // 2
    inside = index[rim:-rim, rim:-rim] if min(a.shape[:2]) >= WINDOW else index
    return float(inside.mean())
