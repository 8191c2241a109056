"""Undecided edits: every output shows the bounds with the interval that holds whatever they are, at every share of them."""

from __future__ import annotations

import csv
import html
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import isr
from isr.cli import cli
from isr.scoring.frames import rows
from isr.tables import Cell, Line, Table
from tests.runs import recorded_run

IMAGES, PROMPTS = 20, 5


@pytest.fixture(scope="module", params=[2, 8])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, isr.Result]:
    """100 edits and 100 control edits of 20 images, of each 2 or 8 without an answer."""
    rng = np.random.default_rng(1)
    lost = {
        2 * arm + 4 * int(e) for arm in (0, 1) for e in rng.permutation(IMAGES * PROMPTS)[: request.param]
    }

    def say(number: int) -> dict[str, Any]:
        fails = rng.random() < 0.3
        verdict = "???" if number in lost else "fails" if fails else "fine"
        return {"reasoning": "seen", "score": 0 if fails else 4, "verdict": verdict}

    root = tmp_path_factory.mktemp("undecided")
    return (home := recorded_run(root, images=IMAGES, prompts=PROMPTS, say=say)), isr.Result.load(home)


def printed(*args: object) -> str:
    done = CliRunner().invoke(cli, list(map(str, args)), catch_exceptions=False)
    assert done.exit_code == 0
    return " ".join(done.output.split())


def test_every_output_shows_it(run: tuple[Path, isr.Result], tmp_path: Path) -> None:
    home, result = run
    few = result.treatments[0].headline == "value"
    e = result.treatments[0].estimates["isr"]
    assert e.is_open
    assert e.identified is not None
    low, high = (f"{100 * x:.1f}" for x in e.identified)
    a, b = (f"{100 * x:.1f}" for x in e.bounds or ())
    latex = printed("report", home, "--latex")
    own = f"{100 * (e.value or 0):.1f} [{100 * (e.low or 0):.1f}, {100 * (e.high or 0):.1f}]"
    assert (f"& {own} &" in latex) == few
    assert (
        f"({a} to {b} [{low}, {high}])" in latex
        if few
        else f"& between {a} and {b} [{low}, {high}] &" in latex
    )
    methods = printed("report", home, "--methods")
    assert f"between {a}% and {b}%" in methods
    assert f"interval {low}% to {high}%" in methods
    (row,) = [
        r for r in csv.DictReader(io.StringIO("\n".join(CliRunner().invoke(cli, ["report", str(home), "--csv"]).output.splitlines())))
        if r["estimate"] == "isr"
    ]  # fmt: skip
    assert (float(row["identified_low"]), float(row["identified_high"])) == e.identified
    text = printed(
        "score", home.parent / "edits", "--judge", home.parent / "recorded.toml", "--out", home, "--quiet"
    )
    n = f"{e.n} of {result.treatments[0].counts['edits']} decided"
    assert (f"{a}% to {b}% (95%: {low}% to {high}%)" in text) == few
    assert (
        f"ISR {a}% to {b}% {low}% to {high}% {n} {e.clusters}" in text
    ) != few  # in the place of the value
    assert ("BETWEEN" in text) != few
    assert (f"{a}% to {b}% {low}% to {high}%, n {n}" in text) != few  # the forest plot of the terminal
    printed("report", home, "--out", tmp_path / "r.html")
    page = html.unescape((tmp_path / "r.html").read_text("utf-8"))
    numbers = page[page.index('id="numbers"') : page.index('id="questions"')]
    if few:
        assert f"{a}% to {b}% ({low}% to {high}%)" in numbers
    else:
        assert f'<td class="num">{a}% to {b}%</td><td class="num">{low}% to {high}%</td>' in numbers
    lede = page[page.index('class="lede"') : page.index("<nav")]
    assert f"{low}% to {high}%" in lede
    plot = page[page.index('id="rates"') : page.index('id="numbers"')]
    assert 'class="span open"' in plot
    first = plot[plot.index('<tr class="isr') : plot.index("</tbody>")]
    assert ('class="dot"' in first.split("</tr>")[0]) == few
    assert ("band hollow" in first.split("</tr>")[0]) != few
    assert f"{low}% to {high}%" in first
    assert re.search(r"stroke-dasharray=.2 3.", page)  # the figure for the paper
    (frame,) = [r for r in rows(result) if r["arm"] == "protected" and r["estimate"] == "isr"]
    assert (frame["identified_low"], frame["identified_high"]) == e.identified
    shown = (
        f"{a}% to {b}% ({low}% to {high}%)"
        if few
        else f"<td>{a}% to {b}%</td><td>{low}% to {high}% (95%)</td>"
    )
    assert shown in re.sub("<td title=[^>]*>", "<td>", result._repr_html_())
    cell = Cell(e, "rate", headline=result.treatments[0].headline)
    table = Table(name="t", title="t", columns={"": "m", "a": "A"}, rows=(Line("x", {"a": cell}),))
    shown = table.text()
    assert f"{a} to {b} [{low}, {high}]" in shown if few else f"bounds [{low}, {high}]" in shown
    assert str(e.identified[0]) in table.csv()


def test_a_bundle_of_it_is_verified(run: tuple[Path, isr.Result], tmp_path: Path) -> None:
    assert "consistent" in printed("bundle", run[0], "--out", tmp_path / "b.zip") + printed(
        "verify", tmp_path / "b.zip"
    )
