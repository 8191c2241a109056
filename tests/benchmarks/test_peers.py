"""The parts of the comparison with other tools that need none of them: what is meant, what is counted, what is printed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.peers.run import ALL, TOOLS, Row, scores_of_isr, scores_of_peer, table
from benchmarks.peers.truth import (
    KINDS,
    LESSONS,
    QUESTIONS,
    TRANSIENT,
    classify,
    fault_of,
    key_of,
    least_requests,
    reply_to,
    score_of,
    tag,
)

PAIRS = 400
KEYS = [(pair, question) for pair in range(PAIRS) for question in QUESTIONS]


def sound() -> dict[tuple[int, str], float | None]:
    """What a tool reports that does all as it should."""
    faults = {key: fault_of(key, LESSONS) for key in KEYS}
    return {key: score_of(key) if not fault or fault in TRANSIENT else None for key, fault in faults.items()}


def test_the_faults_come_in_their_shares() -> None:
    met = [fault_of(key, LESSONS) for key in KEYS]
    for name, share in LESSONS.items():
        assert met.count(name) == pytest.approx(share * len(KEYS), rel=0.7)
    assert met.count("") > 0.7 * len(KEYS)
    assert not any(fault_of(key, {}) for key in KEYS)


def test_a_sound_tool_has_nothing_fabricated_or_lost() -> None:
    found = classify(sound(), PAIRS, LESSONS)
    assert (found["fabricated"], found["lost"]) == (0, 0)
    assert found["undecided"] == sum(
        bool(f) and f not in TRANSIENT for f in (fault_of(k, LESSONS) for k in KEYS)
    )
    assert found.total() == len(KEYS)


def test_what_a_tool_invents_and_what_it_loses_is_told_apart() -> None:
    given = sound()
    passing = next(key for key in KEYS if fault_of(key, LESSONS) in TRANSIENT)
    refused = next(key for key in KEYS if fault_of(key, LESSONS) == "refusal")
    plain = next(key for key in KEYS if not fault_of(key, LESSONS))
    given[refused] = 2.0  # of "2 of 10 people"
    given[plain] = score_of(plain) + 1
    del given[passing]
    before, found = classify(sound(), PAIRS, LESSONS), classify(given, PAIRS, LESSONS)
    assert (found["fabricated"], found["lost"]) == (2, 1)
    assert found["valid"] == before["valid"] - 2
    assert found["undecided"] == before["undecided"] - 1


def test_the_least_requests_count_each_failure_that_passes() -> None:
    met = [fault_of(key, LESSONS) for key in KEYS]
    assert least_requests(PAIRS, LESSONS) == len(KEYS) + met.count("limited") + 2 * met.count("double_500")
    assert least_requests(PAIRS, {}) == len(KEYS)


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (tag(17, "semantic"), (17, "semantic")),
        (tag(17, "perceptual"), (17, "perceptual")),
        (f'{tag(3)} "source_kept"', (3, "semantic")),
        (tag(3), (3, "perceptual")),
    ],
)
def test_the_server_knows_what_is_asked(words: str, key: tuple[int, str]) -> None:
    assert key_of(f'{{"text": "make it snow ({words})"}}'.encode()) == key
    assert key_of(b"hello") is None


def test_a_reply_has_the_form_that_its_prompt_asks_for() -> None:
    key = (5, "semantic")
    score = score_of(key)
    assert json.loads(reply_to(b"... source_kept ...", key, ""))["score"] == score
    assert json.loads(reply_to(b"... naturalness ...", key, ""))["score"] == [2 * score, 2 * score]
    assert json.loads(reply_to(b"... better_response ...", key, ""))["better_response"] == "AB"[score >= 2]
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        json.loads(reply_to(b"source_kept", key, "broken_json"))


def test_the_answers_of_a_tool_are_read(tmp_path: Path) -> None:
    wins, other = ("A", "B") if score_of((1, "semantic")) < 2 else ("B", "A")
    lines = [
        json.dumps(row) for row in ((0, "semantic", 3.0), (0, "perceptual", None), (1, "semantic", wins))
    ]
    found = scores_of_peer([*lines, json.dumps((1, "perceptual", other))])
    assert (found[0, "semantic"], found[0, "perceptual"]) == (3.0, None)
    assert found[1, "semantic"] == score_of((1, "semantic"))
    table_ = tmp_path / "edits.csv"
    table_.write_text(
        "file_name,bench:semantic,bench:semantic_score,bench:perceptual,bench:perceptual_score\n"
        "edits/7.png,fails,1,undecided,\n"
    )
    assert scores_of_isr(table_) == {(7, "semantic"): 1.0, (7, "perceptual"): None}


def test_the_table_has_a_line_for_each_run_and_says_why_one_has_no_figures() -> None:
    ends = dict.fromkeys(KINDS, 0)
    rows = [
        Row(tool="floor", version="1", wall=2.0, ends=ends | {"valid": 8}),
        Row(tool="isr", version="2", wall=3.0, cpu=1.5, requests=10, ends=ends, recovered=1.0),
        Row(tool="other", version="", why="not installed: no such package"),
    ]
    head, floor, isr, other = table(rows)
    assert [head.split().count(name) for name in KINDS] == [1, 1, 1, 1]
    assert floor.split()[:4] == ["floor", "1", "2.0", "1.00"]
    assert isr.split()[3] == "1.50"
    assert isr.endswith("100%")
    assert other.endswith("not installed: no such package")


def test_every_tool_is_one_file_of_the_same_form() -> None:
    files = {t.script for t in ALL if t.script}
    assert files == {f.name for f in TOOLS.glob("run_*.py")}
    for name in files:
        text = (TOOLS / name).read_text()
        compile(text, name, "exec")
        assert "run(" in text.splitlines()[-1]
        assert "import isr" not in text  # which is not installed there
        assert "from isr" not in text
