"""Every kind of bad judge is found out by the probe meant for it, over real HTTP; a sound one is fit."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from isr.qualification import read_qualification
from isr.qualifying import CHECKS
from tests.chat_server import ROOT, Running, serving
from tests.directories import write_metadata

SCENES = ROOT / "examples" / "shapes"
IMAGES = 8


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One edit of each of a few painted scenes that are large enough for texts, and whose control edit is done."""
    root = tmp_path_factory.mktemp("scenes") / "e"
    rows: dict[str, dict[str, Any]] = {}
    for line in (SCENES / "metadata.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["prompt_id"].startswith(("make", "turn")):
            rows.setdefault(row["image_id"], row)
    kept = [r for r in rows.values() if _usable(r)][:IMAGES]
    assert len(kept) == IMAGES
    for row in kept:
        for column in ("file_name", "source_file_name", "control_file_name"):
            (root / row[column]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(SCENES / row[column], root / row[column])
        del row["protected_file_name"]
    write_metadata(root, kept)
    return root


def _usable(row: dict[str, Any]) -> bool:
    from PIL import Image

    truth = (SCENES / "truth.csv").read_text()
    with Image.open(SCENES / row["source_file_name"]) as image:
        return min(image.size) >= 96 and f"{row['edit_id']},control,done,," in truth


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with serving() as running:
        yield running


def qualify(judge: str, directory: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "isr", "qualify", judge, str(directory), "--quiet", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def statuses(out: Path) -> dict[str, str]:
    return {p["name"]: p["status"] for p in read_qualification(out)["probes"]}


@pytest.mark.parametrize(
    ("behaviour", "meant"),
    [
        ("fine", {"unchanged", "black", "noise", "blur", "blocks", "dose"}),
        ("fails", {"undamaged", "known", "dose"}),
        ("random", {"repeats"}),
        ("blind", {"dose"}),
        ("obedient", {"order-fine", "order-fails"}),
    ],
)
def test_a_bad_judge_is_found_out_by_the_probe_meant_for_it(
    tmp_path: Path, scenes: Path, server: Running, card: Callable[..., str], behaviour: str, meant: set[str]
) -> None:
    server.change(behaviour=behaviour)
    done = qualify(card(server), scenes, "--out", str(tmp_path / "q"), "--store", str(tmp_path / "isr.db"))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "judge: UNFIT" in done.stdout
    found = statuses(tmp_path / "q")
    assert {found[name] for name in meant} == {"failed"}, done.stdout
    if behaviour == "obedient":
        assert {name for name, status in found.items() if status == "failed"} == meant
    if behaviour in ("fine", "fails", "blind"):
        assert found["repeats"] == "passed"


def test_a_sound_judge_is_fit_and_is_asked_nothing_twice(
    tmp_path: Path, scenes: Path, server: Running, card: Callable[..., str]
) -> None:
    server.change(behaviour="sound")
    args = ("--out", str(tmp_path / "q"), "--store", str(tmp_path / "isr.db"))
    before = server.stats()["calls"]
    done = qualify(card(server), scenes, *args)
    assert done.returncode == 0, done.stdout + done.stderr
    first, calls = (tmp_path / "q" / "qualification.json").read_bytes(), server.stats()["calls"]
    found = statuses(tmp_path / "q")
    assert set(found) == {c.name for c in CHECKS}
    assert "failed" not in found.values(), done.stdout
    assert {found[n] for n in ("unrelated", "nonsense", "known", "rubric-versions")} == {"not applicable"}
    raw = json.loads(first)
    assert calls - before == raw["data"]["answers"]
    assert next(p for p in raw["probes"] if p["name"] == "nonsense")["undecided"] == {"refusal": IMAGES}
    assert qualify(card(server), scenes, *args).returncode == 0
    assert server.stats()["calls"] == calls
    assert (tmp_path / "q" / "qualification.json").read_bytes() == first
