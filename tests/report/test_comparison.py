"""Methods compared in a report: page, LaTeX, CSV and methods text, by the one comparison that `isr compare` prints."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import isr
from isr.cli import cli
from isr.errors import UsageError
from isr.report.comparison import MOST_PAIRS, Compared, compared
from isr.report.comparison_paper import latex_pairs
from isr.report.names import pair_names
from isr.report.page import Options, write_report
from isr.report.paper import estimates_csv, latex, methods
from isr.report.runs import ReportRun, read_report_run
from tests.runs import recorded_run

IMAGES, PROMPTS = 6, 2


def say(number: int) -> dict[str, Any]:
    """Requests of an edit: two questions; the second method is immunized where the first is, but for every third unit."""
    fails = number % 5 < 2
    return {"reasoning": "seen", "score": 0 if fails else 4, "verdict": "fails" if fails else "fine"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ReportRun:
    """Two methods in one run."""
    root = tmp_path_factory.mktemp("pair")
    return read_report_run(
        recorded_run(root, images=IMAGES, prompts=PROMPTS, say=say, methods=("sifm", "noise"))
    )


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> list[ReportRun]:
    """The same judge on one method, and on another whose edits are of the same units."""
    found = []
    for name in ("ours", "theirs"):
        root = tmp_path_factory.mktemp(name)
        home = recorded_run(root, images=IMAGES, prompts=PROMPTS, say=say, methods=(name,))
        found.append(replace(read_report_run(home), name=name))
    return found


def outcomes(run: ReportRun, method: str) -> dict[tuple[str, str], bool]:
    return {
        (r["image_id"], r["prompt_id"]): r["outcome"] == "immunized"
        for r in run.rows
        if r["arm"] == "protected" and r["method"] == method
    }


def test_every_output_has_the_pair_as_compare_has_it(run: ReportRun, tmp_path: Path) -> None:
    (one,) = isr.compare(run.folder).family
    first, second = outcomes(run, one.first), outcomes(run, one.second)
    won, lost = (sum(a[u] and not b[u] for u in a) for a, b in ((first, second), (second, first)))
    n = IMAGES * PROMPTS
    d = one.difference
    assert d.value == pytest.approx((won - lost) / n)  # +1 where only the first, -1 where only the second
    found = compared([run])
    ((row,),) = (f.rows for f in found)
    assert (row.found, row.wins, row.losses) == (one, won, lost)

    (line,) = [r for r in csv.DictReader(io.StringIO(estimates_csv([run], found))) if r["estimate"] == "difference"]  # fmt: skip
    assert line["part"] == f"{one.first} - {one.second}"
    assert [float(line[k]) for k in ("value", "low", "high", "p", "p_holm")] == [
        d.value, d.low, d.high, one.p_value, one.p_holm,
    ]  # fmt: skip
    assert [int(line[k]) for k in ("n", "images", "wins", "losses")] == [n, IMAGES, won, lost]
    assert list(line)[-4:] == ["p", "p_holm", "wins", "losses"]

    low, value, high = (f"{100 * x:+.1f}" for x in (d.low or 0, d.value or 0, d.high or 0))
    (tabular,) = [r for r in latex([run], found).splitlines() if f"{one.first} $-$ {one.second}" in r]
    assert f"${value}$ [${low}$, ${high}$] & {n} & {IMAGES} & {won} & {lost} &" in tabular
    sentence = methods([run], found)[-1]
    assert f"{one.first} minus {one.second}: {value} pp ({low} to {high} pp; p = " in sentence
    assert f"n = {n} units of {IMAGES} images, {won} won and {lost} lost" in sentence
    assert "sign-flip tests of whole images" in sentence
    assert "Holm's method over a family of 1 comparison" in sentence

    page = write_report([run], tmp_path / "r.html", Options(assets="none")).read_text("utf-8")
    section = page[page.index('id="comparison"') : page.index('id="numbers"')]
    assert f"{one.first} − {one.second}" in section
    assert f"{low} to {high} pp" in section
    assert section.count('class="dot"') == 1


def test_compare_prints_the_same_table(run: ReportRun) -> None:
    done = CliRunner().invoke(cli, ["compare", str(run.folder), "--latex"], catch_exceptions=False)
    assert done.stdout == latex([run], compared([run])).partition("}\n\n")[2]
    with pytest.raises(UsageError, match="found both"):
        CliRunner().invoke(cli, ["compare", str(run.folder), "--latex", "--json"], catch_exceptions=False)


def test_the_mark_stands_where_the_axis_says() -> None:
    found = Compared()
    assert (found.reach, found.at(0.0), found.at(-found.reach), found.at(found.reach)) == (0.05, 0.5, 0, 1)
    assert [found.tick(x) for x in (-1, -0.5, 0, 1)] == ["-5", "-2.5", "0", "+5"]


def test_one_method_has_no_comparison(alone: list[ReportRun], tmp_path: Path) -> None:
    assert compared(alone[:1]) == ()
    assert latex(alone[:1]).count(r"\begin{tabular}") == 1
    assert 'id="comparison"' not in write_report(alone[:1], tmp_path / "r.html").read_text("utf-8")


def test_several_runs_are_one_family_and_the_same_control_is_one_row(alone: list[ReportRun]) -> None:
    assert [row.first for f in compared(alone) for row in f.rows] == ["ours"]
    table = latex(alone)
    verdicts = {tuple((r["edit_sha256"], r["outcome"]) for r in run.controls) for run in alone}
    assert len(verdicts) == 1  # the same pixels, judged the same
    assert table.count("control (no protection)") == 1
    assert "all & control (no protection) &" in table
    assert estimates_csv(alone).count("control (no protection),control,") == 2
    rows = [{**r, "edit_sha256": f"x{r['edit_sha256']}"} for r in alone[1].rows]
    assert latex([alone[0], replace(alone[1], rows=rows)]).count("control (no protection)") == 2


def test_what_several_runs_share_is_said_once(alone: list[ReportRun]) -> None:
    common, ours, theirs, pairs = methods(alone, compared(alone))
    assert common.count("We report the Immunization Success Rate") == 1
    assert ours.startswith("ours: ours, eps 0.03: ")
    assert theirs.startswith("theirs: theirs, eps 0.03: ")
    for words in ("We report", "Edits were judged", "We give 95%", "The intervals speak", "Edits without"):
        assert words not in ours + theirs + pairs
    # every sentence of a run's own paragraph is somewhere, but for the one that joins interval and size
    for run in alone:
        (whole,) = methods([run])
        for sentence in re.split(r"(?<=\.) (?=[A-Z])", whole):
            assert sentence in common + ours + theirs or sentence.startswith("We give 95%")


def test_equal_names_of_two_runs_are_told_apart(run: ReportRun) -> None:
    names = pair_names([run, replace(run, name="again")])
    assert sorted(n for some in names for n in some.values()) == [
        "noise [again]", "noise [edits]", "sifm [again]", "sifm [edits]",
    ]  # fmt: skip


def test_a_studys_own_names_stand_for_methods_and_the_full_ones_beneath(run: ReportRun) -> None:
    called = replace(run, called={t: "checker" for t in run.treatments if t.method == "sifm"})
    table = latex([called], compared([called]))
    assert "\nchecker & " in table
    assert "checker $-$" in table or "$-$ checker" in table
    assert r"\footnotesize noise: eps 0.03; checker: sifm, eps 0.03.}" in table
    assert "checker (sifm, eps 0.03): " in methods([called])[0]


def test_what_cannot_be_compared_says_why_and_the_report_is_written(
    run: ReportRun, alone: list[ReportRun], tmp_path: Path
) -> None:
    def by(one: ReportRun, old: str, new: str) -> ReportRun:
        signature = one.result.signature.replace(old, new)
        changed = replace(one, result=replace(one.result, signature=signature))
        changed.__dict__["finished"] = replace(one.finished, signature=changed.result.signature)
        return changed

    other = by(alone[1], "rule=single", "rule=all")
    (reason,) = compared([alone[0], other])
    assert "not scored alike (they differ in rule)" in reason.reason
    stopped = by(run, "|level=", "|until=half-width:0.1|level=")
    (reason,) = compared([stopped])
    assert "expected a fixed number of images" in reason.reason
    (reason,) = compared(
        [alone[0], by(alone[1], "interval=logit-t", "until=half-width:0.1|interval=betting")]
    )
    assert "theirs stops by half-width:0.1" in reason.reason
    moved = replace(
        alone[1].finished,
        treatments={
            t: {u._replace(image_id=f"other-{u.image_id}"): r for u, r in rows.items()}
            for t, rows in alone[1].finished.treatments.items()
        },
    )
    apart = replace(alone[1])
    apart.__dict__["finished"] = moved
    (reason,) = compared([alone[0], apart])
    assert "no unit that two contenders share" in reason.reason
    assert latex_pairs(reason).startswith("% no comparison: expected edits of the same units")
    assert methods([alone[0], apart], [reason])[-1].startswith("Methods are not compared: expected edits")
    page = write_report([alone[0], apart], tmp_path / "r.html", Options(assets="none"))
    assert "Not compared: expected edits of the same units" in page.read_text("utf-8")


def test_more_pairs_than_fit_are_not_made(alone: list[ReportRun]) -> None:
    many = [replace(alone[0], name=str(i)) for i in range(17)]
    (found,) = compared(many)
    assert MOST_PAIRS < 17 * 16 // 2
    assert "17 methods make 136 pairs" in found.reason


def test_two_judges_are_two_families_under_plain_names(run: ReportRun) -> None:
    """Names need no run where each family is of one."""
    signature = run.result.signature.replace("rule=single", "rule=all")
    other = replace(run, name="again", result=replace(run.result, signature=signature))
    other.__dict__["finished"] = replace(run.finished, signature=signature)
    found = compared([run, other])
    assert [f.runs for f in found] == ["edits", "again", ""]
    assert [{f.rows[0].first, f.rows[0].second} for f in found[:2]] == [{"sifm", "noise"}] * 2
    assert "they differ in rule" in found[2].reason
    assert "edits and again were not scored alike" in methods([run, other], found)[-1]
