"""Where runs lie, and which one a path means."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from isr.canonical import sha256_bytes
from isr.cli import cli, main
from isr.errors import Interrupted, IsrError, UsageError
from isr.scoring.options import Options
from isr.scoring.places import (
    age,
    edits_of,
    find_run,
    folder_beside,
    home_at,
    home_of,
    place_of_edits,
    read_record,
    run_folder,
    run_folders,
    store_of,
    unless_refused,
)
from tests.directories import make_directory, write_metadata
from tests.runs import recorded_run

DIGEST = "sha256:0123456789abcdef" + 48 * "0"


def finished(run: Path, when: str) -> Path:
    run.mkdir(parents=True, exist_ok=True)
    (run / "result.json").write_text("{}")
    (run / "run.json").write_text(json.dumps({"finished_at": when, "result": sha256_bytes(b"{}")}))
    return run


@pytest.mark.parametrize(
    ("judge", "name"),
    [("gpt-4.1", "gpt-4.1"), ("a/b c|d", "a-b-c-d"), ("...", "judge"), ("x" * 200, "x" * 60)],
)
def test_a_judge_names_its_folder_and_nothing_else(judge: str, name: str, tmp_path: Path) -> None:
    home = tmp_path / "e.isr"
    folder = run_folder(home, judge, DIGEST)
    assert folder == home / "runs" / f"{name}-0123456789ab"
    assert home_of(folder) == home


def test_a_folder_called_runs_makes_no_home(tmp_path: Path) -> None:
    """Neither one in the data, nor one that was named with --out: only the end of a home's name does."""
    (tmp_path / "e" / "runs").mkdir(parents=True)
    mine = finished(tmp_path / "e.isr" / "runs" / "j-1", "2026-11-01T00:00:00+00:00")
    assert home_at(tmp_path / "e") == tmp_path / "e.isr"
    assert find_run(tmp_path / "e") == mine
    assert home_of(tmp_path / "runs" / "a") == tmp_path / "runs" / "a"


def test_of_two_that_were_finished_in_one_second_the_later_file_is_newer(tmp_path: Path) -> None:
    when = "2026-11-01T00:00:00+00:00"
    later, earlier = (finished(tmp_path / "e.isr" / "runs" / name, when) for name in ("a-1", "b-2"))
    os.utime(earlier / "result.json", ns=(1, 1))
    assert max((earlier, later), key=age) == later == find_run(tmp_path / "e.isr")


def test_a_home_is_found_from_inside_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = finished(tmp_path / "e.isr" / "runs" / "j-0", "2026-01-01")
    monkeypatch.chdir(run)
    assert home_of(Path()).resolve() == tmp_path / "e.isr"
    monkeypatch.chdir(run.parent)
    assert home_of(Path("j-0")).resolve() == tmp_path / "e.isr"
    assert find_run(Path("j-0")) == Path("j-0")


def test_the_newest_of_a_home_by_its_record(tmp_path: Path) -> None:
    home, edits = tmp_path / "e.isr", tmp_path / "e"
    edits.mkdir()
    assert find_run(edits) == edits
    finished(home / "runs" / "a-0", "2026-03-01T00:00:00+00:00")
    finished(home / "runs" / "b-0", "2026-02-01T00:00:00+00:00")
    (home / "runs" / "begun-0").mkdir()
    assert home_at(edits) == home
    assert find_run(home) == find_run(edits) == home / "runs" / "a-0"
    assert find_run(home / "runs" / "b-0" / "result.json") == home / "runs" / "b-0"
    assert find_run(home / "runs" / "b-0" / "run.json") == home / "runs" / "b-0"
    own = finished(home, "2026-04-01T00:00:00+00:00")
    assert find_run(home) == own
    assert len(run_folders(home)) == 4


def test_a_record_of_another_result_is_none(tmp_path: Path) -> None:
    run = finished(tmp_path / "r", "2026-01-01")
    assert read_record(run)["finished_at"] == "2026-01-01"
    (run / "result.json").write_text("[]")
    assert read_record(run) == {}
    (run / "run.json").write_text('{"finished_at": "2025-01-01"}')  # 0.1.0 named no result
    assert read_record(run) == {"finished_at": "2025-01-01"}


def test_a_store_is_the_one_on_record_else_beside(tmp_path: Path) -> None:
    run = finished(tmp_path / "e.isr" / "runs" / "j-0", "2026-01-01")
    assert store_of(run, {}) == run / "isr.db"
    for file in (tmp_path / "e.isr" / "isr.db", run / "isr.db", tmp_path / "x.db"):
        file.write_bytes(b"")
        named = {"options": {"store": "../../../x.db"}} if file.name == "x.db" else {}
        assert store_of(run, named).resolve() == file


