"""Runs by batches: how a run asks by them, and ``isr batch``: what is at a host, fetching it, ending it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from isr.errors import JudgeError, StoreError, UsageError
from isr.judging.batch_ledger import Ledger, Shard, State, waiting
from isr.judging.batch_run import BatchRun
from isr.judging.card_sections import Endpoint
from isr.judging.cards import Card, Panel
from isr.judging.engines import Batch, BatchHost, engine_of
from isr.judging.loop import JudgeRun
from isr.judging.worker_run import WorkerRun
from isr.scoring.options import Options
from isr.scoring.places import store_at
from isr.scoring.record import beside, options_record

log = logging.getLogger("isr")


# ------------------------------------------------------------------------------------------------ a run


def work_of(options: Options, panel: Panel) -> Callable[..., JudgeRun] | None:
    """What makes the run of one judge by the engine of the options; ``None`` for the direct path.

    All but batches say what they may pay for twice: requests that are in batches.
    """
    if asks_in_batches(options):
        return partial(
            BatchRun,
            engine=engine_of(options.engine),
            order=order_of(options),
            wait=options.wait,
            submit=options.submit,
        )
    if n := waiting(options.store_path, [card.digest for card in panel.members]):
        log.warning(
            "%d requests are in batches that were not fetched; those that are missing are asked, and paid for, once more: isr "
            "batch list %s shows the batches, --engine goes on with them",
            n,
            options.store_path.parent,
        )
    if options.engine:
        engine = engine_of(options.engine)
        return partial(WorkerRun, engine=engine, sets=options.engine_sets, turn=asyncio.Lock())
    return None


def asks_in_batches(options: Options) -> bool:
    """Whether the run asks by batches: all at once, at a host, at another price."""
    return bool(options.engine) and engine_of(options.engine).in_batches


def require_engine(options: Options, card: Card) -> None:
    """Raises ``IsrError`` if the engine of the options does not take a card, or its settings."""
    if options.engine:
        engine_of(options.engine).require(card, options.engine_sets)


def order_of(options: Options) -> dict[str, Any]:
    """How a run was called, as its shards hold it: paths as seen from the store's folder."""
    folder = options.store_path.parent
    out = None if options.out is None else beside(options.out, folder)
    named = {"judge": _path(options.judge), "rubrics": [_path(r) for r in options.rubrics]}
    return {**options_record(options, folder), **named, "out": out}


def options_from(order: Mapping[str, Any], store: Path, **others: Any) -> Options:
    """The options of ``order_of``. Raises ``StoreError`` for a record that holds none."""
    folder = store.parent
    try:
        return Options(
            directory=_there(folder, order["directory"]),
            judge=str(order["judge"]),
            sets=tuple(order["set"]),
            out=None if order["out"] is None else _there(folder, order["out"]),
            store=store,
            rubrics=tuple(order["rubrics"]),
            by=tuple(order["by"]),
            level=order["level"],
            interval=order["interval"],
            prompts=order["prompts"],
            estimand=order["estimand"],
            repeats=order["repeats"],
            reask=tuple(order["reask"]),
            allow_retired=order["allow_retired"],
            limit=order["limit"],
            budget_usd=order["budget_usd"],
            skip_invalid=order["skip_invalid"],
            accept=tuple(order["accept"]),
            calibrations=tuple(_there(folder, p) for p in order["calibrations"]),
            qualifications=tuple(_there(folder, p) for p in order["qualifications"]),
            engine=str(order["engine"]),
            **others,
        )
    except (KeyError, TypeError) as error:
        raise StoreError(
            f"{store}: expected the options of a run with its batches; found none ({error!r})"
        ) from error


def _path(name: str) -> str:
    return os.path.abspath(name) if name.endswith(".toml") else name


def _there(folder: Path, path: str) -> Path:
    return Path(os.path.normpath(folder / path))


