"""One checkpoint, three ways of running it: the verdicts are the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.backend_parity import CARDS, agree, compare
from tests.local_judges import free_port

EDITS = 200


@pytest.mark.usefixtures("environment")
def test_backends_give_the_same_verdicts(tmp_path: Path) -> None:
    said = compare(tmp_path, EDITS, free_port())
    assert set(said) == set(CARDS)
    first, *others = said.values()
    assert len(first) == 2 * EDITS
    assert {s.verdict for s in first.values()} == {"fails", "fine"}  # all decided, and not by a constant
    for other in others:
        assert agree(first, other)
