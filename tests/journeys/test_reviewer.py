"""The reviewer: a bundle verified, looked into, and judged again by another judge with another ISR."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import scroll_to, until
from tests.journeys.conftest import INIT, MLLM, RUBRICS, at

pytestmark = pytest.mark.slow
pytest.importorskip("torch", reason="needs isr-eval[transformers]")


@pytest.fixture(scope="module")
def bundle(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the author sends: one file, of a run by the oracle."""
    root = tmp_path_factory.mktemp("author") / "work"
    shutil.copytree(study, root)
    isr = at(root)
    isr(*INIT)
    isr("score", "edits/", "--judge", "shapes-oracle", "--limit", 24, "--quiet", "--no-report")
    isr("bundle", "edits.isr", "--images", "--out", "paper.zip")
    away = tmp_path_factory.mktemp("reviewer")
    shutil.move(root / "paper.zip", away)
    shutil.rmtree(root)  # the reviewer has the file, and nothing else
    return away / "paper.zip"


def test_it_is_verified_with_its_table(bundle: Path) -> None:
    said = at(bundle.parent)("verify", "paper.zip").stdout
    assert "paper.zip: consistent" in said
    assert re.search(r"ISR +\d+\.\d% ", said)
    assert "judge: shapes-oracle (the program shapes_oracle" in said


def test_it_is_looked_into(bundle: Path, opened: Callable[..., Any]) -> None:
    isr = at(bundle.parent)
    isr("report", "paper.zip", "--out", "look.html")
    page = opened((bundle.parent / "look.html").as_uri(), viewport={"width": 1280, "height": 900})
    scroll_to(page, "grid")
    until(page, "[...document.querySelectorAll('#grid img')].some((i) => i.complete && i.naturalWidth > 0)")
    sizes = page.evaluate(
        "[...document.querySelectorAll('#grid img')].filter((i) => i.complete).map((i) => i.naturalWidth)"
    )
    assert sizes
    assert min(sizes) > 0  # every picture of the bundle is there
    isr("unbundle", "paper.zip", "mine")
    assert "valid" in isr("validate", "mine").stdout
    assert "0 requests" in isr("score", "mine", "--judge", "shapes-oracle", "--limit", 24, "--dry-run").stdout


def test_another_judge_gives_another_rate_beside_the_authors(bundle: Path) -> None:
    isr = at(bundle.parent)
    said = isr("score", "paper.zip", "--judge", MLLM, *RUBRICS, "--quiet", "--no-report").stdout
    assert "BOTH JUDGES, on the same edits" in said
    for who in ("author's", "yours"):
        assert re.search(rf"{who} +\d+\.\d%", said)
    assert "shapes-oracle (the program shapes_oracle" in said
    assert "shapes-mllm (weights sha256:" in said
    assert "yours - author's:" in said
    rates = [float(r) for r in re.findall(r"(?:author's|yours) +(\d+\.\d)%", said)]
    assert len(rates) == 6  # two methods and the control edits, by both judges
    assert rates[::2] != rates[1::2]  # another judge, another ISR
    # asked again it asks nobody, and says the same
    again = json.loads(
        isr("score", "paper.zip", "--judge", MLLM, *RUBRICS, "--quiet", "--no-report", "--json").stdout
    )
    assert again["both"]["judges"]["yours"].startswith("shapes-mllm (weights sha256:")
