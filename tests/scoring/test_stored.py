"""One record a run: result and table are those of one run, or nobody reads them."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import isr
from isr.cli import cli
from isr.errors import InputError, UsageError
from isr.scoring.places import find_run
from isr.scoring.stored import read_stored
from tests.chat_server import serving
from tests.directories import make_directory
from tests.processes import run
from tests.runs import the_run

ROOT = Path(__file__).resolve().parents[2]
SHAPES = ROOT / "examples" / "shapes"
OLD = ROOT / "tests" / "golden" / "0.1.0"


def command(*args: object) -> Result:
    return CliRunner().invoke(cli, list(map(str, args)))


def edits(folder: Path) -> int:
    """Protected edits in a run, by its result; its table must hold as many."""
    stored = read_stored(folder)
    n = int(stored.result.data["edits"])
    assert sum(row["arm"] == "protected" for row in stored.rows) == n
    return n


def edits_or_refused(folder: Path) -> int:
    """As ``edits``; -1 where result and table are told not to belong together."""
    done = command("compare", folder, folder)
    if isinstance(done.exception, InputError):
        assert "edits.csv is not the table of this result.json" in str(done.exception)
        return -1
    return edits(folder)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 4 edits with the table of a run of 6, as a kill between the two files left it."""
    root = tmp_path_factory.mktemp("mixed")
    isr.score(SHAPES, judge="shapes-oracle", limit=4, out=root / "a")
    isr.score(SHAPES, judge="shapes-oracle", limit=6, out=root / "b")
    shutil.copytree(root / "a", root / "mixed")
    shutil.copy(root / "b" / "edits.csv", root / "mixed")
    return root


@pytest.mark.parametrize(
    "args",
    [
        ("compare", "RUN", "b"),
        ("report", "RUN"),
        ("report", "RUN", "--csv"),
        ("bundle", "RUN"),
        ("plan", "--half-width", "0.1", "--pilot", "RUN"),
        ("agree", "--labels", "labels.csv", "--judge", "RUN", "--judge", "b"),
        ("calibrate", "RUN", "--labels", "labels.csv", "--design", "random"),
        (
            "label",
            SHAPES,
            "--judge",
            "RUN",
            "--design",
            "within_verdict",
            "--out",
            "labels",
            "--import",
            "labels.csv",
        ),
    ],
)
def test_every_reader_refuses_a_mixture(
    mixed: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...]
) -> None:
    monkeypatch.chdir(mixed)
    shutil.copy(OLD / "labels.csv", mixed)
    done = command(*(str(a).replace("RUN", "mixed") for a in args))
    assert isinstance(done.exception, InputError)
    assert "edits.csv is not the table of this result.json" in str(done.exception)
    assert "score again" in str(done.exception)


def test_the_python_reader_refuses_a_mixture(mixed: Path) -> None:
    with pytest.raises(InputError, match="is not the table"):
        isr.Result.load(mixed / "mixed")
    with pytest.raises(InputError, match="is not the table"):
        isr.Result.load(mixed / "mixed" / "result.json")
    assert isr.Result.load(mixed / "a").data["edits"] == 4


def measured(folder: Path) -> int:
    """Protected edits with a value of a conventional metric, as a reader of the run sees them."""
    return sum(bool(row.get("edit:psnr") or row.get("protected:psnr")) for row in read_stored(folder).rows)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.proof
@pytest.mark.parametrize("metrics", [False, True], ids=["", "metrics"])
def test_killed_at_every_step_a_run_is_the_old_one_the_new_one_or_refused(
    tmp_path: Path, metrics: bool
) -> None:
    """Old: 4 edits at 95 %; new: 6 edits at 90 %. The command run again makes the new one, byte for byte."""
    if metrics:
        pytest.importorskip("piq", reason="the extra 'metrics' is not installed")
    isr.score(SHAPES, judge="shapes-oracle", limit=4, out=tmp_path / "before", metrics=metrics)
    (tmp_path / "before" / "isr.db").unlink()
    options = {"judge": "shapes-oracle", "limit": 6, "level": 0.9, "metrics": metrics}
    script = ROOT / "tests" / "scoring" / "kill_at_every_step.py"
    done = run([sys.executable, script, SHAPES, tmp_path, json.dumps(options)], check=True)
    last = int(done.stdout)
    whole = {p: (tmp_path / str(last) / p).read_bytes() for p in ("result.json", "edits.csv")}
    seen = set()
    for n in range(1, last + 1):
        folder = tmp_path / str(n)
        found = edits_or_refused(folder)
        seen.add(found)
        record = read_stored(folder).record if found > 0 else {}
        assert record == {} or record["options"]["limit"] == found
        assert found < 0 or measured(folder) <= found  # never values of other edits
        isr.score(SHAPES, out=folder, store=tmp_path / f"{n}.db", replace=True, **options)
        assert {p: (folder / p).read_bytes() for p in whole} == whole
        assert edits(folder) == 6
        assert measured(folder) == (6 if metrics else 0)
    assert seen == {4, -1, 6}
    assert last > 10


