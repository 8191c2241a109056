"""What is known of the batches of a store, in files beside it: written before anything is sent, so that a kill loses nothing.

``isr.db.batches/NAME.shard.json`` holds a shard: its digest, its requests, where it goes; it never changes.
``NAME.state.json`` says how far it is. A shard that was asked for is created once: its digest is in the batch's metadata,
and whoever does not know whether a creation succeeded looks for it at the host.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from isr.errors import StoreError
from isr.files import growing, write_text
from isr.judging.requests import Request
from isr.locks import held
from isr.reading import Unreadable, read_json

SCHEMA = "isr.batch/1"
ENDING = ".batches"  # after the name of the store
SHARD, STATE = ".shard.json", ".state.json"
DIGITS = 48  # of a request's key in its custom_id, of which hosts take 64 characters


class State(StrEnum):
    """How far a shard is, as far as this side knows."""

    INTENT = "intent"  # nothing was sent
    UPLOADED = "uploaded"  # its file is at the host
    CREATING = "creating"  # it was asked for; whether it was created is known at the host alone
    CREATED = "created"
    DONE = "done"  # all that it brought is in the store
    FAILED = "failed"  # the host took none of it: nothing was asked or paid
    DROPPED = "dropped"  # it was never created, and its requests are free again

    @property
    def is_open(self) -> bool:
        """Whether something may still come of it."""
        return self not in (State.DONE, State.FAILED, State.DROPPED)


def _start(digest: str) -> str:
    """The first digits of a digest, for names of files."""
    return digest.partition(":")[2][:16]


def custom_id_of(key: bytes, ask: int) -> str:
    """The name of a request in a file of requests."""
    return f"{key.hex()[:DIGITS]}-{ask}"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of a shard: its key, the number of the ask, and the digests of the images as they were sent."""

    key: bytes
    ask: int
    sent: Mapping[str, str]

    @property
    def custom_id(self) -> str:
        return custom_id_of(self.key, self.ask)


@dataclass(kw_only=True)
class Shard:
    """A file of requests and the batch made of it. ``digest``: of the file's bytes; ``number``: how many batches of them came before.

    ``order``: how the run was called that asked for it, for ``isr batch``. ``root``: the address that it goes to.
    """

    digest: str
    number: int
    judge: str  # digest of the identity
    name: str  # of the card
    engine: str
    root: str
    endpoint: Mapping[str, Any]
    backend: str
    model: str
    order: Mapping[str, Any]
    made_at: str  # ISO 8601, UTC
    size: int  # bytes
    requests: Sequence[Asked]
    state: State = State.INTENT
    file_id: str = ""
    batch_id: str = ""
    told: Mapping[str, Any] = field(default_factory=dict)  # what became of it
    cancelled: bool = False  # by isr batch cancel

    @property
    def file_name(self) -> str:
        """Name of the shard's files, and of the file at the host."""
        return f"{_start(self.digest)}-{self.number}"

    @property
    def tag(self) -> dict[str, str]:
        """What the batch's metadata say of it."""
        return {
            "isr_shard": self.digest,
            "isr_number": str(self.number),
            "isr_requests": str(len(self.requests)),
        }

    @cached_property
    def by_id(self) -> dict[str, Asked]:
        return {asked.custom_id: asked for asked in self.requests}

    def again(self) -> Shard:
        """The same requests for another batch, of the file that is at the host."""
        fixed = {name: getattr(self, name) for name in _FIXED}
        state = State.UPLOADED if self.file_id else State.INTENT
        return Shard(
            **{**fixed, "number": self.number + 1}, requests=self.requests, state=state, file_id=self.file_id
        )


_FIXED = (
    "digest",
    "number",
    "judge",
    "name",
    "engine",
    "root",
    "endpoint",
    "backend",
    "model",
    "order",
    "made_at",
    "size",
)


class Ledger:
    """The shards of one answer store."""

    def __init__(self, store: Path) -> None:
        self.folder = store.with_name(f"{store.name}{ENDING}")

    def held(self, judge: str) -> AbstractContextManager[None]:
        """The lock of one judge's batches. Raises ``UsageError`` where another process has it."""
        return held(
            self.folder / f"{_start(judge)}.lock",
            f"{self.folder}: expected no other process that runs these batches; found one; let it finish or end it",
        )

    def add(self, shard: Shard) -> None:
        """Writes a shard down, before anything of it is sent."""
        fixed = {name: getattr(shard, name) for name in _FIXED}
        said = {
            "schema": SCHEMA,
            **fixed,
            "requests": [[a.key.hex(), a.ask, dict(a.sent)] for a in shard.requests],
        }
        self.save(shard)  # the shard's own file comes last: without it there is no shard
        write_text(self.folder / f"{shard.file_name}{SHARD}", json.dumps(said))

    def save(self, shard: Shard) -> None:
        """Writes down how far a shard is."""
        said = {
            "state": shard.state,
            "file_id": shard.file_id,
            "batch_id": shard.batch_id,
            "cancelled": shard.cancelled,
            "told": dict(shard.told),
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(self.folder / f"{shard.file_name}{STATE}", json.dumps(said))

    def shards(self, *, open_only: bool = False) -> Iterator[Shard]:
        """What is written down. Raises ``StoreError`` for a record that cannot be read."""
        for path in sorted(self.folder.glob(f"*{SHARD}")):
            state_file = path.with_name(path.name.replace(SHARD, STATE))
            try:
                state = read_json(state_file)
                if open_only and not State(state["state"]).is_open:
                    continue
                yield _shard(read_json(path), state)
            except (Unreadable, KeyError, TypeError, ValueError, AttributeError) as error:
                raise StoreError(
                    f"{path}: expected the record of a batch and its state beside it; found {error}; its batch may run at the "
                    "host: look there, then move both files away"
                ) from error

    def number(self, digest: str) -> int:
        """The number of the next batch of these requests."""
        names = (p.name.removesuffix(SHARD) for p in self.folder.glob(f"{_start(digest)}-*{SHARD}"))
        return max((int(name.rpartition("-")[2]) + 1 for name in names), default=0)

    def file(self, name: str) -> Path:
        """Where the lines of a shard lie until they are uploaded."""
        return self.folder / f"{name}.jsonl"

    def growing(self) -> tuple[Path, AbstractContextManager[Any]]:
        """A file of lines whose digest is not known yet: its place, and what writes it."""
        path = self.folder / "next.jsonl"
        return path, growing(path)


def _shard(said: Any, state: Any) -> Shard:
    if said["schema"] != SCHEMA:
        raise ValueError(f"the schema {said['schema']!r}")
    requests = tuple(Asked(bytes.fromhex(key), int(ask), sent) for key, ask, sent in said["requests"])
    return Shard(
        **{name: said[name] for name in _FIXED},
        requests=requests,
        state=State(state["state"]),
        file_id=state["file_id"],
        batch_id=state["batch_id"],
        cancelled=bool(state["cancelled"]),
        told=state["told"],
    )


def waiting(store: Path, judges: Sequence[str]) -> int:
    """How many requests of these judges (digests) are in batches that were not fetched."""
    return sum(len(s.requests) for s in Ledger(store).shards(open_only=True) if s.judge in judges)


def of_requests(items: Sequence[tuple[Request, int]]) -> dict[str, tuple[Request, int]]:
    """Requests with the number of the ask, by their custom_id."""
    return {custom_id_of(request.key, ask): (request, ask) for request, ask in items}
