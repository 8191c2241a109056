"""Every kind of bad judge is found out by the probe meant for it, over real HTTP; a sound one is fit."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from isr.judging.qualification import read_qualification
from isr.qualify.checks import CHECKS
from isr.scoring.places import find_run
from tests.chat_server import ROOT, Running, serving
from tests.directories import write_metadata
from tests.processes import CompletedProcess, run

SCENES = ROOT / "examples" / "shapes"
IMAGES = 6


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One edit of each of a few painted scenes that are large enough for texts, and whose control edit is done."""
    root = tmp_path_factory.mktemp("scenes") / "e"
    rows: dict[str, dict[str, Any]] = {}
    for line in (SCENES / "metadata.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["prompt_id"].startswith(("make", "turn")):
            rows.setdefault(row["image_id"], row)
    kept = [r for r in rows.values() if _usable(r)][:IMAGES]
    assert len(kept) == IMAGES
    for row in kept:
        for column in ("file_name", "source_file_name", "control_file_name"):
            (root / row[column]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(SCENES / row[column], root / row[column])
        del row["protected_file_name"]
    write_metadata(root, kept)
    return root


def _usable(row: dict[str, Any]) -> bool:
    from PIL import Image

    truth = (SCENES / "truth.csv").read_text()
    with Image.open(SCENES / row["source_file_name"]) as image:
        return min(image.size) >= 96 and f"{row['edit_id']},control,done,," in truth


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with serving() as running:
        yield running


def qualify(judge: str, directory: Path, *args: str) -> CompletedProcess[str]:
    command = [sys.executable, "-m", "isr", "qualify", judge, str(directory), "--quiet", *args]
    return run(command)


def statuses(out: Path) -> dict[str, str]:
    return {p["name"]: p["status"] for p in read_qualification(out)["probes"]}


@pytest.mark.parametrize(
    ("behaviour", "meant"),
    [
        ("fine", {"unchanged", "black", "noise", "blur", "blocks", "dose"}),
        ("fails", {"undamaged", "known", "dose"}),
        ("random", {"repeats"}),
        ("blind", {"dose"}),
        ("obedient", {"order-fine", "order-fails"}),
    ],
)
def test_a_bad_judge_is_found_out_by_the_probe_meant_for_it(
    tmp_path: Path, scenes: Path, server: Running, card: Callable[..., str], behaviour: str, meant: set[str]
) -> None:
    server.change(behaviour=behaviour)
    done = qualify(card(server), scenes, "--out", str(tmp_path / "q"), "--store", str(tmp_path / "isr.db"))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "judge (test-model, revision not pinned): UNFIT" in done.stdout
    found = statuses(tmp_path / "q")
    assert {found[name] for name in meant} == {"failed"}, done.stdout
    if behaviour == "obedient":
        assert {name for name, status in found.items() if status == "failed"} == meant
    if behaviour in ("fine", "fails", "blind"):
        assert found["repeats"] == "passed"


def test_a_sound_judge_is_fit_and_is_asked_nothing_twice(
    tmp_path: Path, scenes: Path, server: Running, card: Callable[..., str]
) -> None:
    server.change(behaviour="sound")
    args = ("--out", str(tmp_path / "q"), "--store", str(tmp_path / "isr.db"))
    before = server.stats()["calls"]
    done = qualify(card(server), scenes, *args)
    assert done.returncode == 0, done.stdout + done.stderr
    first, calls = (tmp_path / "q" / "qualification.json").read_bytes(), server.stats()["calls"]
    found = statuses(tmp_path / "q")
    assert set(found) == {c.name for c in CHECKS}
    assert "failed" not in found.values(), done.stdout
    assert {found[n] for n in ("unrelated", "nonsense", "known", "rubric-versions")} == {"not applicable"}
    raw = json.loads(first)
    assert calls - before == raw["data"]["answers"]
    assert next(p for p in raw["probes"] if p["name"] == "nonsense")["undecided"] == {"refusal": IMAGES}
    assert qualify(card(server), scenes, *args).returncode == 0
    assert server.stats()["calls"] == calls
    assert (tmp_path / "q" / "qualification.json").read_bytes() == first


@pytest.mark.slow
def test_a_frozen_anchor_raises_an_alarm_when_the_judge_changes(
    tmp_path: Path, scenes: Path, server: Running, card: Callable[..., str]
) -> None:
    server.change(behaviour="sound", reports="")
    judge, anchor = card(server), tmp_path / "anchor.json"
    args = ("--out", str(tmp_path / "q"), "--store", str(tmp_path / "isr.db"))
    assert qualify(judge, scenes, *args, "--anchor", str(anchor)).returncode == 0
    against = ("--out", str(tmp_path / "q"), "--against", str(anchor), "--json")

    def drift(occasion: str, code: int) -> Any:
        done = qualify(judge, scenes, *against, "--occasion", occasion)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)["drift"]

    before = server.stats()["calls"]
    same = drift("same", 0)
    asked = len(json.loads(anchor.read_text())["answers"])
    assert server.stats()["calls"] == before + asked  # everything is asked anew
    assert (same["alarm"], same["changed"]["value"], same["unmatched"]) == (False, 0.0, 0)
    assert drift("same", 0) == same
    assert server.stats()["calls"] == before + asked  # and an occasion goes on where it stopped
    server.change(behaviour="fails")
    other = drift("stricter", 1)
    assert other["alarm"]
    towards = next(s for s in other["shifts"] if s["name"] == "verdicts towards fails")
    # all images move the same way: 2 of 2^6 sign patterns reach that far
    assert towards["p_value"] == pytest.approx(2 / 2**IMAGES)
    assert towards["p_value"] < towards["p_holm"] <= 3 * 2 / 2**IMAGES
    assert any("no repeat of a request differed" in alarm for alarm in other["alarms"])
    server.change(behaviour="sound", reports="test-model-2")
    renamed = drift("renamed", 1)
    assert renamed["alarms"] == ["another model answers: test-model-2; it was test-model"]
    server.change(reports="")
    done = qualify("shapes-oracle", scenes, "--against", str(anchor), "--out", str(tmp_path / "o"))
    assert done.returncode == 2
    assert "another identity" in done.stderr


@pytest.mark.slow
def test_score_prints_what_is_known_about_its_judge(
    tmp_path: Path, scenes: Path, server: Running, card: Callable[..., str]
) -> None:
    server.change(behaviour="obedient", reports="")
    edits = tmp_path / "e"
    shutil.copytree(scenes, edits)
    judge = card(server)

    def score(*args: str) -> tuple[str, Any]:
        command = [sys.executable, "-m", "isr", "score", str(edits), "--judge", judge, "--quiet", *args]
        done = run(command)
        if done.returncode:
            return done.stderr, None
        return done.stdout, json.loads((find_run(tmp_path / "e.isr") / "run.json").read_text())[
            "qualification"
        ]

    text, known = score()
    assert "judge judge: not qualified under these rubrics" in text
    assert known == [
        {"judge": "judge", "verdict": None, "probes_passed": 0, "probes_applicable": 0, "reservations": [], "signature": "", "reported_models": []}
    ]  # fmt: skip
    first, calls = (find_run(tmp_path / "e.isr") / "result.json").read_bytes(), server.stats()["calls"]
    assert qualify(judge, edits).returncode == 1
    raw = read_qualification(tmp_path / "e.isr" / "qualify" / "judge")
    # isr score had asked about every edit once: its answers on control edits are the first of the repeats
    assert server.stats()["calls"] - calls == raw["data"]["answers"] - 2 * IMAGES
    text, known = score()
    assert "judge judge: unfit" in text
    assert "order-fine (failed)" in text
    assert known[0]["signature"] == raw["signature"]
    assert (find_run(tmp_path / "e.isr") / "result.json").read_bytes() == first
    server.change(reports="test-model-2")
    _, known = score("--repeats", "3")
    assert any("test-model-2" in r for r in known[0]["reservations"])
    server.change(reports="")
    other = tmp_path / "other.json"
    other.write_text(json.dumps(raw | {"judge": raw["judge"] | {"digest": "sha256:0"}}))
    text, _ = score("--qualification", str(other))
    assert "leave the option out" in text


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--images", "1"], "--images: expected at least 2"),
        (["--repeats", "1"], "--repeats: expected at least 2"),
        (["--against", "none.json"], "an anchor cannot be read"),
        (["--rubric", "semantic/v1"], "one for semantic and one for perceptual"),
    ],
)
def test_bad_values_are_named_before_anything_is_spent(
    tmp_path: Path, scenes: Path, server: Running, card: Callable[..., str], args: list[str], words: str
) -> None:
    before = server.stats()["calls"]
    done = qualify(card(server), scenes, "--out", str(tmp_path / "q"), *args)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert server.stats()["calls"] == before


