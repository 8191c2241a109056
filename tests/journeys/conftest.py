"""What the three journeys share: the study of ``isr tutorial``, and the commands as they are typed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.conftest import browser, opened
from tests.processes import CompletedProcess, run

__all__ = ["browser", "opened"]
ROOT = Path(__file__).resolve().parents[2]
MLLM = ROOT / "examples" / "shapes" / "judge" / "shapes-mllm.toml"
RUBRICS = ("--rubric", "shapes-semantic/v1", "--rubric", "shapes-perceptual/v1")
INIT = (
    "init", "edits/", "--edits", "out/{method}/{image}_{prompt_id}_s{seed}.png", "--source", "images/{image}.png", "--control",
    "out/clean/{image}_{prompt_id}_s{seed}.png", "--protected", "protected/{method}/{image}.png", "--prompts", "prompts.csv",
    "--column", "editor=painter", "--column", "eps=0.03",
)  # fmt: skip
Type = Callable[..., CompletedProcess[str]]


def at(folder: Path) -> Type:
    """``isr`` as it is typed in a folder; what it prints is kept, and a failure shows it."""

    def typed(*args: object, expect: int = 0) -> CompletedProcess[str]:
        env = {**os.environ, "HF_HUB_OFFLINE": "1", "TERM": "dumb"}
        done = run([sys.executable, "-m", "isr", *map(str, args)], cwd=folder, env=env)
        assert done.returncode == expect, f"isr {' '.join(map(str, args))}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    return typed


@pytest.fixture(scope="package")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tutorial's folder: photographs, prompts, edits of two methods and of none."""
    root = tmp_path_factory.mktemp("journeys") / "try"
    at(root.parent)("tutorial", "try")
    return root
