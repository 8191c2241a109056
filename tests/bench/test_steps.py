"""A study from end to end on a tiny random editor, with the real oracle; killed at any moment; changed."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs isr-eval[sifm]")
pytest.importorskip("diffusers", reason="needs isr-eval[sifm]")

from click.testing import CliRunner

from isr.cli import cli
from sifm_ref.checkpoints import fingerprint
from tests.bench.studies import write
from tests.processes import DEVNULL, CompletedProcess, finish, group_lives, run, started, wait_for
from tests.sifm_ref.conftest import checkpoint

__all__ = ["checkpoint"]
ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
MORE = """
[[methods]]
name = "half a noise"
method = "noise"
eps = [0.015]
"""


def bench(*args: object, check: bool = True) -> CompletedProcess[str]:
    command = [sys.executable, "-m", "isr", "bench", *map(str, args)]
    return run(command, env=ENVIRONMENT, check=check)


def files(folder: Path, kind: str) -> dict[Path, int]:
    """Pictures of a kind with the times at which they were written."""
    return {p: p.stat().st_mtime_ns for p in folder.glob(f"*/*/{kind}/*.png")}


def test_the_plan_of_a_study(tmp_path: Path, checkpoint: Callable[[str], Path]) -> None:
    study = write(tmp_path / "s", checkpoint("instruct_pix2pix"))
    done = CliRunner().invoke(cli, ["bench", str(study), "--dry-run", "--json"])
    assert done.exit_code == 0, done.output
    plan = json.loads(done.stdout)
    # 2 images x 2 prompts; SIFM and noise; 2 purifiers
    assert plan["images"] == {"n": 2, "pairs": 4, "known": True}
    assert [(c["images"], c["done"]) for c in plan["immunize"]] == [(2, 0), (2, 0)]
    assert [(c["edits"], c["controls"]) for c in plan["edit"]] == [(4 * 2 * 2, 4 * 2)]
    assert [c["questions"] for c in plan["score"]] == [2 * (16 + 8)]
    assert not (tmp_path / "s" / "little.bench").exists()
    told = CliRunner().invoke(cli, ["bench", str(study), "--dry-run"]).stdout
    assert "the main family has 4 comparisons" in told


def test_mistakes_are_told_before_anything_is_done(tmp_path: Path) -> None:
    def said(*args: object) -> str:
        done = CliRunner().invoke(cli, ["bench", *map(str, args)])
        assert done.exit_code != 0
        return f"{done.exception} {done.output}"

    study = write(tmp_path / "s", "instruct_pix2pix")
    assert "expected a study file" in said(tmp_path / "none.toml")
    assert "--only: expected out of images" in said(study, "--only", "judge")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    assert "found other files" in said(study, "--out", tmp_path / "full", "--quiet")
    assert "expected its images" in said(study, "--only", "edit", "--quiet")
    (tmp_path / "s" / "prompts.csv").write_text("name,prompt,split\ns0,x,seen\ns1,y,unseen\nghost,z,seen\n")
    found = said(study)
    assert "ghost" in found
    assert "s1: 'split'" in found


@pytest.mark.proof
def test_from_scenes_to_results_killed_on_the_way(tmp_path: Path, checkpoint: Callable[[str], Path]) -> None:
    """Killed in every step, a study ends with the very results of one that was left alone."""
    editor = checkpoint("instruct_pix2pix")
    whole = write(tmp_path / "whole", editor)
    done = bench(whole, "--jobs", 1)
    assert "SIFM - noise" in done.stdout
    assert "signature" in (tmp_path / "whole" / "little.bench" / "results.md").read_text()
    expected = (tmp_path / "whole" / "little.bench" / "results.json").read_bytes()
    (table,) = (tmp_path / "whole" / "little.bench" / "edits").glob("*/metadata.jsonl")
    weights = fingerprint(str(editor))["fingerprint"]
    for row in map(json.loads, table.read_text().splitlines()):
        assert row["editor_checkpoint"] == row["surrogate_checkpoint"] == weights

    study = write(tmp_path / "killed", editor)
    out = tmp_path / "killed" / "little.bench"
    command = [sys.executable, "-m", "isr", "bench", str(study), "--jobs", "2"]
    for pattern in (
        "images/s0.png",
        "immunized/*/.records/*.json",
        "edits/*/.records/*.json",
        "scores/*/isr.db",
    ):
        with started(command, env=ENVIRONMENT, stdout=DEVNULL, stderr=DEVNULL) as process:
            wait_for(lambda pattern=pattern: list(out.glob(pattern)), process, what=pattern)
            process.kill()
            process.wait()
            assert process.returncode == -signal.SIGKILL, f"it was not at work at {pattern}"
            wait_for(
                lambda group=process.pid: not group_lives(group),
                what="the end of the workers with their parent",
            )
    kept = files(out, "edits")
    done = bench(study, "--jobs", 2)
    assert (out / "results.json").read_bytes() == expected
    assert {p: t for p, t in files(out, "edits").items() if p in kept} == kept  # nothing was made twice
    again = bench(study)
    assert "folders to fill" not in again.stderr
    assert (out / "results.json").read_bytes() == expected
    (out / ".done").rename(out / "not-done")  # without its notes of what is done it looks for itself
    bench(study)
    assert {p: t for p, t in files(out, "edits").items() if p in kept} == kept
    assert (out / "results.json").read_bytes() == expected


@pytest.mark.proof
def test_interrupted_it_says_how_to_go_on(tmp_path: Path, checkpoint: Callable[[str], Path]) -> None:
    study = write(tmp_path / "s", checkpoint("instruct_pix2pix"))
    out = tmp_path / "s" / "little.bench"
    command = [sys.executable, "-m", "isr", "bench", str(study), "--jobs", "1"]
    with started(command, env=ENVIRONMENT) as process:
        wait_for(lambda: list(out.glob("immunized/*/.records/*.json")), process, what="an immunized picture")
        process.send_signal(signal.SIGINT)
        done = finish(process)
    assert done.returncode == 130
    assert "the same command goes on" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.proof
def test_a_changed_study(tmp_path: Path, checkpoint: Callable[[str], Path]) -> None:
    """What is added joins what is there; another picture under a name is refused; another study too."""
    study = write(tmp_path / "s", checkpoint("instruct_pix2pix"), purifiers='["none"]')
    out = tmp_path / "s" / "little.bench"
    bench(study, "--jobs", 1)
    before = files(out, "edits") | files(out, "protected") | files(out, "controls")
    study.write_text(study.read_text() + MORE)
    done = bench(study, "--jobs", 1)
    assert "the study differs" in done.stderr
    assert "half a noise" in done.stderr
    changed = study.read_text().replace("seeds = [0]", "seeds = [0, 1]")
    (tmp_path / "s" / "changed.toml").write_text(changed)
    refused = bench(tmp_path / "s" / "changed.toml", "--only", "results", check=False)
    assert refused.returncode == 2
    assert "no results were written" in refused.stderr
    after = files(out, "edits") | files(out, "protected") | files(out, "controls")
    assert {p: t for p, t in after.items() if p in before} == before
    results = json.loads((out / "results.json").read_text())
    assert {r["label"] for r in results["rows"]} == {"none", "SIFM", "noise", "half a noise"}
    (tmp_path / "s" / "scenes" / "s0.png").write_bytes((tmp_path / "s" / "scenes" / "s1.png").read_bytes())
    refused = bench(study, check=False)
    assert refused.returncode == 2
    assert "others than when this bench was begun" in refused.stderr
    study.write_text(study.read_text().replace('name = "little"', 'name = "other"'))
    refused = bench(study, "--out", out, check=False)
    assert "expected the bench of 'other'" in refused.stderr
