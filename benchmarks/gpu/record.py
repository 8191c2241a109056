"""What a part of the GPU script found, on the disk after each measurement; clocks and memory of the device."""

from __future__ import annotations

import gc
import json
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from isr.errors import IsrError
from isr.files import write_text

FAILURES = (
    RuntimeError, ValueError, TypeError, AttributeError, LookupError, ImportError, OSError, AssertionError,
    ArithmeticError, subprocess.SubprocessError, IsrError,
)  # fmt: skip
"""How a measurement can fail on a machine where nothing was tried before: it is one field less, not a lost run."""


class Record:
    """The fields of one part, written anew whenever one is added."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fields: dict[str, Any] = {}

    def put(self, name: str, value: Any) -> None:
        """Adds a field (``a/b``: the field ``b`` of ``a``) and tells of it."""
        *above, last = name.split("/")
        place = self.fields
        for key in above:
            place = place.setdefault(key, {})
        place[last] = value
        write(self.path, self.fields)
        print(f"  {name}: {json.dumps(value)}", file=sys.stderr, flush=True)

    def attempt(self, name: str, work: Callable[[], Any]) -> Any:
        """What ``work`` returns, kept under a name; why it failed, where it did."""
        try:
            found = work()
        except FAILURES as error:
            found, said = None, traceback.format_exception(error)
            self.put(name, {"failed": "".join(said[-4:])[-1500:]})
        else:
            self.put(name, found)
        free()
        return found


def write(path: Path, value: Any) -> None:
    """Replaces a JSON file in one step."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def device_of(tiny: bool) -> str:
    """Where things run: the CPU for ``--tiny``, else the GPU. Raises ``RuntimeError`` where there is none."""
    import torch

    if not tiny and not torch.cuda.is_available():
        raise RuntimeError("expected a GPU that torch sees; found none; --tiny runs on the CPU")
    return "cpu" if tiny else "cuda"


def wait() -> None:
    """Returns when the device has done all that it was given."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def free() -> None:
    """Gives unused memory of the device back."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def seconds_of(work: Callable[[], Any]) -> float:
    """Seconds that ``work`` takes, the device's part included."""
    wait()
    began = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - began


def median_of(work: Callable[[], Any], repeats: int) -> float:
    """The median of the seconds of so many runs, after one that is not counted."""
    work()
    return statistics.median(seconds_of(work) for _ in range(repeats))


def start_peak() -> None:
    """The highest use of memory counts from here."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_gib() -> float:
    """The highest use since ``start_peak``, of the GPU; without one, of this process since its start."""
    import resource

    import torch

    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 2**30, 2)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)


def rounded(value: float, digits: int = 4) -> float:
    """A number with so many significant digits."""
    return float(f"{value:.{digits}g}")
