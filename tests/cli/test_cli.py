"""The command as a user meets it: real processes, exit codes, messages."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from isr.cli import cli
from tests.chat_server import serving
from tests.directories import make_directory, write_metadata
from tests.processes import CompletedProcess, run
from tests.runs import the_run

COMMANDS = [
    "bundle", "config", "doctor", "init", "judges", "label", "prompts", "qualify", "report", "score", "store", "validate", "verify",
]  # fmt: skip


def isr_command(*args: str, **options: str) -> CompletedProcess[str]:
    return run([sys.executable, "-m", "isr", *args])


def test_every_module_is_a_command_with_help_and_an_example() -> None:
    listing = CliRunner().invoke(cli, ["--help"])
    assert listing.exit_code == 0
    for name in COMMANDS:
        assert f"\n  {name} " in listing.output
        text = CliRunner().invoke(cli, [name, "--help"])
        assert text.exit_code == 0
        assert f"isr {name}" in text.output, f"{name} has no example"


def test_validate_lists_every_problem_with_its_row_and_spends_nothing(tmp_path: Path) -> None:
    rows = make_directory(tmp_path / "e", images=3, prompts=2)
    rows[0]["file_name"] = "../outside.png"
    rows[1]["prompt"] = "  "
    del rows[2]["source_file_name"]
    rows[3]["edit_id"] = rows[4]["edit_id"] = "twice"
    rows[5]["seed"] = {"a": 1}
    (tmp_path / "e" / "edits" / "1-0-0.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    write_metadata(tmp_path / "e", rows)
    done = isr_command("validate", str(tmp_path / "e"))
    assert done.returncode == 2
    for row, words in {
        1: "outside.png",
        2: "an edit instruction",
        3: "a source, which the rubric shows beside the edit and beside the control edit",
        5: "'twice', which metadata.jsonl:4 has",
        6: "'seed': expected a text or a number",
    }.items():
        assert any(
            f"metadata.jsonl:{row}: " in line and words in line for line in done.stderr.splitlines()
        ), done.stderr
    assert "edits/1-0-0.png" in done.stderr
    as_json = json.loads(isr_command("validate", str(tmp_path / "e"), "--json").stdout)
    assert not as_json["valid"]
    assert {"where", "field", "expected", "found", "fix"} == set(as_json["problems"][0])


def test_validate_a_sound_directory(tmp_path: Path) -> None:
    make_directory(tmp_path / "e", images=3, prompts=2)
    done = isr_command("validate", str(tmp_path / "e"))
    assert done.returncode == 0
    assert "valid; 6 edits, 3 images, 6 units, 6 units with control, 1 treatments" in done.stdout


def test_init_makes_a_directory_that_scores(tmp_path: Path, card: Callable[..., str]) -> None:
    make_directory(tmp_path / "raw", images=3, prompts=2)
    prompts = ["name,prompt,prompt_id"] + [
        f"{i},make it colour {p},{p}-0" for i in range(3) for p in range(2)
    ]
    (tmp_path / "prompts.csv").write_text("\n".join(prompts))
    raw = tmp_path / "raw"
    args = ["init", str(tmp_path / "e"), "--edits", f"{raw}/edits/*.png", "--source", f"{raw}/sources/*.png"]
    args += [
        "--control",
        f"{raw}/controls/*.png",
        "--prompts",
        str(tmp_path / "prompts.csv"),
        "--column",
        "method=x",
    ]
    done = isr_command(*args)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 edits matched" in done.stdout
    with serving() as server:
        scored = isr_command("score", str(tmp_path / "e"), "--judge", card(server), "--json")
    assert json.loads(scored.stdout)["treatments"][0]["method"] == "x"
    again = isr_command(*args)
    assert again.returncode == 2
    assert "metadata.jsonl" in again.stderr


def test_a_bad_option_ends_with_2_and_a_sentence() -> None:
    done = isr_command("score")
    assert done.returncode == 2
    assert "EDIT_DIR" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--repeats", "2"], "an odd number"),
        (["--limit", "0"], "at least 1"),
        (["--level", "95"], "from 0.5 to below 1"),
        (["--reask", "boredom"], "reasons out of refusal"),
        (["--by", "nonsense"], "columns of the metadata"),
        (["--rubric", "semantic/v1"], "one for semantic and one for perceptual"),
        (["--rubric", "semantic/v9", "--rubric", "perceptual/v1"], "no such version"),
        (["--set", "decoding.warmth=1"], "decoding.warmth"),
        (["--set", "nonsense"], "expected key=value"),
        (["--judge", "no-such-judge"], "isr judges lists all"),
    ],
)
def test_bad_values_are_named_before_anything_is_spent(
    tmp_path: Path, card: Callable[..., str], args: list[str], words: str
) -> None:
    make_directory(tmp_path / "e", images=1, prompts=1)
    with serving() as server:
        judge = [] if "--judge" in args else ["--judge", card(server)]
        done = isr_command("score", str(tmp_path / "e"), *judge, *args)
        assert server.stats()["calls"] == 0
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_judges_show_and_check(tmp_path: Path, card: Callable[..., str]) -> None:
    assert "gemini-2.5-pro" in isr_command("judges").stdout
    shown = isr_command("judges", "show", "paper-2512.14320").stdout
    assert "retire" in shown
    assert "rule strict" in shown
    with serving() as server:
        server.change(behaviour="sound", cut=False)
        good = isr_command("judges", "check", card(server))
        assert good.returncode == 0, good.stdout + good.stderr
        assert "model test-model" in good.stdout
        assert "answers follow the schema" in good.stdout
        assert "expected" not in good.stdout
        # two answers of 1500 + 60 tokens and two of 1400 + 60, at 1 and 2 USD per million
        assert "0.00628 USD" in good.stdout
        assert server.stats()["calls"] == 4
        server.change(behaviour="", faults={"prose": 1.0})
        bad = isr_command("judges", "check", card(server))
    assert bad.returncode == 3
    assert "answers cannot be used (not_json)" in bad.stdout


def test_judges_check_names_a_blind_judge_and_a_context_that_is_cut_off(card: Callable[..., str]) -> None:
    with serving() as server:
        server.change(behaviour="fine", cut=False)
        blind = CliRunner().invoke(cli, ["judges", "check", card(server)])
        server.change(behaviour="sound", cut=True)
        cut = CliRunner().invoke(cli, ["judges", "check", card(server)])
        server.change(prompt_tokens=1500, cut=False, behaviour="fails")
        all_fail = CliRunner().invoke(cli, ["judges", "check", card(server)])
    assert (blind.exit_code, cut.exit_code, all_fail.exit_code) == (3, 3, 3)
    for done in (blind, all_fail):
        assert "the good and the bad edit got the same verdicts" in done.output
    assert "semantic (bad edit)    fine, expected fails" in blind.output
    assert "semantic (good edit)   fails, expected fine" in all_fail.output
    assert "all prompts count 1500 tokens" in cut.output
    assert "OLLAMA_CONTEXT_LENGTH" in cut.output


def test_judges_check_says_what_happened_where_nothing_came(tmp_path: Path, card: Callable[..., str]) -> None:
    with socket.socket() as taken:  # bound and not listening
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        place = ("--set", f"endpoint.base_url=http://127.0.0.1:{port}/v1")
        with serving() as elsewhere:
            done = isr_command("judges", "check", card(elsewhere), *place)
    assert done.returncode == 3
    assert done.stdout.count(f"nothing listens at 127.0.0.1:{port}") == 4
    assert "undecided (connection)" in done.stdout
    assert "no reply to 4 of 4 questions" in done.stdout
    assert "schema" not in done.stdout
    assert "timeout" not in done.stdout


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("refusal", "did not judge the test picture (refusal: I'm sorry"),
        ("structured_refusal", "did not judge the test picture (refusal: I cannot evaluate this."),
        ("content_filter", "did not judge the test picture (content_filter: flagged)"),
        ("down", "no reply to 4 of 4 questions"),
        ("truncated", "(truncated): replies are cut off at decoding.max_tokens = 512"),
        ("empty", "answers cannot be used (empty)"),
        ("missing_field", "(missing_field): replies do not follow the schema"),
    ],
)
def test_judges_check_tells_refusals_from_faults(card: Callable[..., str], fault: str, words: str) -> None:
    with serving() as server:
        server.change(faults={fault: 1.0})
        done = CliRunner().invoke(cli, ["judges", "check", card(server)])
    assert done.exit_code == 3
    assert words in done.output
    assert ("not follow the schema" in done.output) == ("not follow the schema" in words)


@pytest.mark.parametrize(
    ("thinking", "thinks", "words"),
    [
        ("true", "told", "thinking is on: 4 of 4 answers show thoughts\n"),
        ("true", "never", "thinking is on: 0 of 4 answers show thoughts; start the server with a --reasoning-parser"),
        ("false", "told", "thinking is off: 0 of 4 answers show thoughts\n"),
        ("false", "always", "thinking is off: 4 of 4 answers show thoughts; the host does not know"),
    ],
)  # fmt: skip
def test_judges_check_says_whether_answers_show_thoughts(
    card: Callable[..., str], thinking: str, thinks: str, words: str
) -> None:
    with serving() as server:
        server.change(thinks=thinks)
        path = card(server)
        done = CliRunner().invoke(cli, ["judges", "check", path, "--set", f"decoding.thinking={thinking}"])
        silent = CliRunner().invoke(cli, ["judges", "check", path])
    assert words in done.output
    assert "thoughts" not in silent.output


def test_judges_check_shows_the_oracle_a_scene_that_it_knows() -> None:
    done = CliRunner().invoke(cli, ["judges", "check", "shapes-oracle"])
    assert done.exit_code == 0, done.output
    assert "expected" not in done.output
    assert "semantic (good edit)   fine" in done.output
    assert "perceptual (bad edit)  fails" in done.output
    assert "answers follow the schema" in done.output


def test_judges_allow_takes_a_host_without_a_port(own_configuration: Path) -> None:
    done = isr_command("judges", "allow", "api.example.org:8443", "EXAMPLE_KEY")
    assert done.returncode == 2
    assert "isr judges allow api.example.org VARIABLE" in done.stderr
    assert not own_configuration.exists()
    done = isr_command("judges", "allow", "api.example.org", "EXAMPLE_KEY")
    assert done.returncode == 0, done.stderr
    assert '"api.example.org" = ["EXAMPLE_KEY"]' in own_configuration.read_text()


def test_prompts_show_and_diff() -> None:
    assert "semantic/v1" in isr_command("prompts").stdout
    assert '"score": integer, 0 to 4' in isr_command("prompts", "show", "semantic/v1").stdout
    assert "+question: perceptual" in isr_command("prompts", "diff", "semantic/v1", "perceptual/v1").stdout
    assert isr_command("prompts", "show", "semantic/v0").returncode == 2


def test_store_verify_and_export(tmp_path: Path, card: Callable[..., str]) -> None:
    make_directory(tmp_path / "e", images=2, prompts=1)
    with serving() as server:
        isr_command("score", str(tmp_path / "e"), "--judge", card(server))
    verified = isr_command("store", "verify", str(tmp_path / "e.isr"))
    assert verified.returncode == 0
    assert "8 answers, all digests hold" in verified.stdout
    rows = [
        json.loads(line)
        for line in isr_command("store", "export", str(tmp_path / "e.isr")).stdout.splitlines()
    ]
    answers = [r for r in rows if "answer" in r]
    assert len(answers) == 8
    assert len(rows) == 8 + 3  # two rubrics as sent, one judge
    assert answers[0]["answer"]["served"]["model"] == "test-model"
    # all of it into another store: the same judge is scored again, and nobody is asked
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    done = isr_command("store", "import", str(tmp_path / "answers.jsonl"), str(tmp_path / "copy.db"))
    assert "8 answers imported" in done.stdout, done.stderr
    assert "digest" not in done.stderr
    bare = [{k: v for k, v in r.items() if k != "digest"} for r in rows]
    (tmp_path / "bare.jsonl").write_text("".join(json.dumps(r) + "\n" for r in bare))
    warned = isr_command("store", "import", str(tmp_path / "bare.jsonl"), str(tmp_path / "bare.db"))
    assert warned.returncode == 0
    assert "8 of 8 answers have no digest" in warned.stderr
    assert "8 answers, all digests hold" in isr_command("store", "verify", str(tmp_path / "copy.db")).stdout
    again = isr_command(
        *("score", str(tmp_path / "e"), "--judge", str(tmp_path / "judge.toml"), "--json"),
        *("--out", str(tmp_path / "again"), "--store", str(tmp_path / "copy.db")),
    )
    assert again.returncode == 0, again.stderr  # the server is gone
    assert again.stdout == (the_run(tmp_path / "e.isr") / "result.json").read_text()
    rows[0]["body"]["system"] = "Always answer fine."
    answers[0]["request"]["prompt"] = "another"
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    spoilt = isr_command("store", "import", str(tmp_path / "answers.jsonl"), str(tmp_path / "other.db"))
    assert spoilt.returncode == 2
    assert "answers.jsonl:1: " in spoilt.stderr
    assert "answers.jsonl:4: " in spoilt.stderr
    assert "0 answers" in isr_command("store", "verify", str(tmp_path / "other.db")).stdout
    assert isr_command("store", "verify", str(tmp_path / "none.db")).returncode == 2


def test_json_is_the_only_thing_on_stdout(tmp_path: Path, card: Callable[..., str]) -> None:
    make_directory(tmp_path / "e", images=2, prompts=1)
    with serving() as server:
        done = isr_command("score", str(tmp_path / "e"), "--judge", card(server), "--json")
    assert json.loads(done.stdout) == json.loads((the_run(tmp_path / "e.isr") / "result.json").read_text())
    assert "isr: judging" in done.stderr
