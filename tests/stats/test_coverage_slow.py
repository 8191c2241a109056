"""The quick coverage simulation against docs/coverage.md: a default that covers less than stated fails the build.

Every cell of the document is simulated again with a seed of its own and fewer runs. The test is one-sided and
exact (hypergeometric: given how many runs missed in both, how likely are so many of them in the new ones), so
that it carries the Monte-Carlo error of both sides; the family-wise error over all cells of a document is at
most ALPHA (Bonferroni). A failure therefore means a real loss of coverage.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import pytest
from scipy.special import bdtr
from scipy.stats import hypergeom

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "coverage.md"
ALPHA = 0.001
SEED = 7
RUNS = 4_000


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "isr_benchmark_coverage", ROOT / "benchmarks" / "coverage.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def quick(simulation: ModuleType) -> list:
    """The tables of ``--quick``, with a seed that is not the document's."""
    return simulation.make_all(2_000, SEED)


class Table(NamedTuple):
    """One table of the document: its runs a cell, its header and its rows of text."""

    runs: int
    header: list[str]
    rows: list[list[str]]


def tables(text: str) -> dict[str, Table]:
    found = {}
    for part in text.split("\n## ")[1:]:
        title, body = part.split("\n", 1)
        runs = re.search(r"^(\d+) runs a cell", body, re.MULTILINE)
        lines = [[c.strip() for c in x.strip("|").split("|")] for x in body.splitlines() if x.startswith("|")]
        found[title] = Table(int(runs.group(1)) if runs else 0, lines[0], lines[2:])
    return found


def coverage(cell: str) -> float:
    """The share of covered runs in a cell such as ``97.5 (0.068)``."""
    return float(cell.split()[0]) / 100


def lost(new: float, new_runs: int, stated: float, stated_runs: int) -> float:
    """Probability of so few covered new runs if coverage is what the document states (rounded to 0.1 %)."""
    missed = round((1 - new) * new_runs)
    before = round((1 - max(stated - 0.0005, 0.0)) * stated_runs)
    return float(hypergeom.sf(missed - 1, new_runs + stated_runs, missed + before, new_runs))


def too_low(covered: float, runs: int, floor: float, cells: int) -> bool:
    """Whether so few covered runs would be rarer than ALPHA / cells if the coverage were the floor."""
    return bool(bdtr(round(covered), runs, floor) < ALPHA / cells)


def test_the_checks_themselves_notice_a_loss() -> None:
    assert too_low(0.90 * RUNS, RUNS, 0.93, 12)
    assert not too_low(0.925 * RUNS, RUNS, 0.93, 12)
    assert lost(0.90, 500, 0.97, 4_000) < ALPHA / 500
    assert lost(0.93, 2_000, 0.957, 20_000) < ALPHA / 500
    assert lost(0.955, 500, 0.97, 4_000) > ALPHA / 500
    assert lost(1.0, 500, 0.97, 4_000) > 0.99


def test_the_document_is_that_of_the_committed_seed(simulation: ModuleType) -> None:
    """The endpoints by number of failures have no chance in them, and two cells are simulated again in full."""
    text = DOCUMENT.read_text("utf-8")
    assert "`python benchmarks/coverage.py --runs 20000 --seed 20251214`" in text
    stated = tables(text)
    stairs = simulation.staircase_section()
    assert stated[stairs.title].rows == stairs.rows
    designs = stated["One rate: number of images, unequal sizes, small rates"]
    for name, p, icc in (("40 x 5", 0.06, 0.6), ("40, sizes 1 to 15", 0.05, 0.6)):
        row = next(r for r in designs.rows if r[0] == name and float(r[1].strip("*")) == p)
        score = simulation.design_cell(name, p, icc, designs.runs, 20251214).score("default")
        assert row[designs.header.index(f"ICC {icc}")].split()[0] == f"{100 * score.coverage:.1f}"


@pytest.mark.proof
def test_no_cell_covers_less_than_the_document_states(quick: list) -> None:
    stated = tables(DOCUMENT.read_text("utf-8"))
    assert [part.title for part in quick] == list(stated)
    compared, found = 0, []
    for part in quick:
        table = stated[part.title]
        assert part.header == table.header
        for row, old in zip(part.rows, table.rows, strict=True):
            first = next((i for i, x in enumerate(row) if re.search(r"\(\d", x)), 1)
            names = row[:first]
            assert names == old[:first]
            for column in part.watched:
                at = part.header.index(column)
                tail = lost(coverage(row[at]), part.runs, coverage(old[at]), table.runs)
                compared += 1
                found.append((tail, part.title, names, column, row[at], old[at]))
    assert compared >= 400
    assert not [x for x in found if x[0] < ALPHA / compared]


@pytest.mark.proof
def test_default_interval_of_one_rate(simulation: ModuleType) -> None:
    """At least 93 % in all twelve cells of 40 x 5, the weak one (p = .05, ICC .6) included."""
    cells = simulation.default_cells(20_000, SEED)
    low = {
        cell: tally.score("default").coverage
        for cell, tally in cells.items()
        if too_low(tally.hit["default"], tally.runs["default"], 0.93, len(cells))
    }
    assert not low
    widths = {
        cell: tally.score("default").width / tally.score(simulation.PLAIN).width
        for cell, tally in cells.items()
    }
    assert max(widths.values()) <= 1.05
    assert np.mean(list(widths.values())) <= 1.015


