"""The lines of a file of results, which are a stranger's: read one at a time, and every one that is wrong counted by its cause."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from isr.judging.replies import MAX_REPLY
from isr.reading import Unreadable, json_of

log = logging.getLogger("isr")

EXAMPLES = 3  # of each cause
EXAMPLE_LENGTH = 60  # characters
PER_REQUEST = 2 * 2**20  # bytes of results for each request, beyond which a file is not read further
BESIDE = 64 * 2**20  # and so many beside

NO_JSON = "lines that are no JSON object"
TOO_LONG = f"lines of more than {MAX_REPLY // 2**20} MiB"
NOT_ASKED = "lines for requests that are not of this batch"
TWICE = "lines for requests that had one before"
LOST = "requests without a line"


def most(requests: int) -> int:
    """Bytes that a file of results for so many requests may have."""
    return BESIDE + requests * PER_REQUEST


@dataclass
class Problems:
    """What is wrong in the results of one batch: by cause, with a count and a few examples."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, cause: str, example: object = "") -> None:
        self.counts[cause] += 1
        shown = self.examples.setdefault(cause, [])
        if example != "" and len(shown) < EXAMPLES:
            shown.append(" ".join(str(example).split())[:EXAMPLE_LENGTH])

    def lines(self, clean: Callable[[str], str] = str) -> list[str]:
        """One line for each cause."""
        return [
            f"{n:,} {cause}"
            + (f" ({', '.join(map(clean, shown))})" if (shown := self.examples[cause]) else "")
            for cause, n in self.counts.items()
        ]


async def lines_of(pieces: AsyncIterable[bytes], problems: Problems) -> AsyncIterator[bytes]:
    """The lines in a stream of bytes, without those that are too long; memory stays within one line and one piece."""
    begun, skipping = bytearray(), False
    async for piece in pieces:
        *ended, rest = piece.split(b"\n")
        for part in ended:
            if not skipping and len(begun) + len(part) <= MAX_REPLY:
                yield bytes(begun) + part
            elif not skipping:
                problems.add(TOO_LONG)
            begun.clear()
            skipping = False
        if not skipping:
            begun += rest
            if len(begun) > MAX_REPLY:
                problems.add(TOO_LONG)
                begun.clear()
                skipping = True
    if begun and not skipping:
        yield bytes(begun)


async def results_in(
    pieces: AsyncIterable[bytes],
    custom_id: Callable[[Mapping[str, Any]], object],
    asked: Collection[str],
    seen: set[str],
    problems: Problems,
) -> AsyncIterator[tuple[str, Mapping[str, Any]]]:
    """(custom_id, line) for every line that answers a request which was ``asked`` and is not ``seen`` yet; it is then."""
    async for raw in lines_of(pieces, problems):
        if not raw.strip():
            continue
        try:
            line = json_of(raw)
        except Unreadable:
            line = None
        if not isinstance(line, dict):
            problems.add(NO_JSON, raw[:EXAMPLE_LENGTH].decode("utf-8", "replace"))
            continue
        name = custom_id(line)
        if not isinstance(name, str) or name not in asked:
            problems.add(NOT_ASKED, name)
        elif name in seen:
            problems.add(TWICE, name)
        else:
            seen.add(name)
            yield name, line