# ------------------------------------------------------------------------------------------------ isr batch


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A batch as this side and its host know it. ``status``: the host's word, ``""`` where it was not asked."""

    batch: str
    judge: str
    host: str
    engine: str
    made_at: str
    requests: int
    bytes: int
    state: str
    status: str
    done: int | None  # requests, as the host counts them
    said: str  # what became of it, or why it failed


async def list_batches(path: Path) -> list[Listed]:
    """Every batch of a run's or a directory's answer store; of those that are not over, what the host says now."""
    return [_listed(shard, await _status(shard)) for shard in _shards(path)]


async def cancel_batches(path: Path, *, forget: bool = False) -> list[Listed]:
    """Ends every batch that is not over. What it has done is paid for: the same ``isr score``, or ``isr batch fetch``, takes it.

    forget: nobody takes it; its requests are free to be asked, and paid for, again.
    """
    ledger, out = Ledger(store_at(path)), []
    for shard in _shards(path):
        if not shard.state.is_open:
            continue
        async with _host(shard) as host:
            batch = await _cancelled(host, shard)
        if forget and shard.state.is_open:
            shard.state, shard.told = State.DROPPED, {"outcome": "given up"}
        ledger.save(shard)
        out.append(_listed(shard, batch))
    return out


def fetches(path: Path) -> list[Options]:
    """The runs that take what the open batches of a store have done, and ask nothing."""
    store, orders = store_at(path), []
    for shard in _shards(path):
        if shard.state.is_open and dict(shard.order) not in orders:
            orders.append(dict(shard.order))
    return [options_from(order, store, wait=False, submit=False) for order in orders]


def _shards(path: Path) -> Sequence[Shard]:
    store = store_at(path)
    if not store.is_file():
        raise UsageError(
            f"{path}: expected a run, its edit directory or an answer store; found no store at {store}"
        )
    return sorted(Ledger(store).shards(), key=lambda shard: shard.made_at)


async def _status(shard: Shard) -> Batch | None:
    if not (shard.state.is_open and shard.batch_id):
        return None
    async with _host(shard) as host:
        return await host.get(shard.batch_id)


async def _cancelled(host: BatchHost, shard: Shard) -> Batch | None:
    """Asks a host to end a batch, of a shard whose creation was not heard of too; one that it does not have is given up."""
    if not shard.batch_id and shard.state is State.CREATING:
        tag = shard.tag
        found = [b async for b in host.batches() if tag.items() <= b.metadata.items()]
        shard.batch_id = found[0].id if found else ""
    if not shard.batch_id:
        shard.state = State.DROPPED
        return None
    try:
        batch = await host.get(shard.batch_id)
        batch = batch if batch.status.is_over else await host.cancel(shard.batch_id)
    except JudgeError as error:
        if "no longer kept" not in str(error):
            raise
        shard.state, shard.told = State.DROPPED, {"outcome": "not at the host any more"}
        return None
    shard.cancelled, shard.state = True, State.CREATED
    return batch


@asynccontextmanager
async def _host(shard: Shard) -> AsyncIterator[BatchHost]:
    """Where a shard is. The key goes by the same rule as for any card: to the hosts that it is allowed to."""
    try:
        endpoint = Endpoint.model_validate_json(json.dumps(shard.endpoint), strict=True)
        card = Card(name=shard.name, backend=shard.backend, model=shard.model, endpoint=endpoint)
    except ValidationError as error:
        raise StoreError(
            f"batch {shard.batch_id}: expected the address of its host on record; found none ({error})"
        ) from error
    host = engine_of(shard.engine).host_of(card)
    try:
        yield host
    finally:
        await host.close()


def _listed(shard: Shard, batch: Batch | None) -> Listed:
    outcome = str(shard.told.get("outcome", ""))
    return Listed(
        batch=shard.batch_id,
        judge=shard.name,
        host=str(shard.root),
        engine=shard.engine,
        made_at=shard.made_at,
        requests=len(shard.requests),
        bytes=shard.size,
        state=shard.state,
        status="" if batch is None else batch.status,
        done=None if batch is None else batch.done,
        said=outcome if batch is None else batch.errors,
    )
