"""Figures for a paper: marks stand where the numbers say, the same runs give the same bytes, what cannot be drawn is told."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import isr
from isr.cli import cli
from isr.errors import MissingExtraError
from isr.report.forest import Row
from isr.report.plots import agreement, budget, comparison, decomposition, distortion, forest
from isr.report.plots.canvas import NoFigure, fitted, rendered, settings, text_width
from isr.report.plots.captions import sizes
from isr.report.plots.curves import budget as curve_budget
from isr.report.plots.curves import series_of
from isr.report.plots.instruments import Labels, instruments
from isr.report.plots.intervals import MOST_ROWS, Line, Mark, interval_figure, percent_axis
from isr.report.plots.writing import FIGURES, write_figures
from isr.report.runs import ReportRun, read_report_run, spelt
from isr.scoring.finished import EditRow, FinishedRun
from isr.scoring.shown import shown as shown_as
from isr.types import Estimate, Treatment, Unit
from tests.runs import recorded_run

pytest.importorskip("matplotlib", reason="figures are drawn by matplotlib (extra: figures)")
IMAGES, PROMPTS = 6, 2


@pytest.fixture(autouse=True)
def _settings() -> Iterator[None]:
    with settings():
        yield


def say(number: int) -> dict[str, Any]:
    fails = number % 5 < 2
    return {"reasoning": "seen", "score": 0 if fails else 4, "verdict": "fails" if fails else "fine"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A method with two budgets and one with a single one; protected pictures of the first."""
    root = tmp_path_factory.mktemp("figures")

    def change(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            method = row["method"]
            if method == "stronger":
                row |= {"method": "sifm", "eps": 0.0627}
            if method == "sifm":
                row["eps"] = 0.0314
                seed = int(row["image_id"][-1])
                row["protected_file_name"] = f"edits/protected-{seed}.png"
                pixels = np.asarray(Image.open(root / "edits" / row["source_file_name"])).astype(int)
                near = np.clip(pixels + 2 + seed, 0, 255).astype(np.uint8)
                Image.fromarray(near).save(root / "edits" / row["protected_file_name"])

    return recorded_run(
        root, images=IMAGES, prompts=PROMPTS, say=say, methods=("sifm", "stronger", "noise"), change=change
    )


@pytest.fixture(scope="module")
def run(home: Path) -> ReportRun:
    return read_report_run(home)


@pytest.fixture(scope="module")
def other(home: Path) -> ReportRun:
    """The same edits and answers under a judge of another model."""
    edits, card = home.with_name("edits"), home.with_name("recorded.toml")
    isr.score(edits, judge=str(card), sets=["model=other"], out=home.with_name("other.isr"))
    return replace(read_report_run(home.with_name("other.isr")), name="other")


@pytest.fixture(scope="module")
def labels(home: Path, run: ReportRun) -> Path:
    """Two raters: ``one`` says what the judge says but for every fourth edit, ``two`` but for every third."""
    file = home.with_name("people.csv")
    with file.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(("edit_id", "rater", "image_id", "semantic", "perceptual", "guideline"))
        for n, row in enumerate(r for r in run.rows if r["arm"] == "protected"):
            for rater, every in (("one", 4), ("two", 3)):
                said = [row[f"recorded:{q}"] for q in ("semantic", "perceptual")]
                if n % every == 0:
                    said = ["fine" if v == "fails" else "fails" for v in said]
                writer.writerow((row["edit_id"], rater, row["image_id"], *said, "g"))
    return file


def share(run: ReportRun, method: str, eps: str = "") -> float:
    """Percent of the edits of a method that are immunized."""
    rows = [r for r in run.rows if r["arm"] == "protected" and r["method"] == method and eps in r["eps"]]
    return 100 * sum(r["outcome"] == "immunized" for r in rows) / len(rows)


def marks(axes: Any, kind: str = "value") -> list[list[tuple[float, float]]]:
    """The points of every line that is one of the kind, in data units."""
    found = [line for line in axes.get_lines() if line.get_label() == kind]
    return [[(float(x), float(y)) for x, y in zip(*line.get_data(), strict=True)] for line in found]


def words(figure: Any) -> list[str]:
    return [t.get_text() for t in figure.texts]


def test_the_forest_has_every_treatment_and_the_control_edits(run: ReportRun) -> None:
    drawn = forest.draw([run])
    (axes,) = drawn.figure.axes
    treatments = [p.treatment for p in run.result.treatments]
    expected = [share(run, t.method, t.eps) for t in treatments]
    control = [r["outcome"] == "immunized" for r in run.controls]
    expected.append(100 * sum(control) / len(control))
    assert [x for ((x, _),) in marks(axes)] == pytest.approx(expected)
    e = run.result.treatments[0].estimates["isr"]
    assert [x for x, _ in marks(axes, "interval")[0]] == [100 * (e.low or 0), 100 * (e.high or 0)]
    heights = [y for ((_, y),) in marks(axes)]
    assert heights == sorted(heights)  # rows from top to bottom; the y axis grows downwards
    assert axes.get_ylim()[0] > axes.get_ylim()[1] == 0
    assert axes.get_xlim() == (0, 100)
    assert words(drawn.figure)[1:] == [
        w
        for name, x in zip(("noise, eps 0.03", "sifm, eps 8/255", "sifm, eps 16/255", "control edits"), expected, strict=True)
        for w in (name, next(t for t in words(drawn.figure) if t.startswith(f"{x:.1f} [")))
    ]  # fmt: skip
    for part in ("Judged by recorded", "95% logit-t intervals", f"n = {IMAGES * PROMPTS} edits of {IMAGES} images in each row", run.result.signature):  # fmt: skip
        assert part in drawn.caption


def test_several_judges_are_marks_of_one_row(run: ReportRun, other: ReportRun) -> None:
    held = instruments([run, other])
    assert [one.runs for one in held] == [(0,), (1,)]
    assert len({one.name for one in held}) == 2  # both cards are called `recorded`
    figure = forest.draw([run, other]).figure
    (axes,) = figure.axes
    one, two = marks(axes)[:2]
    assert one[0][0] == two[0][0]  # the same answers
    assert 0.1 < two[0][1] - one[0][1] < 0.15  # inches: beside each other in one row
    assert sum(w.startswith("noise") for w in words(figure)) == 1
    assert [w for w in words(figure) if w.startswith("recorded")] == [one.name for one in held]


def test_a_caption_says_n_once_by_name_or_as_a_range() -> None:
    assert sizes([("a", 9, 3), ("b", 9, 3)]) == "n = 9 edits of 3 images in each row."
    assert (
        sizes([("a", 9, 3), ("b", 8, 3), ("c", 9, 3)])
        == "n = 9 edits of 3 images (a; c) and 8 edits of 3 images (b)."
    )
    assert sizes([("a", 9, 3), ("a", 8, 2)]) == "n = 8 to 9 edits of 2 to 3 images."
    assert sizes((f"{i}", 10 + i, 3) for i in range(9)) == "n = 10 to 18 edits of 3 images."


def test_a_run_stands_behind_a_name_that_two_runs_of_one_judge_have(run: ReportRun) -> None:
    again = replace(run, name="again", rows=run.rows[1:])
    runs = [replace(run, name="first"), again]
    named = Labels(runs, instruments(runs))
    treatment = run.result.treatments[0].treatment
    assert [named.of(i, treatment) for i in (0, 1)] == ["noise, eps 0.03 [first]", "noise, eps 0.03 [again]"]
    assert [named.controls(i) for i in (0, 1)] == ["control edits"] * 2  # the same pixels and verdicts
    changed = replace(run, rows=[{**r, "edit_sha256": "sha256:other"} for r in run.rows])
    runs = [run, run, changed]
    named, name = Labels(runs, instruments(runs)), run.name
    assert [named.controls(i) for i in range(3)] == [
        *[f"control edits [{name}, 1, {name}, 2]"] * 2, f"control edits [{name}, 3]",
    ]  # fmt: skip


def test_runs_with_one_budget_each_make_one_series(run: ReportRun) -> None:
    """And two runs that have the same budget two."""
    first, weak, strong = run.result.treatments
    parts = [
        replace(run, name=n, result=replace(run.result, treatments=(p,)))
        for n, p in (("a", weak), ("b", strong))
    ]
    (series,) = series_of(parts)
    assert (series.label, series.budgets) == ("sifm", [0.0314, 0.0627])
    assert [s.label for s in series_of([parts[0], replace(parts[0], name="c")])] == ["sifm [a]", "sifm [c]"]
    assert [s.label for s in series_of([run])] == ["noise", "sifm"]
    assert first.treatment.method == "noise"


@pytest.mark.parametrize(("eps", "value"), [("0.03", 0.03), ("8/255", None), ("nan", None), ("1e308", None), ("-1", None), ("", None)])  # fmt: skip
def test_a_budget_is_a_number_that_pictures_can_have(eps: str, value: float | None) -> None:
    assert curve_budget(Treatment("m", "", eps, "")) == value


RATE = Estimate(
    value=0.5,
    low=0.4,
    high=0.6,
    level=0.95,
    method="",
    n=9,
    clusters=3,
    bounds=(0.4, 0.7),
    identified=(0.3, 0.8),
)
ROW = Row(kind="isr", label="", shown=shown_as("isr", RATE))
OPEN = Row(kind="isr", label="", shown=shown_as("isr", RATE, "bounds"))


def test_bounds_take_the_place_of_the_interval_where_they_are_the_headline() -> None:
    """As the page's rule is: the band is hollow then, and neither the value nor its own interval is drawn."""
    shown = forest.mark(ROW)
    assert (shown.value, shown.interval, shown.outer, shown.band, shown.hollow) == (
        50, (40, 60), (30, 80), (40, 70), False,
    )  # fmt: skip
    shown = forest.mark(OPEN)
    assert (shown.value, shown.interval, shown.outer, shown.band, shown.hollow) == (
        None, None, (30, 80), (40, 70), True,
    )  # fmt: skip
    assert forest.said(ROW) == "50.0 [40.0, 60.0]"
    assert forest.said(OPEN) == "40.0 to 70.0 [30.0, 80.0]"
    assert "Hollow" in forest.told_open([OPEN])
    assert forest.told_open([replace(ROW, shown=shown_as("isr", replace(RATE, bounds=None)))]) == ""
    figure = interval_figure([Line(label="a", panels=((shown,),))], [percent_axis("x")])
    (axes,) = figure.axes
    (band,) = axes.collections
    xs = band.get_paths()[0].vertices[:, 0]
    assert (xs.min(), xs.max()) == (40, 70)
    assert len(band.get_facecolor()) == 0  # an outline
    assert [line for line in axes.get_lines() if line.get_label() == "value"] == []


def test_the_shares_of_the_questions_fill_their_bars() -> None:
    """Of 8 edits 4, 2, 1 and 1: 50, 25, 12.5 and 12.5 percent, one after the other."""
    figure = decomposition.bars([("sifm", {"semantic only": 4, "both": 2, "perceptual only": 1, "neither": 1, "undecided": 0})])  # fmt: skip
    (axes,) = figure.axes
    bars = [(c.get_label(), p.get_x(), p.get_width()) for c in axes.containers for p in c]
    assert bars == [
        ("semantic only", 0, 50), ("both", 50, 25), ("perceptual only", 75, 12.5), ("neither", 87.5, 12.5),
    ]  # fmt: skip
    assert [w for w in words(figure) if w == "undecided"] == []  # what no bar has is not in the key
    assert [t.get_text() for t in axes.texts] == ["50", "25", "12", "12"]


def test_the_shares_are_those_of_the_run(run: ReportRun) -> None:
    figure = decomposition.draw([run]).figure
    (axes,) = figure.axes
    neither = [p.get_width() for c in axes.containers if c.get_label() == "neither" for p in c]
    assert neither[:3] == pytest.approx(
        [100 - share(run, t.method, t.eps) for t in (p.treatment for p in run.result.treatments)]
    )


def test_differences_stand_around_zero(run: ReportRun) -> None:
    drawn = comparison.draw([run])
    (axes,) = drawn.figure.axes
    family = isr.compare(run.folder).family
    assert [x for ((x, _),) in marks(axes)] == [100 * (one.difference.value or 0) for one in family]
    thin, thick = marks(axes, "outer")[0], marks(axes, "interval")[0]
    assert [x for x, _ in thin] == [100 * (family[0].simultaneous.low or 0), 100 * (family[0].simultaneous.high or 0)]  # fmt: skip
    assert thin[0][0] <= thick[0][0] <= thick[1][0] <= thin[1][0]
    low, high = axes.get_xlim()
    assert -low == high >= max(abs(x) for line in marks(axes, "outer") for x, _ in line)
    assert "all 3 pairs (Bonferroni)" in drawn.caption
    assert "family=3:holm" in drawn.caption


def test_families_of_several_judges_have_titles(run: ReportRun, other: ReportRun) -> None:
    figure = comparison.draw([replace(run, name="first"), other]).figure
    said = words(figure)
    assert [w for w in said if w in ("first", "other")] == ["first", "other"]
    assert not [w for w in said if "[other]" in w]


def test_a_budget_stands_at_its_number(run: ReportRun) -> None:
    drawn = budget.draw([run])
    (axes,) = drawn.figure.axes
    points = [p for line in marks(axes) for p in line]
    expected = [(0.03, share(run, "noise")), (0.0314, share(run, "sifm", "0.0314")), (0.0627, share(run, "sifm", "0.0627"))]  # fmt: skip
    assert points == [pytest.approx(p) for p in expected]
    assert marks(axes, "line")[1] == [pytest.approx(p) for p in expected[1:]]
    assert axes.get_ylim() == (0, 100)
    assert [t.get_text() for t in axes.get_xticklabels()][-2:] == ["8/255", "16/255"]


def test_each_judge_has_a_panel_with_the_same_colours(run: ReportRun, other: ReportRun) -> None:
    one, two = budget.draw([run, other]).figure.axes
    assert marks(one) == marks(two)
    assert [line.get_color() for line in one.get_lines()] == [line.get_color() for line in two.get_lines()]


def test_a_distortion_is_the_mean_of_its_images(run: ReportRun) -> None:
    drawn = distortion.draw([run])
    (axes,) = drawn.figure.axes
    psnr = {r["image_id"]: float(r["protected_psnr"]) for r in run.rows if r["protected_psnr"]}
    assert len(psnr) == IMAGES
    ((point,),) = marks(axes)
    assert point == pytest.approx((sum(psnr.values()) / IMAGES, share(run, "sifm", "0.0314")))
    assert f"noise, eps 0.03: {IMAGES} images without a measurement; the method is not shown." in drawn.caption  # fmt: skip


def stored(values: list[str]) -> Any:
    """A run of one treatment with two edits of each image and its PSNR as written."""
    treatment = Treatment("sifm", "", "0.03", "")
    edits = {
        unit: EditRow(unit, 1.0, {"protected_psnr": value})
        for image, value in enumerate(values)
        for prompt in "ab"
        if (unit := Unit(str(image), prompt, "", "", ""))
    }
    finished = FinishedRun(path=Path("run"), digest="d", signature="isr=1", treatments={treatment: edits})
    return SimpleNamespace(finished=finished), spelt(treatment)


def test_infinite_and_missing_distortions_are_counted_and_not_averaged() -> None:
    found = distortion.distortion(*stored(["30.0", "40.0", "inf", "", "inf", "1e308"]))
    assert (found.mean, found.finite, found.same, found.missing) == (35.0, 2, 2, 2)
    found = distortion.distortion(*stored(["inf"]))
    assert (found.mean, found.finite, found.same, found.missing) == (None, 0, 1, 0)


def test_a_judge_stands_against_each_rater(run: ReportRun, labels: Path) -> None:
    """36 edits: every fourth is 9, every third 12; the raters differ where one of the two turned: 9 + 12 - 2 x 3."""
    drawn = agreement.draw([run], labels)
    percent, kappa = drawn.figure.axes
    n = 3 * IMAGES * PROMPTS
    semantic = [p for p in agreement.pairs_of([run], labels) if p.question == "semantic"]
    assert [(p.name, p.people) for p in semantic] == [
        ("recorded – one", False), ("recorded – two", False), ("one – two", True),
    ]  # fmt: skip
    expected = [100 * (n - 9) / n, 100 * (n - 12) / n, 100 * (n - 15) / n]
    assert [100 * (p.agreement.percent.value or 0) for p in semantic] == pytest.approx(expected)
    at = [x for ((x, _),) in marks(percent)]
    assert at[3:6] == pytest.approx(expected)  # outcome, semantic, perceptual
    assert [x for ((x, _),) in marks(kappa)][3:6] == [p.agreement.kappa.value for p in semantic]
    assert f"n = {n} edits of {IMAGES} images in each row" in drawn.caption


def test_what_cannot_be_drawn_says_why(run: ReportRun, tmp_path: Path) -> None:
    alone = read_report_run(recorded_run(tmp_path, images=2, prompts=1, methods=("sifm",)))
    for make, reason in (
        (comparison.draw, "a single treatment"),
        (budget.draw, "no method has two budgets"),
        (distortion.draw, "no PSNR of protected images was measured"),
        (agreement.draw, "no labels beside the runs"),
    ):
        with pytest.raises(NoFigure, match=reason):
            make([alone])
    lines = [Line(label="a", panels=((Mark(value=1),),))] * (MOST_ROWS + 1)
    with pytest.raises(NoFigure, match="61 rows are more than fit"):
        interval_figure(lines, [percent_axis("x")])


def test_nothing_of_the_global_state_of_matplotlib_is_touched(
    run: ReportRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    import matplotlib as mpl

    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)  # another test may have wanted it
    with mpl.rc_context():
        mpl.rcParams["font.size"] = 21
        with settings():
            rendered(forest.draw([run]).figure)
        assert mpl.rcParams["font.size"] == 21
    assert "matplotlib.pyplot" not in sys.modules


def test_a_name_is_text_and_is_cut_to_its_place() -> None:
    hostile = "$x_1$ \\frac{ 圖 \x1b[31m & <b> " + "long " * 60
    short = fitted(hostile, 2.0)
    assert short.startswith("$x_1$ \\frac{ 圖 ?")
    assert short.count("…") == 1
    assert fitted(f"{'m' * 300}, eps 8/255", 2.0).endswith("8/255")
    assert text_width(short) <= 2.0
    figure = interval_figure([Line(label=hostile, panels=((Mark(value=1),),))], [percent_axis("x")])
    assert set(rendered(figure)) == {"svg", "pdf", "png"}


def test_without_matplotlib_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, home: Path, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"found no matplotlib; pip install 'isr-eval\[figures\]'"):
        isr.write_figures(home, out=tmp_path / "f")
    assert not (tmp_path / "f").exists()