@pytest.mark.skipif(sys.platform == "win32", reason="links")
def test_results_lie_beside_the_data_whatever_path_leads_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "photos" / "edits"
    (data / "sub").mkdir(parents=True)
    beside = tmp_path / "photos" / "edits.isr"
    monkeypatch.chdir(data)
    (tmp_path / "link").symlink_to(data)
    for path in (".", "./", "../edits", "sub/..", data, tmp_path / "link", f"{tmp_path}/link/"):
        found = folder_beside(Path(path))
        assert found.resolve() == beside
        assert Options(directory=Path(path)).home == found
    monkeypatch.chdir(data.parent)
    assert folder_beside(Path("edits")) == Path("edits.isr")  # as it was given, for messages
    assert folder_beside(Path("edits/"), ".labels") == Path("edits.labels")
    (beside / "runs").mkdir(parents=True)
    monkeypatch.chdir(data)
    assert home_at(Path()) == beside
    (tmp_path / "link.isr").mkdir()  # an older version's: used where there is no other
    assert folder_beside(tmp_path / "link") == beside
    beside.joinpath("runs").rmdir()
    beside.rmdir()
    assert folder_beside(tmp_path / "link") == tmp_path / "link.isr"


def test_scoring_the_folder_in_which_one_stands_writes_nothing_into_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded_run(tmp_path / "w", images=1, prompts=1)  # which lies in the home itself, as of 0.1.0
    data = tmp_path / "w" / "edits"
    before = sorted(p.name for p in data.iterdir())
    monkeypatch.chdir(data)
    monkeypatch.setattr(sys, "argv", ["isr", "score", ".", "--judge", "../recorded.toml", "--quiet"])
    with contextlib.suppress(SystemExit):
        main()
    assert sorted(p.name for p in data.iterdir()) == before
    assert len(run_folders(tmp_path / "w" / "edits.isr")) == 2
    assert find_run(Path()) == find_run(data)


def score(*args: object) -> Result:
    return CliRunner().invoke(cli, ["score", *map(str, args), "--quiet", "--no-report"])


def test_who_is_refused_or_only_looks_leaves_no_folder(tmp_path: Path) -> None:
    edits = tmp_path / "edits"
    rows = make_directory(edits, images=2, prompts=1)
    before = sorted(tmp_path.rglob("*"))
    assert CliRunner().invoke(cli, ["validate", str(edits)]).exit_code == 0
    assert score(edits, "--judge", "shapes-oracle", "--dry-run").exit_code == 0
    for refused in (
        ("--by", "nothing"),
        ("--out", tmp_path / "a" / "b", "--by", "nothing"),
        ("--qualification", "none"),
    ):
        assert isinstance(score(edits, "--judge", "shapes-oracle", *refused).exception, IsrError)
    assert sorted(tmp_path.rglob("*")) == before
    write_metadata(edits, [{**rows[0], "prompt": ""}, rows[1]])
    assert isinstance(CliRunner().invoke(cli, ["validate", str(edits)]).exception, IsrError)
    assert isinstance(score(edits, "--judge", "shapes-oracle").exception, IsrError)
    assert sorted(tmp_path.rglob("*")) == before


def test_what_was_there_before_a_refusal_stays_and_is_used(tmp_path: Path) -> None:
    edits, home = tmp_path / "edits", tmp_path / "edits.isr"
    make_directory(edits, images=2, prompts=1)
    home.mkdir()
    assert CliRunner().invoke(cli, ["validate", str(edits)]).exit_code == 0
    assert (home / "cache.db").is_file()
    assert isinstance(score(edits, "--judge", "shapes-oracle", "--by", "nothing").exception, UsageError)
    assert (home / "cache.db").is_file()


def end(home: Path, file: str, error: BaseException) -> None:
    """A block that makes a home with a file in it, and ends so."""
    with unless_refused(home):
        home.mkdir(parents=True, exist_ok=True)
        (home / file).touch()
        raise error


def test_an_interruption_keeps_what_was_digested(tmp_path: Path) -> None:
    home = tmp_path / "a" / "b"
    for error in (Interrupted("stopped"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            end(home, "cache.db", error)
        assert (home / "cache.db").is_file()
    other = tmp_path / "c" / "d"
    with pytest.raises(UsageError):
        end(other, "cache.db", UsageError("refused"))
    assert not other.parent.exists()
    with pytest.raises(UsageError):
        end(other, "mine.txt", UsageError("refused"))
    assert (other / "mine.txt").is_file()


def test_edits_are_at_the_place_on_record_else_beside_the_home(tmp_path: Path) -> None:
    run = tmp_path / "e.isr" / "runs" / "judge-1"
    run.mkdir(parents=True)
    elsewhere = tmp_path / "far" / "edits"
    elsewhere.mkdir(parents=True)
    assert place_of_edits(run, {}) is None
    named = {"options": {"directory": "../../../far/edits"}}
    found = place_of_edits(run, named)
    assert found is not None
    assert found.samefile(elsewhere)
    beside = tmp_path / "e"
    beside.mkdir()
    assert place_of_edits(run, {}) == beside
    assert place_of_edits(run, named) == run / "../../../far/edits"
    assert place_of_edits(run, {"options": {"directory": "../gone"}}) == beside
    assert edits_of(run, {"options": {"directory": 7}}) == beside
    alone = tmp_path / "results"
    alone.mkdir()
    assert place_of_edits(alone, {}) is None
