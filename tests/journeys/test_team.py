"""The team that ships a protection: which method, against which attack, and with how many images that can be said."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.journeys.conftest import INIT, at

pytestmark = pytest.mark.slow


def test_a_method_is_chosen_or_the_images_that_it_would_take(study: Path, tmp_path: Path) -> None:
    shutil.copytree(study, tmp_path / "work")
    isr = at(tmp_path / "work")
    isr(*INIT)
    isr("qualify", "shapes-oracle", "edits/", "--images", 6, "--quiet")
    scored = isr("score", "edits/", "--judge", "shapes-oracle", "--quiet", "--no-report").stdout
    assert re.search(r"judge shapes-oracle: (fit|fit with reservations), \d+ of \d+ probes", scored)
    said = isr("compare", "edits.isr", "--choose").stdout
    found = json.loads(isr("compare", "edits.isr", "--choose", "--json").stdout)
    assert found["conclusion"]["best"] == ["ours"]
    assert found["conclusion"]["told_from"] == ["baseline"]
    assert "conclusion: ours is best, by verdicts: told from every other (baseline)" in said
    # with six units of each nothing can be told, and the number of images that it would take is said
    isr(
        "score", "edits/", "--judge", "shapes-oracle", "--limit", 12, "--out", "few", "--store", "edits.isr/isr.db", "--quiet", "--no-report"
    )  # fmt: skip
    few = json.loads(isr("compare", "few", "--choose", "--json").stdout)["conclusion"]
    assert few["told"] == []
    (needed,) = few["needed"]
    assert (needed["images"] or 0) > 6 or needed["reason"]
    assert "no method can be told from another with 6 images" in isr("compare", "few", "--choose").stdout
    plan = isr("plan", "--images", 12, "--prompts", 3, "--pilot", "edits.isr").stdout
    assert "percentage points" in plan
