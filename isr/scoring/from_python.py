"""Scoring from Python code: ``isr.score`` and ``isr.ascore``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from isr.scoring.options import Options, options_of
from isr.scoring.result import Result
from isr.scoring.run import Watch, run
from isr.stats.rate import Method
from isr.stats.rows import Estimand, Prompts

T = TypeVar("T")


def run_anywhere(work: Callable[[Watch], Coroutine[Any, Any, T]]) -> T:
    """The result of a coroutine function, also where an event loop is already running (a notebook).

    An interrupt there stops the asking, waits for what is in flight, and is raised again.
    """
    watch = Watch()
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work(watch))
    loops: list[asyncio.AbstractEventLoop] = []

    async def noted() -> T:
        loops.append(asyncio.get_running_loop())
        return await work(watch)

    with ThreadPoolExecutor(1, "isr-score") as pool:
        future = pool.submit(asyncio.run, noted())
        try:
            return future.result()
        except KeyboardInterrupt:
            if loops:
                loops[0].call_soon_threadsafe(watch.interrupt.set)
            raise


async def ascore(
    directory: str | Path,
    *,
    judge: str | Path = "",
    sets: str | Sequence[str] = (),
    out: str | Path | None = None,
    store: str | Path | None = None,
    rubrics: str | Sequence[str] = (),
    by: str | Sequence[str] = (),
    level: float | None = None,
    interval: Method = "logit-t",
    prompts: Prompts = "fixed",
    estimand: Estimand = "edit-mean",
    repeats: int = 1,
    reask: str | Sequence[str] = (),
    allow_retired: bool = False,
    keep_going: bool = False,
    limit: int | None = None,
    until: str = "",
    order_seed: int = 0,
    budget_usd: float | None = None,
    skip_invalid: bool = False,
    accept: str | Sequence[str] = (),
    calibrations: Sequence[str | Path] = (),
    qualifications: Sequence[str | Path] = (),
    metrics: bool = False,
    lpips_weights: str | Path | Sequence[str | Path] = (),
    dists_weights: str | Path = "",
    metric_models: str | Path | Sequence[str | Path] = (),
    caption: str = "",
    source_caption: str = "",
    replace: bool = False,
) -> Result:
    """Scores an edit directory and returns its ``Result``; for code that runs in an event loop.

    Every keyword has the meaning of the option of ``isr score`` with its name; one name may stand for several. Raises
    ``IsrError``; what was received is kept and written. Edits left undecided by transport are counted in the result;
    a further call asks for them again. The run lies in ``Result``'s folder as ``isr score`` leaves it: nothing that
    another question found is replaced.
    """
    return await _score(
        options_of(
            directory,
            judge=judge,
            sets=sets,
            out=out,
            store=store,
            rubrics=rubrics,
            by=by,
            level=level,
            interval=interval,
            prompts=prompts,
            estimand=estimand,
            repeats=repeats,
            reask=reask,
            allow_retired=allow_retired,
            keep_going=keep_going,
            limit=limit,
            until=until,
            order_seed=order_seed,
            budget_usd=budget_usd,
            skip_invalid=skip_invalid,
            accept=accept,
            calibrations=calibrations,
            qualifications=qualifications,
            metrics=metrics,
            lpips_weights=lpips_weights,
            dists_weights=dists_weights,
            metric_models=metric_models,
            caption=caption,
            source_caption=source_caption,
            replace=replace,
        ),
        Watch(),
    )


def score(
    directory: str | Path,
    *,
    judge: str | Path = "",
    sets: str | Sequence[str] = (),
    out: str | Path | None = None,
    store: str | Path | None = None,
    rubrics: str | Sequence[str] = (),
    by: str | Sequence[str] = (),
    level: float | None = None,
    interval: Method = "logit-t",
    prompts: Prompts = "fixed",
    estimand: Estimand = "edit-mean",
    repeats: int = 1,
    reask: str | Sequence[str] = (),
    allow_retired: bool = False,
    keep_going: bool = False,
    limit: int | None = None,
    until: str = "",
    order_seed: int = 0,
    budget_usd: float | None = None,
    skip_invalid: bool = False,
    accept: str | Sequence[str] = (),
    calibrations: Sequence[str | Path] = (),
    qualifications: Sequence[str | Path] = (),
    metrics: bool = False,
    lpips_weights: str | Path | Sequence[str | Path] = (),
    dists_weights: str | Path = "",
    metric_models: str | Path | Sequence[str | Path] = (),
    caption: str = "",
    source_caption: str = "",
    replace: bool = False,
) -> Result:
    """Scores an edit directory and returns its ``Result``; see ``ascore``. Works inside a running event loop."""
    asked = options_of(
        directory,
        judge=judge,
        sets=sets,
        out=out,
        store=store,
        rubrics=rubrics,
        by=by,
        level=level,
        interval=interval,
        prompts=prompts,
        estimand=estimand,
        repeats=repeats,
        reask=reask,
        allow_retired=allow_retired,
        keep_going=keep_going,
        limit=limit,
        until=until,
        order_seed=order_seed,
        budget_usd=budget_usd,
        skip_invalid=skip_invalid,
        accept=accept,
        calibrations=calibrations,
        qualifications=qualifications,
        metrics=metrics,
        lpips_weights=lpips_weights,
        dists_weights=dists_weights,
        metric_models=metric_models,
        caption=caption,
        source_caption=source_caption,
        replace=replace,
    )
    return run_anywhere(lambda watch: _score(asked, watch))


async def _score(options: Options, watch: Watch) -> Result:
    done = await run(options, watch)
    if done.trouble is not None:
        raise done.trouble
    return done.result