@pytest.mark.slow
def test_every_question_has_a_folder_and_nothing_is_replaced(tmp_path: Path) -> None:
    shutil.copytree(SHAPES, tmp_path / "e")
    home = tmp_path / "e.isr"
    isr.score(tmp_path / "e", judge="shapes-oracle", limit=8)
    first = the_run(home)
    kept = {p.name: p.read_bytes() for p in first.iterdir()}
    isr.score(tmp_path / "e", judge="shapes-oracle", limit=4)
    isr.score(tmp_path / "e", judge="shapes-oracle", limit=8, level=0.9)
    isr.score(tmp_path / "e", judge="shapes-oracle", limit=8, by="split")
    assert len(list((home / "runs").iterdir())) == 4
    assert {p.name: p.read_bytes() for p in first.iterdir()} == kept
    # the same question is the same folder with the same bytes; a limit beyond the edits is none
    isr.score(tmp_path / "e", judge="shapes-oracle", limit=8)
    assert (first / "result.json").read_bytes() == kept["result.json"]
    isr.score(tmp_path / "e", judge="shapes-oracle")
    isr.score(tmp_path / "e", judge="shapes-oracle", limit=1000)
    assert len(list((home / "runs").iterdir())) == 5
    assert find_run(home).name == find_run(tmp_path / "e").name


def test_a_finished_result_outlives_a_run_that_did_not_finish(
    tmp_path: Path, card: Callable[..., str]
) -> None:
    """The same question with an empty store, and a judge that is down."""
    make_directory(tmp_path / "e", images=2, prompts=1)
    with serving() as server:
        isr.score(tmp_path / "e", judge=card(server), store=tmp_path / "one.db")
    kept = {p.name: p.read_bytes() for p in the_run(tmp_path / "e.isr").iterdir()}
    with serving(faults="down") as down:
        left = isr.score(tmp_path / "e", judge=card(down, max_attempts=1), store=tmp_path / "two.db")
    assert sum(left.unfinished.values()) > 0
    assert {p.name: p.read_bytes() for p in the_run(tmp_path / "e.isr").iterdir()} == kept


def test_an_unfinished_result_is_filled_in_its_folder(tmp_path: Path, card: Callable[..., str]) -> None:
    make_directory(tmp_path / "e", images=2, prompts=1)
    with serving(faults="down") as down:
        isr.score(tmp_path / "e", judge=card(down, max_attempts=1), out=tmp_path / "o")
    assert isr.Result.load(tmp_path / "o").unfinished
    with serving() as server:
        isr.score(tmp_path / "e", judge=card(server), out=tmp_path / "o")
    assert not isr.Result.load(tmp_path / "o").unfinished


def test_a_named_folder_keeps_the_result_of_another_question(tmp_path: Path) -> None:
    out = tmp_path / "out"
    isr.score(SHAPES, judge="shapes-oracle", limit=6, out=out)
    kept = (out / "result.json").read_bytes()
    with pytest.raises(UsageError) as refused:
        isr.score(SHAPES, judge="shapes-oracle", limit=4, level=0.9, out=out)
    assert "found the result of another (level: 0.95 and 0.9; limit: 6:in-turn and 4:in-turn)" in str(
        refused.value
    )
    assert "choose another out=" in str(refused.value)
    assert (out / "result.json").read_bytes() == kept
    isr.score(SHAPES, judge="shapes-oracle", limit=6, out=out)
    assert (out / "result.json").read_bytes() == kept
    isr.score(SHAPES, judge="shapes-oracle", limit=4, out=out, replace=True)
    assert edits(out) == 4


