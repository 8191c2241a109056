"""A user's code is checked as strictly as ours: what is wrong in it is found, and nothing else."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.processes import run

ROOT = Path(__file__).resolve().parents[2]
USER = Path(__file__).with_name("user.py")
PYRIGHT = ROOT / "build" / "pyright" / "node_modules" / ".bin" / "pyright"
IGNORED = len(re.findall("type: ignore", USER.read_text("utf-8")))


@pytest.mark.slow
def test_mypy_finds_nothing_in_a_users_file(tmp_path: Path) -> None:
    """Strict, and an ignore that is not needed is an error: each of them is a fault that is found."""
    done = run(
        [sys.executable, "-m", "mypy", "--strict", "--warn-unused-ignores", "--config-file", "", "--cache-dir", tmp_path,
         "--follow-imports", "silent", USER],
        cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_pyright_finds_the_faults_and_nothing_else(tmp_path: Path) -> None:
    if not PYRIGHT.exists() or shutil.which("node") is None:
        pytest.skip("no pyright: make pyright, which needs npm")
    copy = tmp_path / "user.py"
    copy.write_text(re.sub(r" *# type: ignore\[[a-z-]+\]", "", USER.read_text("utf-8")), "utf-8")
    done = run([PYRIGHT, "--pythonpath", sys.executable, copy], cwd=ROOT)
    assert len(re.findall(r" - error: ", done.stdout)) == IGNORED, done.stdout
