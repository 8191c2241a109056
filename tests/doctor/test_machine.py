"""What is found on a machine: real packages, sockets, processes and folders."""

from __future__ import annotations

import os
import socket
import stat
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import pytest

from isr.doctor.machine import (
    Gpus,
    Machine,
    Package,
    addresses_here,
    extras,
    gpus_of_driver,
    gpus_of_torch,
    look,
)
from isr.judging.cards import Card, load_card
from isr.judging.keys import allow

CANARY = "canary0123456789abcdefghijkl"
TORCH = """
class cuda:
    is_available = staticmethod(lambda: {seen})
    device_count = staticmethod(lambda: 2)
    get_device_name = staticmethod(lambda i: f"GPU {{i}}")
    mem_get_info = staticmethod(lambda i: ((i + 1) * 2**30, 80 * 2**30))
class version:
    cuda = {built}
    hip = None
"""


def seen(cards: Iterable[Card], store: Path) -> Machine:
    """What ``look`` finds beside GPUs, for which torch would have to be loaded each time."""

    def none() -> Gpus:
        return (), "nobody looked"

    return look(cards, store, none)


def test_packages_of_the_extras() -> None:
    found = extras()
    assert {"transformers", "vllm", "sifm", "metrics", "study", "label"} <= set(found)
    assert "dev" not in found
    (parquet,) = found["parquet"]
    assert parquet.name == "pyarrow"
    assert parquet.fits is (parquet.installed is not None)


@pytest.mark.parametrize(
    ("installed", "wanted", "fits"),
    [
        ("5.16.1", "<5.24,>=5.16.1", True),
        ("5.16", "<5.24,>=5.16.1", False),
        ("5.23.9", "<5.24,>=5.16.1", True),
        ("5.24.0", "<5.24,>=5.16.1", False),
        ("2.13.0+cpu", ">=2.6", True),
        ("2.5.1", ">=2.6", False),
        ("0.32.1rc1.dev5", ">=0.31,<0.34", True),
        ("4", ">=4", True),
        ("1.0", "", True),
        (None, ">=1", False),
    ],
)
def test_bounds_of_versions(installed: str | None, wanted: str, fits: bool) -> None:
    assert Package("p", wanted, installed).fits is fits


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("ollama:m", "127.0.0.1:11434"),
        ("qwen3.5-9b", "127.0.0.1:8000"),
        ("gpt-4.1", ""),
        ("qwen3.5-9b-vllm", ""),
    ],
)
def test_addresses_on_this_machine(name: str, address: str) -> None:
    assert addresses_here(load_card(name)) == ((address,) if address else ())


def test_a_server_is_only_connected_to(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # taken, and nobody listens
        ports = server.getsockname()[1], silent.getsockname()[1]
        cards = [load_card("vllm:m", [f"endpoint.base_url=http://127.0.0.1:{p}/v1"]) for p in ports]
        machine = seen(cards, tmp_path / "isr.db")
        assert machine.listening == {f"127.0.0.1:{ports[0]}": True, f"127.0.0.1:{ports[1]}": False}
        connection, _ = server.accept()
        with connection:
            assert connection.recv(100) == b""  # closed without a word


def test_keys_are_names_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    monkeypatch.setenv("LAB_KEY", CANARY)
    monkeypatch.setenv("GEMINI_API_KEY", "  ")
    allow("lab.example", "LAB_KEY")
    machine = seen(map(load_card, ("gpt-4.1", "gemini-3-flash")), tmp_path / "isr.db")
    assert machine.keys == {"GEMINI_API_KEY": False, "LAB_KEY": True, "OPENAI_API_KEY": True}
    assert CANARY not in repr(asdict(machine))


def test_weights_in_the_cache_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    card = load_card("qwen3.5-9b-vllm")
    assert seen([card], tmp_path / "isr.db").weights == frozenset()
    (tmp_path / "hub/models--Qwen--Qwen3.5-9B/snapshots" / card.revision).mkdir(parents=True)
    assert seen([card], tmp_path / "isr.db").weights == {f"{card.model}@{card.revision}"}


def test_the_place_of_a_store_that_is_not_there_yet(tmp_path: Path) -> None:
    place = seen([], tmp_path / "not/yet/isr.db").place
    assert place.path == str(tmp_path / "not/yet/isr.db")
    assert place.writable
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    assert not seen([], tmp_path / "isr.db").place.writable


@pytest.mark.parametrize(
    ("seen", "built", "gpus", "fault"),
    [
        (True, "12.8", [("GPU 0", 1.0, 80.0), ("GPU 1", 2.0, 80.0)], ""),
        (False, "12.8", [], "torch 9 is built for CUDA 12.8 and sees none"),
        (False, None, [], "torch 9 is built for the CPU only"),
    ],
)
def test_gpus_of_torch(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seen: bool,
    built: str | None,
    gpus: list[object],
    fault: str,
) -> None:
    (tmp_path / "torch.py").write_text(TORCH.format(seen=seen, built=repr(built)), "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found, why = gpus_of_torch("9")
    assert [(g.name, g.free_gib, g.total_gib) for g in found] == gpus
    assert why.startswith(fault)
    assert bool(why) is not bool(gpus)


def test_a_torch_that_breaks_does_not_break_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text("raise OSError('libcudart.so.13: no such file')", "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert gpus_of_torch("9") == ((), "torch 9 cannot be loaded: python -c 'import torch' says why")


@pytest.mark.skipif(sys.platform == "win32", reason="a script stands for the driver's program")
def test_gpus_of_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpus_of_driver() == ((), "neither torch nor nvidia-smi is installed")
    program = tmp_path / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\necho 'NVIDIA H100, 80GB, 79000, 81559'\necho 'NVIDIA T4, 1024, 15360'\n", "utf-8"
    )
    program.chmod(0o755)
    gpus, fault = gpus_of_driver()
    assert [(g.name, round(g.free_gib), round(g.total_gib)) for g in gpus] == [
        ("NVIDIA H100, 80GB", 77, 80),  # 79,000 and 81,559 MiB
        ("NVIDIA T4", 1, 15),
    ]
    assert fault == ""
    program.write_text("#!/bin/sh\nexit 9\n", "utf-8")
    assert gpus_of_driver() == ((), "nvidia-smi names none")


def test_every_server_of_a_card_is_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "several.toml"
    path.write_text(
        'backend = "openai_chat"\nmodel = "m"\n[endpoint]\n'
        'base_urls = ["http://127.0.0.1:8001/v1", "http://localhost:8002/v1", "https://example.org/v1"]\n',
        "utf-8",
    )
    assert addresses_here(load_card(str(path))) == ("127.0.0.1:8001", "localhost:8002")
