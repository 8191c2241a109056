"""All numbers is all: every estimate of a result stands in the page with its n, and in the CSV; the lede, the lines, the judges."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import isr
from isr.report.forest import blocks, judges
from isr.report.lede import judged, lede
from isr.report.numbers import LABELS, numbers
from isr.report.page import Options, write_report
from isr.report.paper import estimates_csv
from isr.report.runs import ReportRun, named_runs, read_report_run
from isr.scoring.shown import shown
from isr.types import Estimate
from tests.runs import recorded_run


def say(number: int) -> dict[str, Any]:
    fails = number % 7 < 2
    return {"reasoning": "seen", "score": 0 if fails else 4, "verdict": "fails" if fails else "fine"}


def change(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        row["editor"] = ("painter", "brush")[int(row["prompt"][-1]) % 2]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("numbers")
    return recorded_run(
        root,
        images=6,
        prompts=4,
        say=say,
        change=change,
        methods=("alpha", "beta"),
        by=("editor",),
        repeats=3,
    )


@pytest.fixture(scope="module")
def run(home: Path) -> ReportRun:
    return read_report_run(home)


@pytest.fixture(scope="module")
def other(home: Path) -> ReportRun:
    """The same edits and answers under a judge of another model."""
    card = home.with_name("recorded.toml")
    isr.score(
        home.with_name("edits"), judge=str(card), sets=["model=other-7b"], out=home.with_name("other.isr")
    )
    return replace(read_report_run(home.with_name("other.isr")), name="other")


def estimates(value: Any, name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every estimate anywhere in a ``result.json``, with its key."""
    if isinstance(value, dict):
        if {"value", "low", "high", "n", "clusters"} <= value.keys():
            yield name, value
        else:
            for key, inner in value.items():
                yield from estimates(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from estimates(inner, name)


def rows_of(page: str) -> list[tuple[str, ...]]:
    section = page[page.index('id="numbers"') : page.index("</section>", page.index('id="numbers"'))]
    cells = re.compile(r"<t[hd][^>]*>(.*?)</t[hd]>", re.DOTALL)
    return [tuple(html.unescape(c.strip()) for c in cells.findall(row)) for row in section.split("<tr>")[1:]]


def test_every_estimate_of_the_result_stands_in_the_page_and_in_the_csv(
    run: ReportRun, tmp_path: Path
) -> None:
    raw = json.loads((run.folder / "result.json").read_text("utf-8"))
    found = list(estimates(raw))
    names = {name for name, _ in found}
    assert {
        "isr",
        "isr_worst",
        "uplift",
        "isr_conditional",
        "source_kept",
        "control_both",
        "not_unanimous",
        "alpha",
    } <= names
    page = write_report([run], tmp_path / "r.html", Options(assets="none")).read_text("utf-8")
    rows = rows_of(page)
    table = list(csv.DictReader(io.StringIO(estimates_csv([run]))))
    for name, e in found:
        bounds = None if e["bounds"] is None else tuple(e["bounds"])
        one = shown(name, Estimate(**{**e, "bounds": bounds, "notes": tuple(e["notes"]), "identified": None}))
        label = LABELS[name]
        same = [
            r
            for r in rows
            if r[0] == label
            and (
                r[1:3] == (one.value, one.span) and r[3] == str(e["n"])
                if e["value"] is not None
                else one.reason in r
            )
        ]
        assert same, (name, e)
        cells = [str(e[k] if e[k] is not None else "") for k in ("value", "n")]
        assert [r for r in table if r["estimate"] == name and [r["value"], r["n"]] == cells], name
    assert len(found) == len(table) == sum(len(list(t.every)) for t in numbers([run]))
    assert len([r for r in rows if r[0] in LABELS.values()]) == len(found)


def test_an_estimate_without_a_label_is_shown_by_its_name(run: ReportRun) -> None:
    first, *rest = run.result.treatments
    more = replace(first, estimates={**first.estimates, "isr_new": first.estimates["isr"]})
    table = numbers([replace(run, result=replace(run.result, treatments=(more, *rest)))])[0]
    assert [label for label, _ in table.lines][-1] == "isr_new"


def test_lines_are_methods_and_marks_are_judges(run: ReportRun, other: ReportRun, tmp_path: Path) -> None:
    runs = [run, other]
    by = judges(runs)
    assert [j.said for j in by] == [
        "recorded (the program replay)",
        "recorded+model=other-7b (other-7b, revision not pinned)",
    ]
    whole = blocks(runs)[0]
    assert [line.label for line in whole.lines] == ["alpha", "beta", "control edits"]
    assert [[row.series for row in line.rows] for line in whole.lines] == [[0, 1]] * 3
    for block in blocks(runs)[1:]:
        assert [row.series for row in block.rows] == [0, 1] * len(block.lines)
    page = write_report(runs, tmp_path / "r.html", Options(assets="none")).read_text("utf-8")
    plot = page[page.index('id="rates"') : page.index('id="comparison"')]
    for judge in by:
        assert f"judge {judge.said}" in plot
    assert plot.count("<circle") == plot.count("<path")  # each judge has a shape
    said = ["".join(p.words for p in sentence) for sentence in lede(whole, by)]
    assert len(said) == 3
    assert sum(s.startswith("Without protection") for s in said) == 1
    assert said[0].startswith("Under alpha ")
    assert " by recorded (" in said[0]
    assert judged(runs) == [f"Judge of {one.name}: {one.judged_by}." for one in runs]


def test_other_edits_under_the_same_name_are_no_marks_of_one_line(run: ReportRun, other: ReportRun) -> None:
    apart = replace(other, rows=[{**r, "edit_sha256": f"x{r['edit_sha256']}"} for r in other.rows])
    assert [line.label for line in blocks([run, apart])[0].lines] == [
        "alpha", "beta", "alpha [other]", "beta [other]", "control edits", "control edits [other]",
    ]  # fmt: skip


def test_the_same_control_of_several_runs_stands_once(tmp_path: Path) -> None:
    runs = []
    for name in ("ours", "theirs"):
        made = recorded_run(tmp_path / name, images=4, prompts=2, say=say, methods=(name,))
        runs.append(replace(read_report_run(made), name=name))
    whole = blocks(runs)[0]
    assert [(line.label, len(line.rows)) for line in whole.lines] == [
        ("ours", 1),
        ("theirs", 1),
        ("control edits", 1),
    ]
    said = ["".join(p.words for p in sentence) for sentence in lede(whole, judges(runs))]
    assert sum("Without protection" in s for s in said) == 1
    assert judged(runs) == [f"Judged by {runs[0].judged_by}."]
    assert [t.title for t in numbers(runs)][-1] == "ours, theirs: control edits (made without protection)"


def test_a_panels_members_are_marks_too(run: ReportRun) -> None:
    """A panel stands first, then each member alone."""
    rows = [
        r | {k.replace("recorded:", "second:"): v for k, v in r.items() if k.startswith("recorded:")}
        for r in run.rows
    ]
    second = {**run.result.judges[0], "name": "second"}
    panel = replace(
        run, rows=rows, result=replace(run.result, judges=(*run.result.judges, second), rule="strict")
    )
    assert [j.name for j in judges([panel])] == ["panel (strict)", "recorded", "second"]
    assert [row.series for row in blocks([panel])[0].lines[0].rows] == [0, 1, 2]
    assert named_runs([panel]) == [panel]
