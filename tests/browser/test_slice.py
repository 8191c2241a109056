"""The rates of a filtered set: the page computes what Python does, shows it for each method, and saves it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import pytest
from scipy.special import ndtri

from isr.report.page import write_report
from isr.report.runs import ReportRun, read_report_run
from isr.scoring.estimates import Frame, Rates, Settings
from isr.scoring.outcomes import Outcomes
from isr.text import rate as percent
from isr.types import Estimate, Unit
from tests.gallery_runs import FORMULA, LONG

pytestmark = pytest.mark.slow

METHODS = (*["logit-t"] * 5, "korn-graubard", "wilson", "clopper-pearson", "jeffreys")
CASES = 1500


def subset(rng: np.random.Generator) -> tuple[list[dict[str, Any]], Settings]:
    """Rows of a random part of images x prompts, equal and unequal images, all to none failing, some undecided."""
    method = str(rng.choice(METHODS))
    alone = method in ("wilson", "clopper-pearson", "jeffreys")
    settings = Settings(
        float(rng.choice([0.8, 0.9, 0.95, 0.99])),
        method,  # type: ignore[arg-type]
        "fixed" if alone else rng.choice(["fixed", "random"]),
        "edit-mean" if alone else rng.choice(["edit-mean", "image-mean"]),
        int(rng.choice([1, 2, 2, 2])),
    )
    images, prompts = int(rng.choice([1, 2, 3, 5, 8, 12, 30, 60])), int(rng.choice([1, 2, 4, 11]))
    kept = rng.choice([1.0, 0.7, 0.3])
    rate, undecided = rng.choice([0, 0.02, 0.1, 0.4, 0.8, 1]), rng.choice([0, 0, 0.03, 0.3])
    harder = rng.normal(0, 0.2, images) * (0 < rate < 1)
    rows = []
    for image in range(images):
        for prompt in range(prompts):
            if rng.random() < kept:
                fails = rng.random() < rate + harder[image]
                code = int(rng.choice([0, 2, 3])) if rng.random() < undecided else 4 + 3 * int(fails)
                rows.append({"image": f"i{image}", "prompt": f"p{prompt}", "code": code})
    return rows, settings


def by_python(rows: list[dict[str, Any]], settings: Settings) -> Estimate:
    code = np.array([r["code"] for r in rows], np.int64)
    low, high = (code & 1) > 0, (code & 2) > 0
    nothing = np.zeros(len(rows), np.bool_)
    found = Outcomes(
        decided=(code & 4) > 0, immunized_low=low, immunized_high=high, semantic_low=nothing, semantic_high=nothing,
        perceptual_low=nothing, perceptual_high=nothing, tied=nothing,
    )  # fmt: skip
    units = [Unit(r["image"], r["prompt"], "", "", "") for r in rows]
    return Rates(Frame.of_units(units, [False] * len(rows)), found, settings).of(low, high, noted=False)


def made(settings: Settings) -> dict[str, Any]:
    return {
        "level": settings.level,
        "z": -float(ndtri((1 - settings.level) / 2)),
        "interval": settings.interval,
        "prompts": settings.prompts,
        "estimand": settings.estimand,
        "rules": settings.rules,
        "correction": settings.correction,
        "until": None,
    }


def test_the_page_computes_the_interval_that_python_computes(browser: Any) -> None:
    rng = np.random.default_rng(21)
    cases = [subset(rng) for _ in range(CASES)]
    script = resources.files("isr.report").joinpath("static/script/rates.js").read_text("utf-8")
    page = browser.new_page()
    run = "([script, cases]) => { const rateOf = new Function(`${script}; return rateOf;`)(); return cases.map((c) => rateOf(...c)); }"
    found = page.evaluate(run, [script, [[rows, made(settings)] for rows, settings in cases]])
    page.close()
    kinds, worst = set(), 0.0
    for (rows, settings), got in zip(cases, found, strict=True):
        want = by_python(rows, settings)
        assert (got["n"], got["images"], got["of"]) == (want.n, want.clusters, len(rows))
        bounds = want.bounds if want.bounds and want.bounds[0] != want.bounds[1] else None
        pairs = [(got["value"], want.value), (got["low"], want.low), (got["high"], want.high)]
        for mine, theirs in ((got["bounds"], bounds), (got["identified"], want.identified)):
            assert (mine is None) == (theirs is None), (rows, settings)
            pairs += zip(mine or (), theirs or (), strict=True)
        for a, b in pairs:
            assert (a is None) == (b is None), (rows, settings, got, want)
            worst = max(worst, 0.0 if a is None or b is None else abs(a - b))
        assert got["low"] is not None or got["note"], "a missing interval has its reason"
        kinds.add((settings.interval, settings.prompts, settings.estimand, want.low is None, bounds is None))
    assert worst < 1e-6
    assert len(kinds) > 30  # every kind of interval, with and without one, with and without bounds


def test_where_an_interval_cannot_be_computed_there_is_none(browser: Any) -> None:
    script = resources.files("isr.report").joinpath("static/script/rates.js").read_text("utf-8")
    rows = [{"image": f"i{i}", "prompt": "p", "code": 4 + 3 * (i % 2)} for i in range(10)]
    page = browser.new_page()
    run = "([script, rows, made]) => new Function(`${script}; return rateOf;`)()(rows, made)"
    for other in ({"until": 0.1}, {"interval": "one of later"}):
        got = page.evaluate(run, [script, rows, made(Settings()) | other])
        assert (got["value"], got["n"], got["low"], got["note"]) == (0.5, 10, None, "no interval here")
    page.close()


def wanted(run: ReportRun, **where: str) -> list[tuple[str, Estimate, int]]:
    """The rates of some edits by method, and of the control edits of the same units."""
    rows = [r for r in run.rows if r["arm"] == "protected" and all(r[k] == v for k, v in where.items())]
    out = []
    for method in dict.fromkeys(r["method"] for r in rows):
        some = [r for r in rows if r["method"] == method]
        out.append((method, run.rate(some), len(some)))
    units = {tuple(r[c] for c in Unit._fields) for r in rows}
    controls = [r for r in run.controls if tuple(r[c] for c in Unit._fields) in units]
    return [*out, ("no protection (control edits)", run.rate(controls), len(controls))]


def shown(page: Any) -> list[list[str]]:
    cells = "[...document.querySelectorAll('#slice-rows tr')].map((r) => [...r.children].map((c) => c.textContent))"
    return [row for row in page.evaluate(cells) if len(row) > 1]


def test_a_slice_shows_the_rate_of_each_method_and_of_its_controls(
    many: Path, opened: Callable[..., Any], tmp_path: Path
) -> None:
    runs = [read_report_run(many / name) for name in ("single.isr", "panel.isr")]
    page = opened(
        (many / "report.html").as_uri() + "#editor=second+editor&in.kind=street", accept_downloads=True
    )
    page.wait_for_selector("html[data-ready]")
    expected = [e for run in runs for e in wanted(run, editor="second editor", kind="street")]
    lines = shown(page)
    assert len(lines) == len(expected) == 6
    ranges = 0
    for (method, rate, interval, decided, images), (name, e, of) in zip(lines, expected, strict=True):
        assert method.startswith(name)
        assert (decided, images) == (f"{e.n} of {of}", str(e.clusters))
        if of - e.n > 0.05 * of:
            ranges += 1
            assert e.bounds is not None
            assert e.identified is not None
            assert rate == " to ".join(map(percent, e.bounds))
            assert interval == " to ".join(map(percent, e.identified))
        else:
            assert rate == percent(e.value)
            assert interval.startswith(f"{percent(e.low)} to {percent(e.high)}")
    assert ranges == 3  # the panel's
    assert "chosen after looking is no test" in page.inner_text("#slice")
    assert page.is_hidden("#slice-chosen")

    with page.expect_download() as waiting:
        page.click("#save-rates")
    waiting.value.save_as(tmp_path / "rates.csv")
    saved = list(csv.DictReader(io.StringIO((tmp_path / "rates.csv").read_text("utf-8"), newline="")))
    for row, (_, e, of) in zip(saved, expected, strict=True):
        assert abs(float(row["value"]) - (e.value or 0)) < 1e-9
        assert abs(float(row["low"]) - (e.low or 0)) < 1e-9
        assert (row["n"], row["of"], row["images"]) == (str(e.n), str(of), str(e.clusters))
        assert row["interval"] == "logit-t, prompts fixed, edit-mean"
        assert row["shown"] == "editor=second+editor&in.kind=street"

    page.select_option("#f-outcome", "0")
    assert page.is_visible("#slice-chosen")  # chosen by what came out: its rate is none


def test_the_whole_set_has_the_results_own_rates(many: Path, opened: Callable[..., Any]) -> None:
    run = read_report_run(many / "single.isr")
    alone = write_report([run], many / "single.html")
    page = opened(alone.as_uri())
    page.wait_for_selector("html[data-ready]")
    assert not page.evaluate(
        "document.getElementById('slice').open"
    )  # the same numbers stand at the head of the page
    page.click("#slice summary")
    until_rows = shown(page)
    parts = [(t.treatment.method, t.estimates["isr"]) for t in run.result.treatments]
    assert run.result.control is not None
    parts.append(("no protection", run.result.control.estimates["control"]))
    assert len(until_rows) == len(parts)
    for (method, rate, interval, *_), (name, e) in zip(
        sorted(until_rows), sorted(parts, key=lambda p: p[0]), strict=True
    ):
        assert method.startswith(name)
        assert (rate, interval) == (percent(e.value), f"{percent(e.low)} to {percent(e.high)}")


def test_the_edits_shown_are_saved_whole_and_as_no_formula(
    many: Path, opened: Callable[..., Any], tmp_path: Path
) -> None:
    run = read_report_run(many / "single.isr")
    page = opened((many / "report.html").as_uri() + "#split=unseen", accept_downloads=True)
    page.wait_for_selector("html[data-ready]")
    with page.expect_download() as waiting:
        page.click("#save-edits")
    waiting.value.save_as(tmp_path / "edits.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "edits.csv").read_text("utf-8"), newline="")))
    source = {r["edit_id"]: r for r in run.rows if r["arm"] == "protected" and r["split"] == "unseen"}
    assert {r["edit_id"] for r in rows} == set(source)
    assert len(rows) == 36
    for row in rows:
        own = source[row["edit_id"]]
        assert parse_qs(row["address"].removeprefix("#")) == {"edit": [row["edit_id"]]}
        assert row["prompt"] == (f"'{FORMULA}" if own["prompt"] == FORMULA else own["prompt"])
        for column in (
            "image_id",
            "prompt_id",
            "editor",
            "seed",
            "purifier",
            "method",
            "eps",
            "split",
            "kind",
        ):
            assert row[column] == own[column], column
        assert row["outcome: single"] == own["outcome"].replace("_", " ")
        for question in ("semantic", "perceptual"):
            for part in ("", "_score", "_reasoning"):
                assert row[f"judge-single:{question}{part}"] == own[f"judge-single:{question}{part}"]
    assert sum(r["prompt"].startswith("'=") for r in rows) == 12
    assert LONG in {r["method"] for r in rows}
