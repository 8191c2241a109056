"""Files of requests: as many lines as a host takes in one, written one line at a time."""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import IO

from isr.errors import UsageError
from isr.judging.batch_ledger import Asked, custom_id_of
from isr.judging.card_sections import Limits
from isr.judging.requests import Request

MB = 10**6
AT_ONCE = 8  # lines whose images are prepared side by side

Item = tuple[Request, int]  # a request and the number of the ask
LineOf = Callable[[str, Request], Awaitable[tuple[bytes, Mapping[str, str]]]]


@dataclass(frozen=True, slots=True)
class Written:
    """What a file of requests holds: the digest and the number of its bytes, and its requests in order."""

    digest: str
    size: int
    items: list[Item]
    asked: list[Asked]


async def write_lines(
    file: IO[bytes],
    queue: deque[Item],
    line_of: LineOf,
    limits: Limits,
    most: int,
    reserve: Callable[[Item], bool],
) -> Written:
    """Takes from the queue what one file holds and writes its lines.

    most: requests; bytes are bounded by ``limits.batch_mb``. reserve: whether the budget covers one more. Raises
    ``UsageError`` for a request that no file can hold.
    """
    digest, size = hashlib.sha256(), 0
    items: list[Item] = []
    asked: list[Asked] = []
    bound = round(limits.batch_mb * MB)
    while queue and len(items) < most:
        some = [queue[i] for i in range(min(AT_ONCE, len(queue), most - len(items)))]
        lines = await asyncio.gather(*(line_of(custom_id_of(r.key, ask), r) for r, ask in some))
        for (request, ask), (line, sent) in zip(some, lines, strict=True):
            if len(line) > bound:
                raise UsageError(
                    f"limits.batch_mb: expected a request of at most {bound:,} bytes; found one of {len(line):,}; "
                    "let the host take more, or send smaller images (images.max_side, which makes another judge)"
                )
            if size + len(line) > bound or not reserve((request, ask)):
                return Written(f"sha256:{digest.hexdigest()}", size, items, asked)
            queue.popleft()
            file.write(line)
            digest.update(line)
            size += len(line)
            items.append((request, ask))
            asked.append(Asked(request.key, ask, dict(sent)))
    return Written(f"sha256:{digest.hexdigest()}", size, items, asked)
