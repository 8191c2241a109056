"""Of whom an interval speaks, by the settings of a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from isr.cli import cli
from isr.report.population import population
from isr.report.runs import ReportRun, read_report_run
from tests.runs import recorded_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ReportRun:
    """Five prompts, one editor, one seed, one judge."""
    return read_report_run(recorded_run(tmp_path_factory.mktemp("run"), images=3, prompts=5))


def signed(run: ReportRun, old: str, new: str) -> ReportRun:
    """The run with another part in its signature."""
    assert old in run.result.signature
    return replace(run, result=replace(run.result, signature=run.result.signature.replace(old, new)))


def test_new_images_under_what_was_fixed(run: ReportRun) -> None:
    assert population(run) == (
        "The intervals speak of new source images drawn as these were, edited with the same 5 prompts by the same editor and judged by the "
        "same judge; not of other prompts, editors or judges, nor of what people would say. "
    )


def test_prompts_as_a_sample(run: ReportRun) -> None:
    said = population(signed(run, "prompts=fixed", "prompts=random"))
    assert "edited with prompts like these 5 prompts by the same editor" in said
    assert "; not of other editors or judges, nor of what people would say. " in said


def test_editors_and_seeds_are_counted(run: ReportRun) -> None:
    rows = [{**r, "editor": "ab"[i % 2], "seed": str(i % 3)} for i, r in enumerate(run.rows)]
    assert "with the same 5 prompts and the same 3 seeds by the same 2 editors and" in population(
        replace(run, rows=rows)
    )


def test_the_mean_of_image_means(run: ReportRun) -> None:
    said = population(signed(run, "estimand=edit-mean", "estimand=image-mean"))
    assert said == population(run) + "Every image counts alike, however many edits it has. "


@pytest.mark.parametrize("interval", ["wilson", "clopper-pearson", "jeffreys"])
def test_edits_as_independent(run: ReportRun, interval: str) -> None:
    assert population(signed(run, "interval=logit-t", f"interval={interval}")) == (
        "The intervals take edits as independent: they speak of new edits with the same 5 prompts by the same editor, judged by the same "
        "judge, and are too narrow for new source images wherever these differ. They do not speak of other prompts, editors or judges, nor "
        "of what people would say. "
    )


def test_a_panel_and_edits_without_a_source(run: ReportRun) -> None:
    result = replace(
        run.result,
        judges=run.result.judges * 2,
        notes=("some edits have no source: each of them counts as an image of its own",),
    )
    said = population(replace(run, result=result))
    assert "judged by the same panel of judges;" in said
    assert said.endswith(
        "nor of what people would say. An edit without a source counts as an image of its own. "
    )


def test_it_stands_in_the_methods_text(run: ReportRun) -> None:
    done = CliRunner().invoke(cli, ["report", str(run.folder), "--methods"], catch_exceptions=False)
    assert population(run) in done.stdout


def test_a_comparison_says_what_its_clusters_are(tmp_path: Path) -> None:
    def people(rows: list[dict[str, object]]) -> None:
        for row in rows:
            row["person"] = f"p{int(str(row['image_id'])[-1]) // 2}"

    run = recorded_run(tmp_path, images=6, prompts=2, methods=("a", "b"), change=people)
    line = "images of one person are one cluster: about a new person like these"
    done = CliRunner().invoke(cli, ["compare", str(run), "--cluster", "person"], catch_exceptions=False)
    assert line in done.stdout.splitlines()
    assert line not in CliRunner().invoke(cli, ["compare", str(run)], catch_exceptions=False).stdout
