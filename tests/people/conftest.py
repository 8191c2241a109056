"""What the tests of people's labels share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runs import recorded_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded_run(tmp_path_factory.mktemp("labelling"), images=8, prompts=3)
