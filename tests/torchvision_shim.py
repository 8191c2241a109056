"""Lets torchvision's Python part load beside a CPU build of torch. For development only, never shipped.

torchvision's wheel on PyPI is linked against CUDA's torch; beside the CPU's its compiled operators do not load, and
``import torchvision`` ends at the first of them that it looks up. Declaring those, without an implementation, before
that import is enough for its transforms. Run as a script, this file installs itself into the environment's start.
"""

from __future__ import annotations

import shutil
import sys
import sysconfig
from pathlib import Path

OPERATORS = ("nms", "qnms")
SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


class _BeforeTorchvision:
    """A finder that finds nothing, and declares the operators when torchvision is first looked for."""

    library: object = None

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name != "torchvision":
            return
        sys.meta_path.remove(self)  # type: ignore[arg-type]
        import torch

        if torch.version.cuda is None:
            library = torch.library.Library("torchvision", "DEF")
            for operator in OPERATORS:
                library.define(operator + SIGNATURE)
            _BeforeTorchvision.library = library  # its declarations live as long as it does


def install() -> None:
    """Copies this file into the environment, and has every start of its Python import it."""
    site = Path(sysconfig.get_path("purelib"))
    shutil.copy(__file__, site / "torchvision_shim.py")
    (site / "torchvision_shim.pth").write_text("import torchvision_shim\n")


if __name__ == "__main__":
    install()
else:
    sys.meta_path.insert(0, _BeforeTorchvision())  # type: ignore[arg-type]
