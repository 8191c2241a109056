"""PSNR, SSIM, VIFp and FSIM by ``piq``: what needs no weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from isr.scoring.measures import Measure, Wanted, of_tensors

DEFINITIONS = {
    "psnr": ("PSNR", "piq {piq}, at full size, 80 dB at most"),
    "ssim": (
        "SSIM",
        "piq {piq}, averaged over pixels to a shorter side of about 256 first (piq's default): no number of another size",
    ),
    "ssim_full": (
        "SSIM (full size)",
        "piq {piq} at full size, window 11, sigma 1.5, no borders: what measured_ssim is",
    ),
    "vifp": ("VIFp", "piq {piq}, at four scales"),
    "fsim": ("FSIM", "piq {piq}, averaged over pixels to a shorter side of about 256 first"),
}


def measures(wanted: Wanted) -> Iterator[Measure]:
    import piq

    functions: dict[str, Callable[[Any, Any], Any]] = {
        "psnr": lambda x, y: piq.psnr(x, y, data_range=1.0),
        "ssim": lambda x, y: piq.ssim(x, y, data_range=1.0),
        "ssim_full": lambda x, y: piq.ssim(x, y, data_range=1.0, downsample=False),
        "vifp": lambda x, y: piq.vif_p(x, y, data_range=1.0),
        "fsim": lambda x, y: piq.fsim(x, y, data_range=1.0),
    }
    for name, (title, definition) in DEFINITIONS.items():
        yield Measure(
            name=name,
            value=of_tensors(functions[name]),
            mark=f"piq={piq.__version__}",
            title=title,
            orientation=-1,
            definition=definition.format(piq=piq.__version__),
            plain=True,
        )
