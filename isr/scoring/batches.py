"""Runs by batches: how a run asks by them, and ``isr batch``: what is at a host, fetching it, ending it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from isr.judging.batch_run import BatchRun
from isr.judging.engines import engine_of
from isr.scoring.options import Options
from isr.scoring.record import options_record


def in_batches(options: Options) -> Callable[..., BatchRun]:
    """What makes the run of one judge by the engine of the options."""
    return partial(
        BatchRun,
        engine=engine_of(options.engine),
        order=options_record(options, options.store_path.parent),
        wait=options.wait,
        submit=options.submit,
    )
