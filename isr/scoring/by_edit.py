"""What a finished run says edit by edit, as plain rows: its edits, its verdicts, the judge's own words from the store."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isr.canonical import sha256_bytes
from isr.errors import InputError, Problem
from isr.judging.store import Store
from isr.reading import MAX_TABLE, Unreadable, read_bytes
from isr.scoring.bundled import fill_answers, in_its_name
from isr.scoring.edits_csv import rows_of
from isr.scoring.metrics_csv import read_metrics
from isr.scoring.places import TABLE, read_record, store_of
from isr.scoring.question import run_digest
from isr.types import Treatment, Unit, Value

if TYPE_CHECKING:
    from isr.scoring.result import Result

log = logging.getLogger("isr")
NAMES = ("edit_id", "arm", "file_name", "prompt", *Unit._fields, *Treatment._fields, "outcome")
"""The columns that stand before every verdict and every answer."""
MEASURED = ("protected_linf", "protected_psnr")
SAID = ("finish_reason", "refusal", "received_at", "latency_s")

Row = dict[str, Any]


@dataclass(frozen=True)
class Tabulated:
    """A result with the rows of its table; ``numbers``: the columns that hold what was measured."""

    result: Result
    folder: Path
    rows: Sequence[Mapping[str, str]]
    numbers: frozenset[str]


@in_its_name()
def table_of(result: Result) -> Tabulated:
    """A result with its table. Raises ``InputError`` where it lies nowhere, or the folder holds another's table."""
    if result.folder is None:
        raise InputError(
            "Result: expected a result that lies in a folder, with its edits.csv beside it; found one that was read from "
            "bytes; take isr.Result.load(FOLDER)"
        )
    file = result.folder / TABLE
    try:
        table = read_bytes(file, MAX_TABLE)
        result.require_table(sha256_bytes(table), file)
        measured = read_metrics(result.folder, run_digest(result, table))
        rows = [measured.join(row) for row in rows_of(table)]
    except (Unreadable, ValueError, csv.Error) as error:
        found = error.found if isinstance(error, Unreadable) else str(error)
        problem = Problem(str(file), "", "the table of edits of a run", found, "run isr score again")
        raise InputError("a run cannot be read", [problem]) from error
    return Tabulated(result, result.folder, rows, frozenset({*MEASURED, *measured.columns}))


def edits(run: Tabulated) -> Iterator[Row]:
    """One row for each edit and arm: the columns of ``edits.csv``, what was measured as numbers (``None``: not measured)."""
    for row in run.rows:
        yield {name: _number(cell) if name in run.numbers else cell for name, cell in row.items()}


def verdicts(run: Tabulated) -> Iterator[Row]:
    """One row for each edit, arm, judge, question and repeat.

    ``verdict`` is ``fails``, ``fine`` or ``undecided`` with its ``reason``; ``score`` and ``reasoning`` are ``None`` and
    empty where the table of several repeats does not tell which of them said it.
    """
    for row in run.rows:
        named = {name: row[name] for name in NAMES}
        for judge in run.result.judges:
            for rubric in run.result.rubrics:
                said = _said(row, f"{judge['name']}:{rubric['question']}")
                for repeat, one in enumerate(said):
                    yield {
                        **named,
                        "judge": judge["name"],
                        "question": rubric["question"],
                        "repeat": repeat,
                        **one,
                    }


def answers(run: Tabulated) -> Iterator[Row]:
    """The rows of ``verdicts`` with what the judge replied, word for word, as the run's answer store has it.

    ``reply`` is the text, ``model`` who served it; ``ask`` counts from 0, and a question that was asked again has a row for
    each reply. ``None``: there is no reply. Raises ``StoreError`` where the store is not there.
    """
    said = _replies(run)
    torn: set[str] = set()
    shas = [row.get("edit_sha256", "") for row in run.rows]
    per_edit = {(row["edit_id"], row["arm"]): sha for row, sha in zip(run.rows, shas, strict=True)}
    for one in verdicts(run):
        edit = per_edit[one["edit_id"], one["arm"]]
        by_source = said.get((one["judge"], one["question"], edit, one["prompt"], one["repeat"]), {})
        if (
            len(by_source) > 1
        ):  # the same pixels by the same instruction from two sources: whose reply, no table tells
            torn.add(one["edit_id"])
        found = next(iter(by_source.values())) if len(by_source) == 1 else [_NO_REPLY]
        yield from ({**one, **reply} for reply in found)
    if torn:
        log.warning(
            "%s: %d edits without their replies, since the store has some to the same pixels from several sources: %s",
            run.folder, len(torn), ", ".join(sorted(torn)[:3]),
        )  # fmt: skip


_NO_REPLY: Row = {"ask": None, "reply": None, "model": None, **dict.fromkeys(SAID)}
_Asked = tuple[str, str, str, str, int]  # judge, question, digest of the edit, prompt, repeat


def _replies(run: Tabulated) -> Mapping[_Asked, Mapping[str, list[Row]]]:
    """Every reply of the run's judges to its rubrics, by what was asked and by the source that was shown."""
    judges = {str(j["digest"]): str(j["name"]) for j in run.result.judges}
    questions = {str(r["digest"]): str(r["question"]) for r in run.result.rubrics}
    rubrics: dict[str, str] = {}
    damaged: list[str] = []
    found: dict[_Asked, dict[str, list[Row]]] = {}
    fill_answers(run.folder)
    with Store(store_of(run.folder, read_record(run.folder)), read_only=True) as store:
        for row in store.export(on_damage=lambda _, what: damaged.append(what)):
            if "part" in row:
                rubrics[row["part"]] = str(row["body"].get("rubric_digest", ""))
                continue
            asked, said = row["request"], row["answer"]
            judge = judges.get(asked["judge"], "")
            question = questions.get(rubrics.get(asked["rubric"], ""), "")
            if not judge or not question:
                continue
            images = asked["images"]
            key = (judge, question, str(images.get("edit", "")), str(asked["prompt"]), int(asked["repeat"]))
            reply = {
                "ask": row["ask"],
                "reply": said.get("text", ""),
                "model": said.get("served", {}).get("model"),
            }
            reply |= {name: said.get(name) for name in SAID}
            found.setdefault(key, {}).setdefault(str(images.get("source", "")), []).append(reply)
    if damaged:
        log.warning(
            "%s: %d damaged rows of its store are left out; isr store verify", run.folder, len(damaged)
        )
    return found


def _said(row: Mapping[str, str], name: str) -> list[Row]:
    """The verdicts of one judge to one question, repeat by repeat, as the cells of a row have them."""
    values = row.get(name, "").split("|")
    reasons = iter([r for r in row.get(f"{name}_reason", "").split("|") if r])
    scores = _each(row.get(f"{name}_score", ""), "|", len(values))
    words = _each(row.get(f"{name}_reasoning", ""), " | ", len(values))
    p_yes = _each(row.get(f"{name}_p_yes", ""), "|", len(values))
    return [
        {
            "verdict": value,
            "reason": next(reasons, "") if value == Value.UNDECIDED else "",
            "score": None if (score := _number(scores[i])) is None else int(score),
            "reasoning": words[i],
            "p_yes": _number(p_yes[i]),
        }
        for i, value in enumerate(values)
    ]


def _each(cell: str, between: str, n: int) -> list[str]:
    """A cell's values, one for each repeat; nothing where it has not as many."""
    if n == 1:
        return [cell]
    found = cell.split(between)
    return found if len(found) == n else [""] * n


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
