"""Above 5 % undecided no output shows the value of the decided edits as if it stood for all: each is scanned for it."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import isr
from isr.cli import cli
from isr.report.comparison import compared
from isr.report.forest import blocks, text_forest
from isr.report.page import Options, write_report
from isr.report.paper import estimates_csv, latex, methods
from isr.report.runs import ReportRun, read_report_run
from isr.scoring.result import Part
from isr.scoring.shown import Shown, shown_in
from isr.scoring.text import render
from tests.runs import recorded_run

IMAGES, PROMPTS = 14, 6


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ReportRun:
    """Two methods in two editors, and control edits, each with a good tenth of undecided edits; groups were asked for."""
    rng = np.random.default_rng(11)

    def say(number: int) -> dict[str, Any]:
        fails = rng.random() < 0.31
        verdict = "???" if rng.random() < 0.09 else "fails" if fails else "fine"
        return {"reasoning": "seen", "score": 0 if fails else 4, "verdict": verdict}

    def change(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            row["editor"] = ("painter", "brush")[int(row["prompt"][-1]) % 2]
            row["eps"] = 0.03 if row["method"] == "alpha" else 0.06
            row["method"] = "sifm"

    root = tmp_path_factory.mktemp("rule")
    home = recorded_run(
        root,
        images=IMAGES,
        prompts=PROMPTS,
        say=say,
        change=change,
        methods=("alpha", "beta"),
        by=("editor",),
    )
    return read_report_run(home)


def every(run: ReportRun) -> Iterator[tuple[Part, Shown]]:
    whole = [*run.result.treatments, *([run.result.control] if run.result.control else [])]
    for part in (p for w in whole for p in (w, *w.groups)):
        yield from ((part, one) for one in shown_in(run.result, part).values())


def spelt(one: Shown, value: float) -> set[str]:
    """A number in the spellings of all outputs, without units."""
    if one.name in ("uplift", "difference"):
        return {f"{100 * value:+.1f}", f"{100 * value:+.1f}".replace("-", "−")}
    return {f"{value:.2f}"} if one.name == "source_kept" else {f"{100 * value:.1f}"}


@pytest.fixture(scope="module")
def forbidden(run: ReportRun) -> set[str]:
    """Values of decided edits that must not be printed, but for those that are also a bound or an end of an interval somewhere."""
    found = [one for _, one in every(run)]
    found += [f.shown(row) for f in compared([run]) for row in f.rows]
    ranges = [one for one in found if one.is_range]
    assert {
        "isr",
        "control",
        "isr_semantic",
        "isr_perceptual",
        "isr_both",
        "uplift",
        "difference",
        "source_kept",
    } <= {r.name for r in ranges}
    shown = set()
    for one in found:
        for value in (*(one.ends or ()), *(one.interval or ()), *([] if one.point is None else [one.point])):
            shown |= spelt(one, value)
    for choice in isr.compare(
        run.folder, choose=True
    ).choices:  # the same bounds, with intervals that hold together
        for left in choice.open.values():
            shown |= {f"{100 * x:.1f}" for x in (*left.bounds, *(left.identified or ()))}
    values = {s for one in ranges if one.estimate.value is not None for s in spelt(one, one.estimate.value)}
    left = values - shown
    control = run.result.control
    assert control is not None
    rates = [
        {f"{100 * (t.estimates['isr'].value or 0):.1f}" for t in run.result.treatments},
        {f"{100 * (control.estimates['control'].value or 0):.1f}"},
    ]
    assert all(some & left for some in rates), rates  # the two that matter most are looked for
    return left


def assert_none(text: str, forbidden: set[str], where: str) -> None:
    numbers = set(re.findall(r"(?<![\d.])[+\-−]?\d+\.\d+(?![\d.])", text))
    assert not numbers & forbidden, (where, sorted(numbers & forbidden))


def test_most_is_a_range(run: ReportRun) -> None:
    assert all(part.headline == "bounds" for part, _ in every(run) if not part.by)
    e = run.result.treatments[0].estimates["isr"]
    assert (
        shown_in(run.result, run.result.treatments[0])["isr"].size == f"{e.n} of {IMAGES * PROMPTS} decided"
    )


def test_page_and_its_figures(run: ReportRun, forbidden: set[str], tmp_path: Path) -> None:
    page = write_report([run], tmp_path / "r.html", Options(assets="none")).read_text("utf-8")
    downloads = re.search(r'id="downloads">([^<]*)<', page)
    assert downloads is not None
    figures = json.loads(downloads[1])
    assert {"forest", "budget-1", "transfer"} <= figures.keys()
    for name in ("forest", "budget-1"):
        assert_none(re.sub(r"<title>|[a-z-]+='[^']*'", " ", figures[name]["svg"]), forbidden, name)
    assert figures["forest"]["svg"].count("<circle") == sum(
        row.shown.kind == "point" for b in blocks([run]) for row in b.rows
    )
    body = re.sub(r"<script.*?</script>|<style.*?</style>", " ", page, flags=re.DOTALL)
    body = re.sub(r'(?:[xy][12]?|width|height|cx|d|r|points|transform|viewBox)=["\'][^"\']*["\']', " ", body)
    assert_none(
        html.unescape(re.sub(r"<details><summary>Identity.*?</details>", " ", body, flags=re.DOTALL)),
        forbidden,
        "page",
    )
    plot = page[page.index('id="rates"') : page.index("</section>", page.index('id="rates"'))]
    ranges = sum(row.shown.is_range for block in blocks([run]) for row in block.rows)
    points = sum(row.shown.kind == "point" for block in blocks([run]) for row in block.rows)
    assert plot.count("band hollow") == ranges > 4
    assert plot.count('class="dot"') == points


def test_texts(run: ReportRun, forbidden: set[str]) -> None:
    texts = {
        "latex": latex([run], compared([run])),
        "methods": " ".join(methods([run], compared([run]))),
        "terminal": render(run.result, run.answered),
        "text forest": text_forest(run.result),
        "repr": repr(run.result) + repr(run.result.treatments[0]),
        "notebook": html.unescape(re.sub(r' title="[^"]*"', "", run.result._repr_html_())),
    }
    for name, text in texts.items():
        assert_none(re.sub(r"signature: .*|Signature: \S+|sha256:\w+|isr=\S+", " ", text), forbidden, name)
        low, high = (f"{100 * x:.1f}" for x in run.result.treatments[0].estimates["isr"].bounds or ())
        assert low in text, name
        assert high in text, name


@pytest.mark.parametrize("arguments", [(), ("--choose",), ("--latex",), ("--by", "editor")])
def test_compare(run: ReportRun, forbidden: set[str], arguments: tuple[str, ...]) -> None:
    done = CliRunner().invoke(cli, ["compare", str(run.folder), *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    text = re.sub(r"signature: .*|^% isr=.*|% family.*", " ", done.stdout, flags=re.MULTILINE)
    assert_none(text, forbidden, " ".join(arguments))


def test_csv_says_how_each_number_is_shown(run: ReportRun) -> None:
    rows = list(csv.DictReader(io.StringIO(estimates_csv([run], compared([run])))))
    found = {(r["part"], r["estimate"]): r for r in rows}
    assert len(found) == len(rows) == len(list(every(run))) + 1
    kinds = sorted(one.kind for _, one in every(run)) + [
        f.shown(row).kind for f in compared([run]) for row in f.rows
    ]
    assert sorted(r["shown"] for r in rows) == sorted(kinds)
    e = run.result.treatments[0].estimates["isr"]
    first = next(r for r in rows if r["estimate"] == "isr")
    assert (first["shown"], float(first["value"])) == ("range", e.value)  # the numbers stay


def test_figures_for_a_paper(run: ReportRun, forbidden: set[str]) -> None:
    pytest.importorskip("matplotlib", reason="figures are drawn by matplotlib (extra: figures)")
    from isr.report.plots import budget, comparison, forest
    from isr.report.plots.canvas import settings

    with settings():
        for draw in (forest.draw, budget.draw, comparison.draw):
            drawn = draw([run])
            texts = [t.get_text() for t in drawn.figure.texts] + [drawn.caption]
            assert_none(re.sub(r"Signatures?: .*", " ", " ".join(texts)), forbidden, draw.__module__)
            assert [
                x for axes in drawn.figure.axes for x in axes.get_lines() if x.get_label() == "value"
            ] == []
            assert "ollow" in drawn.caption


def test_runs_are_listed_with_bounds(run: ReportRun, forbidden: set[str]) -> None:
    done = CliRunner().invoke(cli, ["runs", str(run.folder)], catch_exceptions=False)
    assert "ISR between" in done.stdout
    assert_none(re.sub(r"/\S+|\S+T\S+", " ", done.stdout), forbidden, "runs")


def test_the_result_holds_what_it_held(run: ReportRun) -> None:
    """Numbers stay in ``result.json`` and in the tables of data."""
    e = isr.Result.load(run.folder).treatments[0].estimates["isr"]
    assert e.value is not None
    assert any(row["value"] == e.value for row in run.result.to_dicts())
