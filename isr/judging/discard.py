"""Puts answers aside that a judge gave before it ever worked, so that it can be asked again without a mark.

Asking again where an answer came to nothing selects, and stands in the signature (``--reask``). Where a judge has given no
verdict at all, there is nothing to select from: a server that thought into the wrong field is repaired, and asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isr.errors import RubricError, UsageError
from isr.judging.parsing import parse
from isr.judging.recovery import keep_copy, remove_store, replaced, require_store_file
from isr.judging.rubrics import Rubric, load_rubric
from isr.judging.stopping import TECHNICAL
from isr.judging.store import Store
from isr.judging.store_connection import alone
from isr.types import Answer


@dataclass(frozen=True, kw_only=True)
class Discarded:
    """What was put aside: answers by the model of their judge, and the copy of the store that still has them."""

    answers: Mapping[str, int]
    kept: Path


def discard(path: Path, reason: str) -> Discarded:
    """Takes the answers out that are undecided for a technical reason, of every judge that has given no verdict.

    The store as it was is kept beside it. Raises ``UsageError`` for another reason, and where no judge is without a
    verdict; ``StoreError`` where the store is damaged, or another process has it open.
    """
    if reason not in TECHNICAL:
        raise UsageError(
            f"--reason: expected one of {', '.join(TECHNICAL)}, which say nothing about an edit; found {reason!r}; to ask "
            f"again for another reason use isr score --reask, which stands in the signature"
        )
    require_store_file(path)
    path = path.resolve()
    with alone(path):
        kept = keep_copy(path, "before-discard")  # nobody writes to it
        with Store(kept, read_only=True) as store:
            found = dict(_verdicts(store))
            rows = list(store.export())
        decided = {judge for (judge, _, _), said in found.items() if said not in TECHNICAL}
        aside = {
            (key, ask) for (judge, key, ask), said in found.items() if said == reason and judge not in decided
        }
        if not aside:
            remove_store(kept)
            raise UsageError(_nothing(path, reason, found, decided))
        replaced(
            path, lambda made: _written(made, [r for r in rows if (r.get("key"), r.get("ask")) not in aside])
        )
    models = Counter(r["model"] for r in rows if (r.get("key"), r.get("ask")) in aside)
    return Discarded(answers=dict(models), kept=kept)


def _written(made: Path, rows: list[dict[str, Any]]) -> int:
    with Store(made) as store:
        return store.import_rows((f"row {n}", row) for n, row in enumerate(rows, 1))


def _verdicts(store: Store) -> Iterator[tuple[tuple[str, str, int], str]]:
    """((judge, key, ask), why it is undecided or ``""``) of every answer."""
    rubrics: dict[str, Rubric] = {}
    for row in store.export():
        if "part" in row:
            if "rubric_digest" in row["body"]:
                rubrics[row["part"]] = _rubric(row["body"], store.path)
            continue
        rubric = rubrics[row["request"]["rubric"]]
        yield (
            (row["judge"], row["key"], row["ask"]),
            str(parse(Answer.recorded(row["answer"]), rubric).reason),
        )


def _rubric(part: Mapping[str, Any], store: Path) -> Rubric:
    """The rubric of a part: as published, or as a run beside the store kept its text."""
    name, wanted = str(part["rubric"]), part["rubric_digest"]
    for run in (None, store.parent, *sorted(store.parent.glob("runs/*"))):
        try:
            rubric = load_rubric(name, run)
        except RubricError:
            continue
        if rubric.digest == wanted:
            return rubric
    raise UsageError(
        f"{store}: expected the text of {name} by which its answers were given ({str(wanted)[:19]}), published or in a run "
        f"beside the store; found none; ask these answers again with isr score --reask"
    )


def _nothing(path: Path, reason: str, found: Mapping[tuple[str, str, int], str], decided: set[str]) -> str:
    n = sum(said == reason for said in found.values())
    if not n:
        there = ", ".join(f"{n} {said or 'decided'}" for said, n in Counter(found.values()).most_common())
        return (
            f"{path}: expected answers that are undecided as {reason}; found none ({there or 'no answers'})"
        )
    judges = len({judge for judge, _, _ in found} & decided)
    return (
        f"{path}: expected a judge without a single answer that works; found such answers of every judge that left an answer "
        f"undecided as {reason} ({n} answers, {judges} judges): asking again selects, so use isr score --reask "
        f"{reason}, which stands in the signature"
    )
