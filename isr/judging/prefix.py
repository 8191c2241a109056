"""The images of a plan in order, as far as all that is asked about them is answered.

Answers finish by latency, not at random: who looks at a run while it goes on may look at its complete first images only.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from itertools import groupby, islice
from math import ceil

from isr.errors import TransportReason
from isr.judging.parsing import parse
from isr.judging.plan import CHUNK, Plan, arms_of
from isr.judging.requests import Request
from isr.judging.store import Store
from isr.types import Arm, Edit

AT_A_TIME = 32  # images looked up in the store at once
AHEAD = 2  # images that may be asked about beyond the first incomplete one, and as many as keep all workers busy twice


def asks_left(plan: Plan, store: Store, requests: Sequence[Request]) -> dict[bytes, int | None]:
    """For each key with answers: ``None`` if it needs no more, else the number of the next ask."""
    keys = [r.key for r in requests]
    if not plan.reask:
        return dict.fromkeys(store.asks(keys))
    rubrics = {r.key: r.template.rubric for r in requests}
    out: dict[bytes, int | None] = {}
    for key, answers in store.answers(keys).items():
        first = answers[0]
        again = len(answers) == 1 and first and parse(first, rubrics[key], plan.parser).reason in plan.reask
        out[key] = 1 if again else None
    return out


class Prefix:
    """How many of a plan's first images are complete: every request about them is answered.

    look: called with the edits of every image, in order, once it is complete; ``True`` ends the run there, and ``met`` says so.
    failed: requests that were given up in this run; where nothing else is missing of the first incomplete image, the prefix is ``stuck``:
    this run cannot get beyond it. ends: whether a run then ends, as asking on would only cost. What arrives for later images waits.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        failed: Mapping[bytes, TransportReason],
        look: Callable[[Sequence[Edit]], bool],
        *,
        ends: bool = False,
    ) -> None:
        self.images = [tuple(edits) for _, edits in groupby(plan.edits, key=lambda e: e.cluster)]
        self.complete = 0
        self.met = self.stuck = False
        self._ends = ends
        self._plan, self._store, self._failed, self._look = plan, store, failed, look
        self._open: deque[set[bytes]] = (
            deque()
        )  # what is missing of the images from the first incomplete one on
        self._flying, self._moved = 0, asyncio.Event()
        workers = max(c.limits.concurrency * max(len(c.endpoint.each), 1) for c in plan.panel.members)
        arms = len(list(arms_of(self.images[0]))) if self.images else 1
        self._ahead = AHEAD + ceil(2 * workers / (arms * len(plan.rubrics) * plan.repeats))

    @property
    def edits(self) -> int:
        """How many edits the complete images have."""
        return sum(map(len, self.images[: self.complete]))

    def advance(self) -> None:
        """Goes on to the first image that is not complete, or that ends the run."""
        while not self.met and self.complete < len(self.images):
            if not self._open:
                self._look_up()
            if self._open[0]:
                self.stuck = self._open[0] <= self._failed.keys()
                return
            self._open.popleft()
            self.complete += 1
            self.met = self._look(self.images[self.complete - 1])

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be asked."""
        return self.met or (self.stuck and self._ends)

    def settle(self, key: bytes) -> None:
        """A request was answered for good."""
        for missing in self._open:
            missing.discard(key)
        self.advance()

    def _look_up(self) -> None:
        found = []
        for edits in self.images[self.complete : self.complete + AT_A_TIME]:
            arms = list(arms_of(edits))
            found.append([r for card in self._plan.panel.members for r in self._plan.requests(card, arms)])
        left = asks_left(self._plan, self._store, [r for some in found for r in some])
        for some in found:
            self._open.append({r.key for r in some if left.get(r.key, 0) is not None})

    # ------------------------------------------------------------------ how far a judge may run ahead

    async def chunks(self, order: random.Random) -> AsyncIterator[list[tuple[Edit, Arm]]]:
        """What is judged, image by image as there is room; what is complete comes first, for it is counted too."""
        known = self.complete
        stored = arms_of(self._plan.edits[: self.edits])
        while chunk := list(islice(stored, CHUNK)):
            yield chunk
        for number, edits in enumerate(self.images[known:], known):
            await self.room(number)
            chunk = list(arms_of(edits))
            order.shuffle(chunk)
            yield chunk

    async def room(self, image: int) -> None:
        """Waits until the image (counted from 0) is near enough to the first incomplete one, or until nothing is in flight."""
        while image > self.complete + self._ahead and self._flying and not (self.met or self.stuck):
            await self._moved.wait()

    def took_off(self) -> None:
        """A request is in flight."""
        self._flying += 1

    def landed(self) -> None:
        """A request is no longer in flight, whatever became of it."""
        self._flying -= 1
        self._moved.set()
        self._moved = asyncio.Event()
