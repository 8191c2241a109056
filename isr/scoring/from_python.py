"""Scoring from Python code: ``isr.score`` and ``isr.ascore``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, TypeVar

from isr.python_words import from_python
from isr.scoring.options import Options, options_of
from isr.scoring.result import Result
from isr.scoring.run import Watch, run
from isr.stats.rows import Estimand, Prompts

T = TypeVar("T")
Interval = Literal["logit-t", "korn-graubard", "wilson", "clopper-pearson", "jeffreys"]


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


@from_python()
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
    interval: Interval = "logit-t",
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
    engine: str = "",
    engine_sets: str | Sequence[str] = (),
) -> Result:
    """``score`` for code that runs in an event loop; its keywords are those of ``score``."""
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
            engine=engine,
            engine_sets=engine_sets,
        ),
        Watch(),
    )


@from_python()
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
    interval: Interval = "logit-t",
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
    engine: str = "",
    engine_sets: str | Sequence[str] = (),
) -> Result:
    """Scores an edit directory and returns its ``Result``. Works inside a running event loop too.

    judge: a judge card: a name, or a path to a .toml file. sets: ``KEY=VALUE``, fields of the card that are others here. out:
    folder for this run; by default every question has one of its own in ``DIR.isr``. store: the answer store to use or
    share. rubrics: one for each question, names or paths. by: columns to estimate by groups of, too. level: confidence
    level, 0.95 by default. interval: of rates; the last three take edits as independent. prompts: all there are, or a
    sample of a wider set. estimand: mean over edits, or over images of their means. repeats: asks every question so often (odd)
    and takes the majority. reask: reasons for which undecided answers are asked once more. allow_retired: ask a
    model that its card calls retired. keep_going: go on where the first answers are all undecided for one technical
    reason. limit: score so many edits only. until: ``half-width=H``, stop when every ISR is known to +-H. order_seed: of
    the order of images then. budget_usd: stop before it costs more. skip_invalid: go on without rows that are invalid.
    accept: kinds of findings about the pictures that are meant. calibrations: files of thresholds on scores.
    qualifications: qualification.json files to tell with the result. metrics: also PSNR, SSIM and others. lpips_weights:
    files with its weights, or ``download``. dists_weights: a file. metric_models: folders of checkpoints of CLIP, SigLIP,
    DINO. caption: the column of what each edit should show. source_caption: of what the source shows. replace: with
    ``out``, replace another question's result. engine: ``openai-batch`` asks by batches (docs/batch.md), ``ray`` a
    judge's actors on many machines (docs/scale.md). engine_sets: ``KEY=VALUE``, settings of that engine.

    One name may stand where several may. Raises ``IsrError`` whose message names the keyword; what was received
    is kept and written. Edits that transport left undecided are counted in the result; a further call asks for them again.
    """
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
        engine=engine,
        engine_sets=engine_sets,
    )
    return run_anywhere(lambda watch: _score(asked, watch))


async def _score(options: Options, watch: Watch) -> Result:
    done = await run(options, watch)
    if done.trouble is not None:
        raise done.trouble
    return done.result
