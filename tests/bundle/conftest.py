"""A finished run and its bundle, which all tests of bundles read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from isr.bundle.archive import write_bundle
from isr.bundle.gather import gather
from tests.runs import recorded_run


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded_run(tmp_path_factory.mktemp("bundle"), by=("editor",))


@pytest.fixture(scope="session")
def made(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "run.zip"
    write_bundle(gather(run), run / "isr.db", out, images=True)
    return out


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(made, tmp_path / "run.zip"))