def test_a_panel_is_qualified_member_by_member(tmp_path: Path, scenes: Path) -> None:
    done = qualify("gemini-successors", scenes, "--out", str(tmp_path / "q"))
    assert done.returncode == 2
    assert "qualify its members: " in done.stderr


def test_the_directory_must_be_named(tmp_path: Path) -> None:
    (tmp_path / "examples" / "shapes").mkdir(parents=True)
    (tmp_path / "examples" / "shapes" / "metadata.jsonl").write_text(
        ""
    )  # whatever lies here is not taken unasked
    command = [sys.executable, "-m", "isr", "qualify", "shapes-oracle"]
    done = run(command, cwd=tmp_path)
    assert done.returncode == 2
    assert "EDIT_DIR: expected an edit directory" in done.stderr


def test_requests_without_a_reply_are_no_qualification(
    tmp_path: Path, scenes: Path, card: Callable[..., str]
) -> None:
    out = tmp_path / "q"
    args = ("--out", str(out), "--store", str(tmp_path / "isr.db"), "--images", "2")
    with serving(faults="down") as down:
        judge = card(down, max_attempts=1)
        done = qualify(judge, scenes, *args)
        assert done.returncode == 3
        assert "run the same command again" in done.stderr
        assert not (out / "qualification.json").exists()
        down.change(faults={}, behaviour="sound")
        assert qualify(judge, scenes, *args).returncode == 0
    assert read_qualification(out)["verdict"] == "fit with reservations"  # two images are too few for more
