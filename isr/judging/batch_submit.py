"""How a shard gets to its host: written down, uploaded, created; and how it is found again after a kill at any of these steps."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from isr.errors import JudgeError, SecretError, TransportError, TransportReason
from isr.files import growing, partial_name
from isr.judging.batch_files import Item, LineOf, write_lines
from isr.judging.batch_ledger import Ledger, Shard, State
from isr.judging.cards import Card
from isr.judging.engines import Batch, BatchHost, Engine, Status

log = logging.getLogger("isr")
T = TypeVar("T")

LOOKS = 3  # for a batch whose creation was not heard of, before it counts as never created


class Stopped(Exception):
    """Raised in place of going on where the user interrupted; what was begun is written down."""


@dataclass(kw_only=True)
class Submitter:
    """Sends the shards of one judge.

    call: a request to the host with the retries of the card. rest: waits so many seconds; raises ``Stopped``. tell: counts a
    creation that is tried again.
    """

    host: BatchHost
    ledger: Ledger
    card: Card
    engine: Engine
    order: Mapping[str, Any]
    call: Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]
    rest: Callable[[float], Awaitable[None]]
    tell: Callable[[TransportError], None]
    listed: dict[tuple[str, str], Batch] = field(default_factory=dict)  # of this package, by shard and number

    # --------------------------------------------------------------------------------- after a kill

    async def look(self) -> None:
        """Looks at all batches of the account, once: what is asked for below may have been asked for before."""
        try:
            self.listed = {_tag(b): b for b in await self.call(self._list) if b.metadata.get("isr_shard")}
        except TransportError as error:
            if error.retryable:
                raise
            log.warning(
                "%s: the host does not list its batches (%s): after a kill none is found again",
                self.card.name,
                error,
            )

    async def found_again(self, shard: Shard) -> bool:
        """Whether a shard that was written down before is a batch; if not, it is given up, and its requests are free."""
        if shard.batch_id:
            return True
        batch = self._known(shard)
        if batch is None and shard.state is State.CREATING:
            batch = await self._created_before(shard)
        if batch is None:
            self.drop(shard)
            return False
        self._attach(shard, batch)
        return True

    def drop(self, shard: Shard) -> None:
        """Gives up a shard that was never created."""
        self._end(shard, State.DROPPED)

    # --------------------------------------------------------------------------------- step by step

    async def written(
        self, queue: deque[Item], line_of: LineOf, most: int, reserve: Callable[[Item], bool]
    ) -> Shard | None:
        """The next shard of a queue, its intent on the disk; ``None`` where nothing of the queue may be sent."""
        path = self.ledger.file(f"next-{self.card.digest.partition(':')[2][:16]}")
        try:
            with growing(path) as file:
                found = await write_lines(file, queue, line_of, self.card.limits, most, reserve)
            if not found.items:
                return None
            shard = Shard(
                digest=found.digest,
                number=self._number(found.digest),
                judge=self.card.digest,
                name=self.card.name,
                engine=self.engine.name,
                root=self.card.endpoint.root,
                endpoint=self.card.endpoint.model_dump(mode="json"),
                backend=self.card.backend,
                model=self.card.model,
                order=self.order,
                made_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
                size=found.size,
                requests=tuple(found.asked),
            )
            self.ledger.add(shard)
            partial_name(path).replace(self.ledger.file(shard.file_name))
            return shard
        finally:
            partial_name(path).unlink(missing_ok=True)

    async def send(self, shard: Shard) -> None:
        """Uploads a shard's file and creates its batch. Raises ``TransportError`` or ``JudgeError`` where there is none."""
        if batch := self._known(shard):  # of an earlier run whose ledger is lost
            self._attach(shard, batch)
            return
        if not shard.file_id:
            path = self.ledger.file(shard.file_name)
            try:
                shard.file_id = await self.call(lambda: self.host.upload(path, shard.file_name))
            except TransportError:
                self.drop(shard)
                raise
            except (JudgeError, SecretError):
                self._end(shard, State.FAILED)
                raise
            shard.state = State.UPLOADED
            self.ledger.save(shard)
            path.unlink(missing_ok=True)
        await self.create(shard)

    async def create(self, shard: Shard) -> None:
        """Creates the batch of an uploaded shard, unless it turns out to be created.

        A creation whose reply was lost may have succeeded: it is looked for before it is tried again, and a later run looks, too.
        """
        for attempt in range(1, self.card.limits.max_attempts + 1):
            batch = await self._created_before(shard) if shard.state is State.CREATING else None
            if batch is None:
                batch = await self._created(shard, last=attempt == self.card.limits.max_attempts)
            if batch is not None:
                self._attach(shard, batch)
                return

    async def _created(self, shard: Shard, *, last: bool) -> Batch | None:
        """The batch that a creation brought; ``None``, after a while, where it may be tried again."""
        shard.state = State.CREATING
        self.ledger.save(shard)
        try:
            return await self.host.create(shard.file_id, shard.tag)
        except TransportError as error:
            if not error.retryable:
                self._end(shard, State.FAILED)
                raise
            if error.reason is TransportReason.RATE_LIMITED:  # a reply: it was not created
                shard.state = State.UPLOADED
                self.ledger.save(shard)
            if last:
                raise
            self.tell(error)
            await self.rest(error.retry_after_s or self.card.limits.batch_poll_s)
            return None
        except (JudgeError, SecretError):
            self._end(shard, State.FAILED)
            raise

    async def _created_before(self, shard: Shard) -> Batch | None:
        for look in range(LOOKS):
            if look:  # a list may lag behind what was created
                await self.rest(self.card.limits.batch_poll_s)
            listed: list[Batch] = await self.call(self._list)
            for batch in listed:
                same_file = batch.input_file == shard.file_id and not batch.metadata.get("isr_shard")
                if _tag(batch) == (shard.digest, str(shard.number)) or same_file:
                    return batch
        return None

    async def _list(self) -> list[Batch]:
        return [batch async for batch in self.host.batches()]

    def _known(self, shard: Shard) -> Batch | None:
        return self.listed.get((shard.digest, str(shard.number)))

    def _number(self, digest: str) -> int:
        number = self.ledger.number(digest)
        while (batch := self.listed.get((digest, str(number)))) and batch.status is Status.FAILED:
            number += 1
        return number

    def _attach(self, shard: Shard, batch: Batch) -> None:
        shard.batch_id, shard.state = batch.id, State.CREATED
        self.ledger.save(shard)
        self.ledger.file(shard.file_name).unlink(missing_ok=True)
        log.debug("%s: batch %s of %d requests", self.card.name, batch.id, len(shard.requests))

    def _end(self, shard: Shard, state: State) -> None:
        shard.state = state
        self.ledger.save(shard)
        self.ledger.file(shard.file_name).unlink(missing_ok=True)


def _tag(batch: Batch) -> tuple[str, str]:
    return batch.metadata.get("isr_shard", ""), batch.metadata.get("isr_number", "0")


async def unless_set(event: asyncio.Event, work: Awaitable[T]) -> T:
    """What work comes to, unless the event happens first: then it is cancelled. Raises ``Stopped``."""
    task = asyncio.ensure_future(work)
    watch = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise Stopped
    finally:
        for one in (task, watch):
            one.cancel()
        await asyncio.gather(task, watch, return_exceptions=True)
