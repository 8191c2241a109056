"""Recorded answers as a judge: reads a JSONL file such as ``isr store export`` writes, and asks nobody.

``engine.answers`` names the file; each line holds ``content`` (the digest of what was asked, without the
judge) and ``answer``. Where the file holds answers of several judges, ``engine.judge`` says of which (the beginning of
its digest). A request without a recorded answer stays undecided (``not_asked``).

To score a run again under its own judges, panels included, import the file into a store instead
(``isr store import``): then nobody is asked either, and the signature stays that of the judges.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isr.errors import CardError, Problem, TransportError
from isr.judging.store_rows import answer_text
from isr.reading import MAX_TABLE, Unreadable, byte_lines, json_lines, json_of, open_regular
from isr.types import Answer

if TYPE_CHECKING:
    from isr.judging.cards import Card
    from isr.judging.requests import Request
    from isr.judging.sending import Prepared

FREE = True
FILES = ("answers",)


def open_judge(card: Card) -> Replay:
    """A judge that repeats the answers in ``engine.answers``. Raises ``CardError`` with every bad line."""
    path = card.engine.get("answers")
    if not isinstance(path, str) or not path:
        raise CardError(
            f"{card.name}: expected engine.answers, a JSONL file; found none; --set engine.answers=FILE"
        )
    return Replay(Path(path), card)


class Replay:
    """Answers from a file, found by what was asked. Holds byte offsets, not answers."""

    def __init__(self, path: Path, card: Card) -> None:
        self.path, self.card = path, card
        try:
            self._file = open_regular(path, MAX_TABLE)
        except Unreadable as error:
            raise CardError(
                f"{card.name}: expected answers in {path}; found {error.found}; check the path"
            ) from None
        self._offsets: dict[bytes, int] = {}
        self._wanted = str(card.engine.get("judge", ""))
        self._judges: dict[str, str] = {}  # digest -> model
        problems: list[Problem] = []
        for number, offset, row in json_lines(byte_lines(path)):
            problem = self._index(row, offset)
            if problem:
                problems.append(
                    Problem(f"{path}:{number}", "", "content and answer", problem, "export it again")
                )
        if problems:
            self._file.close()
            raise CardError(f"{path}: {len(problems)} line(s) are no recorded answers", problems)
        self._check_judges()

    def _check_judges(self) -> None:
        told = "; ".join(
            f"{digest[:19]} ({model or 'no model named'})" for digest, model in self._judges.items()
        )
        chosen = [j for j in self._judges if j.startswith(self._wanted)]
        if len(chosen) > 1 or (self._wanted and not chosen):
            self._file.close()
            raise CardError(
                f"{self.path}: expected the answers of one judge; found {told or 'none that is named'}; choose with "
                f"--set engine.judge=DIGEST, or import the file into a store (isr store import)"
            )

    def _index(self, row: Any, offset: int) -> str:
        if isinstance(row, Unreadable):
            return row.found
        try:
            if "part" in row:
                return ""
            content, answer = row["content"], row["answer"]
            known = _is_answer(answer)
            if "digest" in row:
                answer_text(row)  # which compares it
            key = bytes.fromhex(content.removeprefix("sha256:"))
            judge = str(row.get("judge", ""))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return f"{type(error).__name__}: {error}"
        if not known or len(key) != 32:
            return "a field of another type"
        if judge:
            self._judges[judge] = str(row.get("model", ""))
        if judge.startswith(self._wanted):
            self._offsets.setdefault(key, offset)  # the first answer stands, as in the store
        return ""

    async def ask(self, request: Request, images: Prepared) -> Answer:
        """The recorded answer to what is asked."""
        offset = self._offsets.get(bytes.fromhex(request.content[7:]))
        if offset is None:
            raise TransportError("not_asked", f"{self.path}: no recorded answer", retryable=False)
        self._file.seek(offset)
        known = {
            name: value for name, value in json_of(self._file.readline())["answer"].items() if name in _FIELDS
        }
        return Answer.recorded(known)

    async def close(self) -> None:
        self._file.close()


_FIELDS = frozenset(Answer.__slots__)


def _is_answer(answer: Mapping[str, Any]) -> bool:
    """Every field has its type; a missing one has its default, except text and finish_reason (``KeyError``)."""
    texts = (
        answer["text"],
        answer["finish_reason"],
        answer.get("refusal", ""),
        answer.get("received_at", ""),
    )
    served, usage, sent = (answer.get(name, {}) for name in ("served", "usage", "sent"))
    latency = answer.get("latency_s", 0.0)
    return (
        all(isinstance(value, str) for value in (*texts, *served.values(), *sent.values()))
        and all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in usage.values())
        and isinstance(latency, int | float)
        and math.isfinite(latency)
    )
