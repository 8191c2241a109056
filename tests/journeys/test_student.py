"""The PhD student: from folders of pictures to the table, the figure and the sentences of a paper."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.browser.test_label import label_some, sign_in
from tests.journeys.conftest import INIT, MLLM, RUBRICS, at
from tests.web.servers import labelling

pytestmark = pytest.mark.slow
pytest.importorskip("torch", reason="needs isr-eval[transformers]")


def test_from_folders_to_a_comparison_in_latex(study: Path, tmp_path: Path) -> None:
    """The judge is the embedded MLLM through transformers; a first look takes a few images, the rest go on from its answers."""
    shutil.copytree(study, tmp_path / "work")
    isr = at(tmp_path / "work")
    assert "144 edits matched" in isr(*INIT).stdout
    assert "72 units with control, 2 treatments" in isr("validate", "edits/").stdout
    dry = isr("score", "edits/", "--judge", MLLM, *RUBRICS, "--dry-run").stdout
    assert dry.startswith("shapes-mllm (weights sha256:")
    scored = isr("score", "edits/", "--judge", MLLM, *RUBRICS, "--limit", 32).stdout
    assert "judge: shapes-mllm (weights sha256:" in scored
    compared = isr("compare", "edits.isr").stdout
    assert "ours" in compared
    table = isr("report", "edits.isr", "--latex").stdout
    assert table.count(r"\begin{tabular}") == 2  # the rates, and the difference with its interval, p and n
    assert "judged by shapes-mllm (weights sha256:" in table
    methods = isr("report", "edits.isr", "--methods").stdout
    for said in ("shapes-mllm (weights sha256:", "temperature 0", "Holm", "95%"):
        assert said in methods
    isr("report", "edits.isr", "--figures", "figures")
    for end in ("svg", "pdf", "png"):
        assert (tmp_path / "work" / "figures" / f"forest.{end}").stat().st_size > 5_000
    with Image.open(tmp_path / "work" / "figures" / "forest.png") as picture:
        dark = int((np.asarray(picture.convert("L")) < 128).sum())
        assert picture.width > 600
        assert dark > 500  # it is no blank page


def test_two_raters_label_in_a_browser_and_the_judge_is_held_against_each(
    study: Path, tmp_path: Path, opened: Callable[..., Any]
) -> None:
    shutil.copytree(study, tmp_path / "work")
    isr = at(tmp_path / "work")
    isr(*INIT)
    isr("score", "edits/", "--judge", "shapes-oracle", "--quiet", "--no-report")
    pressed: dict[str, dict[int, dict[str, str]]] = {"ann": {}, "ben": {}}
    with labelling(
        tmp_path / "work" / "edits", "--edits", "8", "--controls", "0", "--repeat", "0", "--attention", "2"
    ) as served:
        for number, (name, marks) in enumerate(pressed.items()):
            page = opened(served.address)
            sign_in(page, name)
            label_some(page, random.Random(number), 8 + 2, marks)
            assert page.evaluate("document.documentElement.dataset.finished") == "true"
    files = isr("label", "edits/", "--export").stdout
    assert "labels.csv" in files
    agreed = isr("agree", "--labels", "edits.labels/labels.csv", "--judge", "edits.isr").stdout
    assert "with each rater" in agreed
    assert "ann: percent" in agreed
    people = isr("score", "edits/", "--labels", "edits.labels/labels.csv").stdout
    assert "judge: people (2 raters, joined by majority" in people
    corrected = isr(
        "calibrate",
        "edits.isr",
        "--labels",
        "edits.labels/labels.csv",
        "--design",
        "random",
        "--json",
    ).stdout
    assert json.loads(corrected)["rates"]
