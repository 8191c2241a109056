"""Whole runs: the same answers give the same bytes, wherever and in whatever order the data lie."""

from __future__ import annotations

import asyncio
import csv
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import isr
from isr.judging.store import Store
from tests.chat_server import serving
from tests.directories import card_text, make_directory, write_metadata
from tests.processes import run
from tests.runs import the_run


def result_bytes(folder: Path) -> bytes:
    return (the_run(folder) / "result.json").read_bytes()


def test_the_same_run_twice_asks_nothing_and_writes_the_same_bytes(
    tmp_path: Path, card: Callable[..., str]
) -> None:
    make_directory(tmp_path / "e", images=8, prompts=2)
    with serving(faults="lessons", seed=4) as server:
        judge = card(server)
        isr.score(tmp_path / "e", judge=judge)
        first, calls = result_bytes(tmp_path / "e.isr"), server.stats()["calls"]
        isr.score(tmp_path / "e", judge=judge)
        assert result_bytes(tmp_path / "e.isr") == first
        # a copy of directory and store under another path
        shutil.copytree(tmp_path / "e", tmp_path / "elsewhere" / "copy")
        shutil.copytree(tmp_path / "e.isr", tmp_path / "elsewhere" / "copy.isr")
        shutil.rmtree(tmp_path / "elsewhere" / "copy.isr" / "runs")
        isr.score(tmp_path / "elsewhere" / "copy", judge=judge)
        assert result_bytes(tmp_path / "elsewhere" / "copy.isr") == first
        # the metadata saved again in another order, and in another format
        rows = [json.loads(line) for line in (tmp_path / "e" / "metadata.jsonl").read_text().splitlines()]
        write_metadata(tmp_path / "e", rows[::-1])
        isr.score(tmp_path / "e", judge=judge)
        assert result_bytes(tmp_path / "e.isr") == first
        (tmp_path / "e" / "metadata.jsonl").unlink()
        with (tmp_path / "e" / "metadata.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        isr.score(tmp_path / "e", judge=judge)
        assert result_bytes(tmp_path / "e.isr") == first
        assert server.stats()["calls"] == calls


def test_two_methods_are_two_treatments_and_controls_count_once(
    tmp_path: Path, card: Callable[..., str]
) -> None:
    make_directory(tmp_path / "e", images=6, prompts=2, methods=("sifm", "noise"))
    with serving() as server:
        result = isr.score(tmp_path / "e", judge=card(server), by=["method", "editor"])
    assert [t.treatment.method for t in result.treatments] == ["noise", "sifm"]
    assert [t.counts["edits"] for t in result.treatments] == [12, 12]
    assert result.control is not None
    assert result.control.counts["edits"] == 12
    for t in result.treatments:
        e = t.estimates
        counts = {
            k: round((e[k].value or 0) * 12) for k in ("isr", "isr_semantic", "isr_perceptual", "isr_both")
        }
        assert counts["isr"] == counts["isr_semantic"] + counts["isr_perceptual"] - counts["isr_both"]
        assert [g.by for g in t.groups] == [{"method": t.treatment.method, "editor": "painter"}]


def test_estimates_agree_with_the_table_of_edits(tmp_path: Path, card: Callable[..., str]) -> None:
    make_directory(tmp_path / "e", images=30, prompts=3)
    with serving(faults="lessons", seed=6) as server:
        result = isr.score(tmp_path / "e", judge=card(server))
    with (the_run(tmp_path / "e.isr") / "edits.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 180
    outcome = {(r["edit_id"], r["arm"]): r["outcome"] for r in rows}
    protected = [o for (_, arm), o in outcome.items() if arm == "protected" and o != "undecided"]
    e = result.treatments[0].estimates
    assert e["isr"].n == len(protected)
    assert e["isr"].value == pytest.approx(protected.count("immunized") / len(protected))
    pairs = [(outcome[i, "protected"], outcome[i, "control"]) for i in {i for i, _ in outcome}]
    fine = [p for p, c in pairs if c == "not_immunized" and p != "undecided"]
    assert e["isr_conditional"].value == pytest.approx(fine.count("immunized") / len(fine))
    both = [(p == "immunized") - (c == "immunized") for p, c in pairs if "undecided" not in (p, c)]
    assert e["uplift"].value == pytest.approx(sum(both) / len(both))
    for row in rows:  # the outcome follows from the verdicts beside it
        verdicts = {row["judge:semantic"], row["judge:perceptual"]}
        expected = (
            "undecided"
            if "undecided" in verdicts
            else "immunized"
            if "fails" in verdicts
            else "not_immunized"
        )
        assert row["outcome"] == expected


def test_a_panel_joins_its_members(tmp_path: Path) -> None:
    make_directory(tmp_path / "e", images=12, prompts=2)
    with serving() as one, serving() as two:
        for name, server, seed in (("a", one, 0), ("b", two, 1)):
            text = card_text(server.base_url).replace("[decoding]", f"[decoding]\nseed = {seed}")
            (tmp_path / f"{name}.toml").write_text(text)
        values = {}
        for rule in ("strict", "any", "per_question"):
            panel = f'backend = "panel"\nmembers = ["a.toml", "b.toml"]\nrule = "{rule}"\n'
            (tmp_path / "panel.toml").write_text(panel)
            result = isr.score(tmp_path / "e", judge=str(tmp_path / "panel.toml"))
            assert f"rule={rule}" in result.signature
            assert len(result.judges) == 2
            values[rule] = result.treatments[0].estimates["isr"].value
        assert one.stats()["calls"] == two.stats()["calls"] == 96  # asked once, whatever the rule
    assert values["per_question"] <= values["strict"] < values["any"]


def test_recorded_answers_replay_to_the_same_estimates(tmp_path: Path, card: Callable[..., str]) -> None:
    make_directory(tmp_path / "e", images=6, prompts=2)
    with serving(faults="lessons", seed=9) as server:
        asked = isr.score(tmp_path / "e", judge=card(server))
    with Store(tmp_path / "e.isr" / "isr.db", read_only=True) as store:
        lines = [json.dumps(row) for row in store.export()]
    (tmp_path / "answers.jsonl").write_text("\n".join(lines))
    sets = [f"engine.answers={tmp_path / 'answers.jsonl'}"]
    replayed = isr.score(tmp_path / "e", judge="replay", sets=sets, out=tmp_path / "again")
    assert replayed.treatments[0].estimates == asked.treatments[0].estimates
    assert replayed.control is not None
    assert asked.control is not None
    assert replayed.control.estimates == asked.control.estimates


def test_inside_a_running_event_loop(tmp_path: Path, card: Callable[..., str]) -> None:
    make_directory(tmp_path / "e", images=2, prompts=1)

    async def notebook(judge: str) -> None:
        blocking = isr.score(tmp_path / "e", judge=judge)  # as a cell of a notebook would
        awaited = await isr.ascore(tmp_path / "e", judge=judge)
        assert blocking.to_json() == awaited.to_json()

    with serving() as server:
        asyncio.run(notebook(card(server)))


def test_a_result_reads_back(tmp_path: Path, card: Callable[..., str]) -> None:
    make_directory(tmp_path / "e", images=4, prompts=2)
    with serving() as server:
        result = isr.score(tmp_path / "e", judge=card(server), repeats=3, by=["editor"])
    again = isr.Result.load(tmp_path / "e.isr")
    assert again.to_json() == result.to_json()
    with pytest.raises(isr.InputError, match="result"):
        isr.Result.load(tmp_path / "nowhere")


def test_no_judge_is_chosen_silently(tmp_path: Path, own_configuration: Path) -> None:
    make_directory(tmp_path / "e", images=1, prompts=1)
    command = [sys.executable, "-m", "isr", "score", str(tmp_path / "e")]
    done = run(command)
    assert done.returncode == 2
    assert "no judge is chosen silently" in done.stderr
    assert "gpt-4.1" in done.stderr
    assert not (tmp_path / "e.isr").exists()


def test_invalid_rows_are_skipped_only_when_told_and_reported(
    tmp_path: Path, card: Callable[..., str]
) -> None:
    rows = make_directory(tmp_path / "e", images=4, prompts=2)
    rows[1]["prompt"] = ""
    rows[2]["file_name"] = "edits/none.png"
    write_metadata(tmp_path / "e", rows)
    with serving() as server:
        judge = card(server)
        with pytest.raises(isr.EditDirectoryError) as caught:
            isr.score(tmp_path / "e", judge=judge)
        assert [p.where for p in caught.value.problems] == ["metadata.jsonl:2", "metadata.jsonl:3"]
        assert server.stats()["calls"] == 0
        result = isr.score(tmp_path / "e", judge=judge, skip_invalid=True)
    assert result.treatments[0].counts["edits"] == 6
    assert "skipped=2" in result.signature
    assert "2 invalid row(s)" in result.notes[0]
    assert len(result.data["skipped"]) == 2


def test_settings_of_the_directory_are_used(tmp_path: Path, card: Callable[..., str]) -> None:
    make_directory(tmp_path / "e", images=5, prompts=2)
    (tmp_path / "e" / "isr.toml").write_text('by = ["split"]\nlevel = 0.9\n')
    with serving() as server:
        result = isr.score(tmp_path / "e", judge=card(server))
    assert result.treatments[0].estimates["isr"].level == 0.9
    assert result.treatments[0].groups[0].by == {"split": ""}