def test_the_command_writes_what_it_can_and_says_the_rest(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = {name: FIGURES[name] for name in ("decomposition", "agreement")}
    monkeypatch.setattr("isr.report.plots.writing.FIGURES", kept)
    out = tmp_path / "new" / "figures"
    done = CliRunner().invoke(cli, ["report", str(home), "--figures", str(out)])
    assert (done.exit_code, done.stdout) == (
        0,
        f"figures: decomposition in {out} (SVG, PDF, PNG; captions.txt)\n",
    )
    assert (
        done.stderr == "no figure agreement: there are no labels beside the runs; --labels FILE gives them\n"
    )
    assert sorted(p.name for p in out.iterdir()) == [
        "captions.txt", "decomposition.pdf", "decomposition.png", "decomposition.svg",
    ]  # fmt: skip
    pdf, svg, png = ((out / f"decomposition.{e}").read_bytes() for e in ("pdf", "svg", "png"))
    assert pdf.startswith(b"%PDF")
    assert b"/CIDFontType2" in pdf  # fonts of type 42: their text can be searched and edited
    assert b"Date" not in pdf + svg
    assert svg.startswith(b"<?xml")
    ids = re.findall(rb' id="([^"]+)"', svg)
    assert len(ids) == len(set(ids))
    assert png[16:20] in (int(3.35 * 300).to_bytes(4, "big"), int(6.9 * 300).to_bytes(4, "big"))  # its width
    assert (out / "captions.txt").read_text("utf-8").startswith("decomposition: Which question fails")

    again = isr.write_figures(home, out=tmp_path / "again")
    assert again.names == ["decomposition"]
    assert [p.read_bytes() for p in again.files] == [(out / p.name).read_bytes() for p in again.files]

    monkeypatch.setattr("isr.report.plots.writing.FIGURES", {"agreement": FIGURES["agreement"]})
    (out / "agreement.png").touch()
    done = CliRunner().invoke(cli, ["report", str(home), "--figures", str(out)])
    assert "(agreement.png in" in done.stderr
    assert isinstance(done.exception, isr.InputError)
    assert done.exception.exit_code == 2
    with pytest.raises(isr.UsageError, match="at least one run"):
        isr.write_figures(out=out)


@pytest.mark.slow
def test_every_figure_has_the_same_bytes_again(
    run: ReportRun, other: ReportRun, labels: Path, tmp_path: Path
) -> None:
    one, two = (write_figures([run, other], tmp_path / name, labels) for name in "ab")
    assert one.missing == {}
    assert one.names == list(FIGURES)
    assert len(one.files) == 3 * len(FIGURES) + 1
    for a, b in zip(one.files, two.files, strict=True):
        assert a.read_bytes() == b.read_bytes()
        assert a.stat().st_size > 1000
