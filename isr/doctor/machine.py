"""What there is: Python, packages, GPUs, keys by name, servers on this machine, the file system of a store.

Nothing heavy is imported here and nobody is asked anything: versions stand in the packages' metadata, torch speaks in a
process of its own, a server is only connected to, and of a key nothing but its name is looked at.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit

from isr.judging.cards import Card
from isr.judging.keys import is_loopback, read_config
from isr.judging.store_connection import file_system, is_shared
from isr.reading import json_of
from isr.version import __version__

DISTRIBUTION = "isr-eval"
CONNECT_S = 0.5
TORCH_S = 120.0  # for torch to be loaded from a slow disk
_TORCH = """
import json, torch
cuda = torch.cuda.is_available()
seen = [(torch.cuda.get_device_name(i), *torch.cuda.mem_get_info(i)) for i in range(torch.cuda.device_count())] if cuda else []
print(json.dumps({"built": torch.version.cuda or torch.version.hip or "", "seen": seen}))
"""
_SMI = ("--query-gpu=name,memory.free,memory.total", "--format=csv,noheader,nounits")


@dataclass(frozen=True, slots=True)
class Package:
    """A package that an extra asks for: the versions that isr takes, and the one that is installed, if one is."""

    name: str
    wanted: str
    installed: str | None = None

    @property
    def fits(self) -> bool:
        """Whether it is installed in a version that isr takes."""
        return self.installed is not None and _within(self.installed, self.wanted)


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU that programs here can use."""

    name: str
    free_gib: float
    total_gib: float


Gpus = tuple[tuple[Gpu, ...], str]
"""The GPUs, and why there are none."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store would lie. ``shared``: several machines may see it; ``file_system``: ``""`` where unknown."""

    path: str
    file_system: str
    shared: bool
    writable: bool


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Everything that decides which judges can run here."""

    isr: str
    python: str
    system: str
    extras: Mapping[str, tuple[Package, ...]]
    gpus: tuple[Gpu, ...]
    gpu_fault: str  # why none is seen; empty where one is
    keys: Mapping[str, bool]  # by the name of the variable: whether it holds anything
    listening: Mapping[str, bool]  # by the address on this machine: whether anything takes connections
    weights: frozenset[str]  # MODEL@REVISION in the cache of the hub
    place: Place
    default_judge: str = ""


def look(cards: Iterable[Card], store: Path, gpus: Callable[[], Gpus] | None = None) -> Machine:
    """What this environment has of what the cards need.

    store: the file in which answers would be kept. gpus: what looks for them, if not torch or the driver is to.
    """
    cards = list(cards)
    seen, fault = (gpus or _gpus)()
    config = read_config()
    variables = {c.endpoint.api_key_env for c in cards} | {
        v for vs in config.get("allow", {}).values() for v in vs
    }
    addresses = {a for c in cards for a in addresses_here(c)}
    return Machine(
        isr=__version__,
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        extras=extras(),
        gpus=seen,
        gpu_fault=fault,
        keys={name: bool(os.environ.get(name, "").strip()) for name in sorted(variables - {""})},
        listening={a: _listens(a) for a in sorted(addresses)},
        weights=frozenset(w for c in cards if c.revision and (w := f"{c.model}@{c.revision}") and _cached(c)),
        place=_place(store),
        default_judge=str(config.get("judge", "")),
    )


def addresses_here(card: Card) -> tuple[str, ...]:
    """``HOST:PORT`` of every server on this machine that a card asks; none where it asks others."""
    urls = [(place.host, urlsplit(place.base_url)) for place in card.endpoint.each if is_loopback(place.host)]
    return tuple(f"{host}:{url.port or (443 if url.scheme == 'https' else 80)}" for host, url in urls)


def extras() -> dict[str, tuple[Package, ...]]:
    """The packages of each extra but ``dev``; none where isr is not installed as a package."""
    try:
        wanted = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return {}
    found: dict[str, list[Package]] = {}
    for line in wanted:
        need, _, marker = line.partition(";")
        extra = re.search(r"extra == ['\"]([^'\"]+)['\"]", marker)
        name = re.match(r"[A-Za-z0-9._-]+", need)
        if extra and name and extra[1] != "dev":
            version = re.sub(r"\[.*?\]|[() ]", "", need[name.end() :])
            found.setdefault(extra[1], []).append(Package(name[0], version, _version(name[0])))
    return {extra: tuple(packages) for extra, packages in sorted(found.items())}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _within(version: str, wanted: str) -> bool:
    """Whether a version is within bounds such as ``>=5.16.1,<5.24``, by the numbers with which it begins."""
    have = _numbers(version)
    for bound in filter(None, wanted.split(",")):
        sign, number = re.fullmatch(r"([<>=!~]*)(.*)", bound).groups()  # type: ignore[union-attr]
        if (sign == ">=" and have < _numbers(number)) or (sign == "<" and have >= _numbers(number)):
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    head = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(n) for n in head[0].split(".")] if head else []
    return tuple([*numbers, 0, 0, 0, 0][:4])


def _gpus() -> Gpus:
    """The GPUs that torch can use, or without torch those of the driver; and why there are none."""
    torch = _version("torch")
    return gpus_of_driver() if torch is None else gpus_of_torch(torch)


def gpus_of_driver() -> Gpus:
    """The GPUs that NVIDIA's driver names; and why there are none."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return (), "neither torch nor nvidia-smi is installed"
    said = _output([command, *_SMI], 10.0)
    rows = [line.rsplit(", ", 2) for line in said.splitlines() if line.count(", ") >= 2]
    gpus = tuple(
        Gpu(name, int(free) / 1024, int(total) / 1024) for name, free, total in rows if free.isdigit()
    )
    return gpus, "" if gpus else "nvidia-smi names none"


def gpus_of_torch(version: str) -> Gpus:
    """The GPUs that torch can use, asked in a process of its own; and why there are none."""
    said = _output([sys.executable, "-c", _TORCH], TORCH_S)
    try:
        found = json_of(said.encode())
        gpus = tuple(Gpu(name, free / 2**30, total / 2**30) for name, free, total in found["seen"])
        built = found["built"]
    except (ValueError, KeyError, TypeError):
        return (), f"torch {version} cannot be loaded: python -c 'import torch' says why"
    if gpus:
        return gpus, ""
    if not built:
        return (), f"torch {version} is built for the CPU only"
    return (
        (),
        f"torch {version} is built for CUDA {built} and sees none: nvidia-smi and CUDA_VISIBLE_DEVICES tell why",
    )


def _output(command: list[str], limit_s: float) -> str:
    """What a command prints; nothing if it fails or takes too long."""
    try:
        done = subprocess.run(  # noqa: S603  (this interpreter, or the driver's own program)
            command, capture_output=True, text=True, timeout=limit_s, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), CONNECT_S):
            return True
    except OSError:
        return False


def _cached(card: Card) -> bool:
    """Whether the hub's cache on this machine holds the card's revision."""
    home = os.environ.get("HF_HOME") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache"), "huggingface"
    )
    cache = Path(os.environ.get("HF_HUB_CACHE") or os.path.join(home, "hub"))
    return (cache / f"models--{card.model.replace('/', '--')}" / "snapshots" / card.revision).is_dir()


def _place(store: Path) -> Place:
    folder = next(p for p in (store.absolute().parent, *store.absolute().parents) if p.is_dir())
    return Place(str(store), file_system(folder / "x"), is_shared(folder / "x"), os.access(folder, os.W_OK))