def test_a_home_reads_its_newest_run_and_says_which(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A run of 0.1.0 in the home itself is one among the others, by its time."""
    shutil.copytree(OLD / "edits", tmp_path / "e")
    shutil.copytree(OLD / "oracle", tmp_path / "e.isr")
    assert find_run(tmp_path / "e.isr") == tmp_path / "e.isr"
    isr.score(tmp_path / "e", judge="shapes-oracle")
    newest = the_run(tmp_path / "e.isr")
    with caplog.at_level("INFO", logger="isr"):
        assert find_run(tmp_path / "e.isr") == newest
    assert f"the run that is read is {newest}, the newest of 2" in caplog.text
    record = json.loads((newest / "run.json").read_text("utf-8"))
    (newest / "run.json").write_text(json.dumps({**record, "finished_at": "2001-01-01T00:00:00+00:00"}))
    assert find_run(tmp_path / "e.isr") == tmp_path / "e.isr"


def test_a_trial_of_a_few_edits_never_stands_for_the_whole_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(OLD / "edits", tmp_path / "e")
    isr.score(tmp_path / "e", judge="shapes-oracle")
    whole = the_run(tmp_path / "e.isr")
    isr.score(tmp_path / "e", judge="shapes-oracle", limit=3)
    with caplog.at_level("INFO", logger="isr"):
        assert find_run(tmp_path / "e.isr") == whole
    assert "the newest whole one" in caplog.text


def test_a_file_that_is_no_run_is_told_as_one(tmp_path: Path) -> None:
    (tmp_path / "a.bundle.zip").write_bytes(b"")
    refused = command("compare", tmp_path / "a.bundle.zip", tmp_path)
    assert (
        "a.bundle.zip: expected the folder of a run, or a bundle; found another file; give the folder"
        in str(refused.exception)
    )


def test_a_run_of_0_1_0_is_read_with_a_note(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="isr"):
        stored = read_stored(OLD / "measured")
    assert "holds no digest of edits.csv" in caplog.text
    assert "edit:psnr" in stored.rows[0]


def test_versions_of_the_package_are_compared_and_told(tmp_path: Path) -> None:
    for name in ("a", "b"):
        isr.score(SHAPES, judge="shapes-oracle", limit=6, out=tmp_path / name)
    file = tmp_path / "b" / "result.json"
    file.write_text(file.read_text("utf-8").replace(f"isr={isr.__version__}|", "isr=9.9.9|"), "utf-8")
    done = command("compare", tmp_path / "a", tmp_path / "b")
    assert done.exit_code == 0, done.exception
    assert f"scored with several versions of isr: a by {isr.__version__}, b by 9.9.9" in done.stdout
    assert f"signature: isr={isr.__version__},9.9.9|" in done.stdout
    file.write_text(file.read_text("utf-8").replace("interval=logit-t", "interval=wilson"), "utf-8")
    refused = command("compare", tmp_path / "a", tmp_path / "b")
    assert "interval: logit-t and wilson" in str(refused.exception)


def test_the_result_of_another_version_is_replaced_with_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    isr.score(SHAPES, judge="shapes-oracle", limit=2, out=tmp_path)
    file = tmp_path / "result.json"
    kept = file.read_bytes()
    file.write_bytes(kept.replace(f"isr={isr.__version__}|".encode(), b"isr=0.0.9|"))
    with caplog.at_level("INFO", logger="isr"):
        isr.score(SHAPES, judge="shapes-oracle", limit=2, out=tmp_path)
    assert f"the result by isr 0.0.9 is replaced by that of isr {isr.__version__}" in caplog.text
    assert file.read_bytes() == kept


def test_the_list_of_runs(tmp_path: Path) -> None:
    shutil.copytree(SHAPES, tmp_path / "e")
    assert isinstance(command("runs", tmp_path / "e").exception, UsageError)
    isr.score(tmp_path / "e", judge="shapes-oracle", limit=8)
    isr.score(tmp_path / "e", judge="shapes-oracle", limit=4)
    (tmp_path / "e.isr" / "runs" / "killed-0").mkdir()
    said = json.loads(command("runs", tmp_path / "e", "--json").stdout)
    assert said["schema"] == "isr.runs/1"
    assert sorted(t["n"] for r in said["runs"] for t in r["isr"]) == [4, 8]
    assert [r["state"].partition(":")[0] for r in said["runs"]].count("finished") == 2
    printed = command("runs", tmp_path / "e.isr").stdout
    assert "begun and not finished" in printed
    assert "shapes-oracle (the program shapes_oracle, revision 2): finished" in printed


def test_metrics_of_other_edits_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from isr.scoring.metrics_csv import write_metrics

    isr.score(SHAPES, judge="shapes-oracle", limit=3, out=tmp_path)
    with (tmp_path / "edits.csv").open(newline="") as file:
        rows = [{**r, "edit:psnr": "20"} for r in csv.DictReader(file) if r["arm"] == "protected"]
    table = (tmp_path / "edits.csv").read_bytes()
    write_metrics(tmp_path, rows[:2], {"columns": ["edit:psnr"]}, read_stored(tmp_path).digest)
    assert (tmp_path / "edits.csv").read_bytes() == table
    assert sorted(r["edit:psnr"] for r in read_stored(tmp_path).rows) == ["", "", "", "", "20", "20"]
    write_metrics(tmp_path, rows, {"columns": ["edit:psnr"]}, "sha256:other")
    assert "edit:psnr" not in read_stored(tmp_path).rows[0]
    assert "it is not of this run" in caplog.text
