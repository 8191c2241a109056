"""Part 1: what the machine is, and how fast it multiplies matrices and copies memory."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from benchmarks.gpu.record import Record, device_of, median_of, rounded

PACKAGES = (
    "torch", "torchvision", "transformers", "accelerate", "tokenizers", "diffusers", "xgrammar", "numpy", "pillow",
    "pydantic", "openai",
)  # fmt: skip


def run(record: Record, tiny: bool) -> None:
    """Fills the record."""
    record.attempt("machine", lambda: machine(tiny))
    record.attempt("versions", versions)
    side, repeats = (256, 3) if tiny else (8192, 7)
    for name in ("bfloat16", "float32"):
        record.attempt(f"matrix/{name}", lambda name=name: product(device_of(tiny), name, side, repeats))
    record.attempt("copy", lambda: copy(device_of(tiny), 2**22 if tiny else 2**32, repeats))


def machine(tiny: bool) -> dict[str, Any]:
    """Names and sizes."""
    import torch

    found: dict[str, Any] = {
        "python": platform.python_version(),
        "processor_cores": os.cpu_count(),
        "shared_memory_gib": rounded(shutil.disk_usage("/dev/shm").free / 2**30),
        "device": "cpu",
    }
    if device_of(tiny) == "cuda":
        about = torch.cuda.get_device_properties(0)
        query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
        told = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False).stdout.strip()
        found |= {
            "device": about.name,
            "memory_gib": rounded(about.total_memory / 2**30),
            "multiprocessors": about.multi_processor_count,
            "nvidia_smi": told,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    found["tf32_of_products"] = torch.backends.cuda.matmul.allow_tf32
    found["tf32_of_convolutions"] = torch.backends.cudnn.allow_tf32
    return found


def versions() -> dict[str, str]:
    """Of the packages that matter; empty where one is not installed."""

    def of(name: str) -> str:
        try:
            return version(name)
        except PackageNotFoundError:
            return ""

    return {name: of(name) for name in PACKAGES}


def product(device: str, name: str, side: int, repeats: int) -> dict[str, float]:
    """A product of two square matrices of random numbers: 2 n^3 operations."""
    import torch

    a, b = (torch.randn(side, side, device=device).to(getattr(torch, name)) for _ in range(2))
    times = 10 if name == "bfloat16" else 3

    def work() -> None:
        for _ in range(times):
            a @ b

    seconds = median_of(work, repeats) / times
    return {"side": side, "seconds": rounded(seconds), "tflops": rounded(2 * side**3 / seconds / 1e12)}


def copy(device: str, size: int, repeats: int) -> dict[str, float]:
    """A copy from the device to itself; bytes read and bytes written both count."""
    import torch

    a = torch.randint(0, 255, (size,), dtype=torch.uint8, device=device)
    b = torch.empty_like(a)
    seconds = median_of(lambda: b.copy_(a), repeats)
    return {"bytes": size, "seconds": rounded(seconds), "gb_per_s": rounded(2 * size / seconds / 1e9)}
