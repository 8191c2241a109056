"""Measured distortion of a protected image: how far it is from its source, whatever budget was promised."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image


@dataclass(frozen=True, slots=True)
class Distortion:
    """``linf``: largest difference of a sample in [0, 1] units; ``psnr``: peak signal-to-noise ratio in dB."""

    linf: float
    psnr: float


def measure(source: Image.Image, protected: Image.Image) -> Distortion | None:
    """The distortion between two RGB images; ``None`` if their sizes differ. PSNR of equal images is infinite."""
    if source.size != protected.size:
        return None
    a, b = np.asarray(source, np.int16), np.asarray(protected, np.int16)
    difference = np.abs(a - b)
    mse = float(np.mean(difference.astype(np.float64) ** 2)) / 255**2
    return Distortion(float(difference.max()) / 255, math.inf if mse == 0 else -10 * math.log10(mse))
