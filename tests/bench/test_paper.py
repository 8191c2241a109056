"""``studies/``: the papers' studies load and plan as they are, and run from end to end on tiny checkpoints and images."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs isr-eval[sifm]")
pytest.importorskip("diffusers", reason="needs isr-eval[sifm]")
pytest.importorskip("datasets", reason="needs isr-eval[study]")

from click.testing import CliRunner

from isr.cli import cli
from tests.bench.papers import STUDIES, data_rows, derive
from tests.chat_server import serving
from tests.processes import run
from tests.sifm_ref.conftest import checkpoint

__all__ = ["checkpoint"]
# nothing listens at the proxy: LPIPS' weights are not fetched, wherever the test runs
ENVIRONMENT = {
    **os.environ,
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "https_proxy": "http://127.0.0.1:9",
}
READING = "a reading of SPIN's abstract"
METHODS = ["PhotoGuard-E", "PhotoGuard-D", "EditShield", "ACE", "SDS", "Mist", "SA", "SIFM"]


def table(out: Path, name: str) -> list[dict[str, str]]:
    with (out / "tables" / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_papers_study_plans_offline() -> None:
    done = CliRunner().invoke(cli, ["bench", str(STUDIES / "2512.14320.toml"), "--dry-run", "--json"])
    assert done.exit_code == 0, done.output
    plan = json.loads(done.stdout)
    assert (plan["images"]["n"], plan["images"]["pairs"]) == (100, 600)
    assert len(plan["immunize"]) == (2 + 8) * 3 + 5
    assert [(c["edits"], c["controls"]) for c in plan["edit"]] == [
        (15 * 600, 600), (10 * 600, 600), (10 * 600, 600),
    ]  # fmt: skip
    assert not (STUDIES / "2512.14320.bench").exists()


def test_the_second_papers_study_plans_offline() -> None:
    done = CliRunner().invoke(cli, ["bench", str(STUDIES / "2610.06334.toml"), "--dry-run", "--json"])
    assert done.exit_code == 0, done.output
    plan = json.loads(done.stdout)
    assert (plan["images"]["n"], plan["images"]["pairs"]) == (100, 600)
    assert len(plan["immunize"]) == 11 * 2
    assert [c["edits"] for c in plan["edit"]] == [11 * 600, 11 * 600]


@pytest.mark.proof
def test_no_figure_of_the_reading_stands_beside_one_of_spin(
    tmp_path: Path, checkpoint: Callable[[str], Path], card: Callable[..., str]
) -> None:
    with serving() as server:
        study = derive(tmp_path / "study", checkpoint, card(server), "2610.06334")
        done = run([sys.executable, "-m", "isr", "bench", study, "--quiet", "--jobs", "1"], env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr[-3000:]
    ii = table(tmp_path / "study" / "2610.06334.bench", "II")
    for editor in ("SD3", "InstructPix2Pix"):
        rows = {
            r["row"]: r
            for r in ii
            if r["section"].startswith(f"{editor}, judged by") and r["column"] == "isr_seen"
        }
        ours = {
            "noise, signs",
            "noise, uniform",
            *METHODS[:2],
            "SDS",
            "AdvDM",
            "Mist",
            "SA",
            "DCT-Shield",
            "SIFM",
            READING,
        }
        assert {name for name, r in rows.items() if r["n"] == "3"} == {"no protection", *ours}
        assert set(rows) - set(ours) == {"no protection", "SPIN", "ED"}
        assert all(rows[name]["published"] == "" for name in ours)
    by = {(r["section"].split(", judged by ")[0], r["row"], r["column"]): r for r in ii}
    assert (by["SD3", "SPIN", "isr_seen"]["published"], by["SD3", "SPIN", "isr_unseen"]["published"]) == (
        "0.9",
        "0.85",
    )
    assert by["SD3", "SPIN", "psnr"]["text"] == "not implemented"
    assert "its equations are not public" in done.stdout


@pytest.mark.proof
def test_from_the_data_set_to_tables_ii_vi_and_vii(
    tmp_path: Path, checkpoint: Callable[[str], Path], card: Callable[..., str]
) -> None:
    with serving() as server:
        study = derive(tmp_path / "study", checkpoint, card(server))
        done = run([sys.executable, "-m", "isr", "bench", study, "--quiet", "--jobs", "1"], env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr[-3000:]
    out = tmp_path / "study" / "2512.14320.bench"
    text = done.stdout
    for title in ("Table II: ", "Table VI: ", "Table VII: ", "How well conventional metrics tell"):
        assert title in text
    ii = table(out, "II")
    for editor in ("SD3", "InstructPix2Pix", "HQ-Edit"):
        found = [
            r["row"]
            for r in ii
            if r["section"].startswith(f"{editor}, judged by") and r["column"] == "isr_seen"
        ]
        assert found[0] == "no protection"
        assert set(METHODS) <= set(found)
    by = {(r["section"].split(", judged by ")[0], r["row"], r["column"]): r for r in ii}
    one = by["SD3", "SIFM", "isr_seen"]
    assert 0 <= float(one["low"]) <= float(one["value"]) <= float(one["high"]) <= 1
    assert (one["n"], one["images"]) == ("3", "3")
    assert (one["published"], one["published_n"]) == ("0.79", "100")
    assert by["InstructPix2Pix", "SIFM", "psnr"]["low"]  # SD3 of random weights edits nothing here: no spread
    assert by["HQ-Edit", "ACE", "isr_seen"]["published"] == "0.92"
    assert by["HQ-Edit", "SIFM", "isr_unseen"]["n"] == "3"
    vi = [r for r in table(out, "VI") if r["column"] == "isr_seen"]
    assert [r["row"] for r in vi] == ["divergence only", "norm only", "both"]
    vii = [r for r in table(out, "VII") if r["column"] == "isr_seen"]
    assert [(r["row"], r["published"]) for r in vii] == [
        ("0.001", "0.73"), ("0.01", "0.76"), ("0.1", "0.79"), ("1", "0.71"),
    ]  # fmt: skip
    assert all(r["n"] == "3" and r["low"] for r in (*vi, *vii))
    for name in ("II", "VI", "VII"):
        assert "toprule" in (out / "tables" / f"{name}.tex").read_text()
    edits = {
        folder.name.split("-")[0]: [
            json.loads(line) for line in (folder / "metadata.jsonl").read_text("utf-8").splitlines()
        ]
        for folder in (out / "edits").iterdir()
    }
    assert {r["editor_prompt"] for r in edits["SD3"] if r["split"] == "seen"} <= {
        f"{r['original_prompt']}, brighter" for r in data_rows()
    }
    assert all(r["editor_prompt"].startswith("after ") for r in edits["SD3"] if r["split"] == "unseen")
    assert all("editor_prompt" not in r for r in edits["InstructPix2Pix"])
    selection = json.loads((out / "gathered" / "selection.json").read_text())
    assert len(selection["images"]) == 3
    assert len((out / "gathered" / "unseen.jsonl").read_text().splitlines()) == 3