@pytest.mark.proof
def test_default_is_not_wider_than_five_per_cent_in_any_cell(simulation: ModuleType) -> None:
    for cell, tally in simulation.default_cells(RUNS, SEED).items():
        own, plain = tally.score("default").width, tally.score(simulation.PLAIN).width
        assert own <= 1.05 * plain, cell


@pytest.mark.proof
@pytest.mark.parametrize(
    ("design", "p", "icc", "floor"),
    [
        # just above the limit at zero failures: what the document states as weakest
        ("40 x 5", 0.06, 0.6, 0.94),
        ("40 x 5", 0.06, 0.9, 0.90),
        ("60 x 5", 0.04, 0.9, 0.88),
        ("40 x 20", 0.055, 0.9, 0.88),
        ("40, sizes 2 to 8", 0.065, 0.6, 0.94),
        ("40, sizes 1 to 15", 0.12, 0.6, 0.92),
        ("40, sizes 1 to 15", 0.3, 0.6, 0.92),
        ("40 x 5", 0.07, 0.6, 0.93),
        ("40, sizes 2 to 8", 0.07, 0.6, 0.93),
        ("40 x 2", 0.07, 0.6, 0.93),
        ("40, sizes 2 to 8", 0.05, 0.6, 0.93),
        ("40, sizes 1 to 15", 0.05, 0.6, 0.93),
        ("40, sizes 1 to 15", 0.9, 0.6, 0.93),
        ("15 x 5", 0.05, 0.6, 0.93),
        ("100 x 5", 0.02, 0.6, 0.93),
    ],
)
def test_other_designs(simulation: ModuleType, design: str, p: float, icc: float, floor: float) -> None:
    tally = simulation.rate_cell(p, icc, simulation.DESIGNS[design], RUNS, (SEED, 2))
    assert not too_low(tally.hit["default"], RUNS, floor, 15), tally.score("default")


@pytest.mark.proof
@pytest.mark.parametrize("shape", [(40, 5), (40, 12), (40, 30), (15, 5)])
def test_prompts_as_a_sample(simulation: ModuleType, shape: tuple[int, int]) -> None:
    for p in (0.05, 0.5):
        tally = simulation.two_way_cell(p, 0.3, 0.3, *shape, RUNS, (SEED, 3))
        assert not too_low(tally.hit["image x prompt"], RUNS, 0.93, 8), tally.score("image x prompt")
        assert tally.score("image only").coverage < 0.93


@pytest.mark.proof
@pytest.mark.parametrize("design", ["random", "within verdict", "whole images", "external"])
def test_judge_correction(simulation: ModuleType, design: str) -> None:
    name = "Rogan-Gladen, Lee-adjusted (default)" if design == "external" else "post-stratified (default)"
    for p in simulation.RATES:
        for icc in simulation.ICCS:
            tally = simulation.correction_cell(design, p, icc, 100, 2_000, (SEED, 4))
            assert not too_low(tally.hit[name], tally.runs[name], 0.935, 48), (p, icc, tally.score(name))
    assert tally.score("judge as it is").coverage < 0.1  # p = .9: what the correction is for


@pytest.mark.proof
def test_differences(simulation: ModuleType) -> None:
    for rates in ((0.02, 0.02), (0.05, 0.1), (0.5, 0.7)):
        for images in (40, 12):
            tally = simulation.difference_cell(*rates, 0.8, images, 5, RUNS, (SEED, 5))
            assert not too_low(tally.hit["default"], RUNS, 0.94, 6), (rates, images)
    confirm = importlib.import_module("benchmarks.coverage_confirm")
    for judge in confirm.JUDGES:
        tally = confirm.corrected_difference_cell(0.5, 0.7, judge, 0.6, 80, RUNS, (SEED, 6))
        assert not too_low(tally.hit["PPI++ (default)"], RUNS, 0.935, 3), judge


@pytest.mark.proof
def test_quick_document_can_be_made(
    simulation: ModuleType, quick: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "coverage.md"
    monkeypatch.setattr(simulation, "make_all", lambda runs, seed, jobs: quick)
    assert simulation.main(["--quick", "--out", str(out)]) == 0
    text = out.read_text("utf-8")
    assert list(tables(text)) == list(tables(DOCUMENT.read_text("utf-8")))
    assert "nan" not in text


@pytest.mark.proof
def test_jackknife_and_simulation_use_no_global_state(simulation: ModuleType) -> None:
    state = np.random.get_state()[1].copy()  # type: ignore[index, union-attr]  # noqa: NPY002
    one = simulation.rate_cell(0.3, 0.3, simulation.EQUAL, 500, (1, 2))
    two = simulation.rate_cell(0.3, 0.3, simulation.EQUAL, 500, (1, 2))
    assert one.cells() == two.cells()
    assert (np.random.get_state()[1] == state).all()  # type: ignore[index]  # noqa: NPY002
