"""The answers in a bundle: changed, with and without their digests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isr.bundle.verify import lines
from isr.judging.store_format import answer_digest, fields_of, text_of
from isr.scoring.bundle_file import MANIFEST
from isr.types import Answer
from tests.bundle.bundles import found, rewritten


def another_verdict(row: dict[str, Any]) -> bool:
    """Turns the first verdict of a row from fine to fails; whether it had one."""
    if '"verdict": "fine"' not in row.get("answer", {}).get("text", ""):
        return False
    row["answer"]["text"] = row["answer"]["text"].replace('"fine"', '"fails"')
    return True


def with_answers(data: bytes, *changes: Callable[[dict[str, Any]], object]) -> bytes:
    """The rows of ``answers.jsonl``, the first in which the first change finds something changed by all of them."""
    rows = [json.loads(line) for line in data.splitlines()]
    row = next(row for row in rows if changes[0](row))
    for change in changes[1:]:
        change(row)
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


@pytest.mark.parametrize("relist", [False, True])
def test_an_answer_that_is_not_what_its_digest_says_is_named(bundle: Path, relist: bool) -> None:
    def change(name: str, data: bytes) -> bytes:
        return with_answers(data, another_verdict) if name == "answers.jsonl" else data

    result = found(rewritten(bundle, change, relist=relist))
    assert any(
        f.startswith("answers.jsonl: answers.jsonl:") and "content has another digest" in f
        for f in result.faults
    )
    assert any(f.startswith("answers.jsonl: other bytes") for f in result.faults) is not relist
    assert next(lines(result)).endswith(f"NOT consistent, {len(result.faults)} fault(s)")


def redigested(row: dict[str, Any]) -> None:
    body = text_of(fields_of(Answer.recorded(row["answer"])))
    row["digest"] = f"sha256:{answer_digest(bytes.fromhex(row['key']), row['ask'], body.encode()).hex()}"


def undigested(row: dict[str, Any]) -> None:
    """As bundles of isr 0.1.0 have it."""
    del row["digest"]


@pytest.mark.parametrize("forged", [redigested, undigested])
@pytest.mark.parametrize("relist", [False, True])
def test_a_changed_verdict_is_found_by_name(
    bundle: Path, relist: bool, forged: Callable[[dict[str, Any]], None]
) -> None:
    def change(name: str, data: bytes) -> bytes:
        return with_answers(data, another_verdict, forged) if name == "answers.jsonl" else data

    result = found(rewritten(bundle, change, relist=relist))
    faults = result.faults
    told = "answers.jsonl: 1 of 48 answers have no digest, first answers.jsonl:"
    assert any(f.startswith(told) for f in faults) is (forged is undigested), faults
    assert any(f.startswith("edits.csv: edits/") and "'fine'; the answers say 'fails'" in f for f in faults)
    assert any("significant digits" in f for f in faults)
    assert any(f.startswith("answers.jsonl: other bytes") for f in faults) is not relist


@pytest.mark.parametrize("as_of_0_1_0", [False, True])
def test_all_digests_taken_away(bundle: Path, as_of_0_1_0: bool) -> None:
    """The manifest says that there were some; a bundle of 0.1.0 has none, and that is what stays unproved."""

    def change(name: str, data: bytes) -> bytes:
        if name == MANIFEST and as_of_0_1_0:
            return json.dumps({k: v for k, v in json.loads(data).items() if k != "answer_digests"}).encode()
        if name != "answers.jsonl":
            return data
        rows = [json.loads(line) for line in data.splitlines()]
        return b"".join(
            json.dumps({k: v for k, v in r.items() if k != "digest"}).encode() + b"\n" for r in rows
        )

    result = found(rewritten(bundle, change, relist=True))
    assert [f.partition(", first")[0] for f in result.faults] == (
        [] if as_of_0_1_0 else ["answers.jsonl: 48 of 48 answers have no digest"]
    )
    assert any("that the 48 answers are as they were received" in u for u in result.unproved) is as_of_0_1_0
