"""Scores an edit directory from end to end: the one place where the steps are put together."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from isr.access import endpoint_key, read_config
from isr.cards import Panel, builtin_names, load_card, load_panel
from isr.directory import EditDirectory, columns, load_edits, read_settings
from isr.errors import UsageError
from isr.estimates import Settings
from isr.intervals import Estimand, Method, Prompts
from isr.judges import backend_of
from isr.judging import Plan, Progress, judge_all, judged_edits, missing_requests
from isr.parsing import ANSWER_REASONS, TRANSPORT_REASONS
from isr.prices import image_tokens, require_prices, text_tokens, usd
from isr.qualification import Qualified, qualifications
from isr.result import EditsTable, Result, Tally
from isr.rubrics import load_pair
from isr.store import Store
from isr.version import __version__

T = TypeVar("T")
log = logging.getLogger("isr")
INDEPENDENT = ("wilson", "clopper-pearson", "jeffreys")


@dataclass(frozen=True)
class Options:
    """What a run is asked to do; every field has the meaning of the option of ``isr score`` with its name."""

    directory: Path
    judge: str = ""
    sets: tuple[str, ...] = ()
    out: Path | None = None
    store: Path | None = None
    rubrics: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    level: float | None = None
    interval: Method = "logit-t"
    prompts: Prompts = "fixed"
    estimand: Estimand = "edit-mean"
    repeats: int = 1
    reask: tuple[str, ...] = ()
    limit: int | None = None
    budget_usd: float | None = None
    skip_invalid: bool = False
    qualifications: tuple[Path, ...] = ()

    @property
    def out_dir(self) -> Path:
        """Where results go: beside the data, so that nothing paid for is lost."""
        return self.out or Path(f"{os.path.normpath(self.directory)}.isr")

    @property
    def store_path(self) -> Path:
        return self.store or self.out_dir / "isr.db"


@dataclass
class Watch:
    """What a caller may watch while a run goes on."""

    stage: Callable[[str], None] = lambda text: None
    rows: Callable[[int], None] = lambda rows: None
    progress: Progress = field(default_factory=Progress)
    interrupt: asyncio.Event = field(default_factory=asyncio.Event)


class Clock:
    """Wall-clock seconds of a run by stage."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, stage: str) -> None:
        now = time.monotonic()
        self.laps[stage] = now - self._last
        self._last = now


@dataclass(frozen=True)
class Run:
    """A finished run. ``exit_code``: 0, 3 if transport left edits undecided, 130 if it was interrupted."""

    result: Result
    progress: Progress
    out: Path
    seconds: Mapping[str, float]  # by stage: loading, checking, judging, estimating
    interrupted: bool = False
    qualified: tuple[Qualified, ...] = ()  # what is known about each judge

    @property
    def exit_code(self) -> int:
        if self.interrupted:
            return 130
        return 3 if self.unfinished else 0

    @property
    def unfinished(self) -> dict[str, int]:
        """Requests without a completed reply, by reason: a further run asks them again."""
        parts = [*self.result.treatments, *([self.result.control] if self.result.control else [])]
        found: dict[str, int] = {}
        for part in parts:
            for entry in part.counts["undecided"]:
                if entry["reason"] in TRANSPORT_REASONS:
                    found[entry["reason"]] = found.get(entry["reason"], 0) + entry["n"]
        return found


def open_panel(options: Options) -> Panel:
    """The judges of a run, their backends imported and their keys there. Raises ``IsrError``."""
    _check(options)
    panel = load_panel(options.judge or _default_judge(), options.sets)
    for card in panel.members:
        endpoint_key(card)
        backend_of(card)
    if options.budget_usd is not None:
        require_prices(panel.members)
    return panel


def prepare(
    options: Options, panel: Panel, watch: Watch | None = None
) -> tuple[Plan, EditDirectory, Settings, tuple[str, ...]]:
    """Reads and checks the edit directory: nothing is spent before all of it is sound. Raises ``IsrError``."""
    watch = watch or Watch()
    said = read_settings(options.directory) if options.directory.is_dir() else None
    names = options.rubrics or (said.rubrics if said else ())
    rubrics = load_pair(names) if names else load_pair()
    watch.stage("reading and checking images")
    directory = load_edits(
        options.directory,
        rubrics=tuple(r.name for r in rubrics.values()),
        skip_invalid=options.skip_invalid,
        cache=options.out_dir / "cache.db",
        on_progress=watch.rows,
    )
    by = options.by or directory.settings.by
    unknown = sorted(set(by) - columns(directory.edits))
    if unknown:
        known = ", ".join(sorted(columns(directory.edits)))
        raise UsageError(f"--by: expected columns of the metadata ({known}); found {', '.join(unknown)}")
    settings = Settings(
        options.level or directory.settings.level, options.interval, options.prompts, options.estimand
    )
    edits = directory.edits[: options.limit] if options.limit else directory.edits
    plan = Plan(options.directory, edits, rubrics, panel, options.repeats, frozenset(options.reask))
    return plan, directory, settings, by


def _check(options: Options) -> None:
    if options.repeats < 1 or options.repeats % 2 == 0:
        raise UsageError(
            f"--repeats: expected an odd number, so that repeats have a majority; found {options.repeats}"
        )
    if options.limit is not None and options.limit < 1:
        raise UsageError(f"--limit: expected at least 1; found {options.limit}")
    if options.level is not None and not 0.5 <= options.level < 1:
        raise UsageError(f"--level: expected a number from 0.5 to below 1; found {options.level}")
    if options.interval in INDEPENDENT and (options.prompts, options.estimand) != ("fixed", "edit-mean"):
        raise UsageError(
            f"--interval {options.interval}: takes edits as independent, so expected --prompts fixed and "
            f"--estimand edit-mean; use logit-t"
        )
    unknown = sorted(set(options.reask) - set(ANSWER_REASONS))
    if unknown:
        raise UsageError(
            f"--reask: expected reasons out of {', '.join(ANSWER_REASONS)}; found {', '.join(unknown)}"
        )


def _default_judge() -> str:
    judge = read_config().get("judge")
    if isinstance(judge, str) and judge:
        return judge
    lines = [f"  {name:22} {load_card(name).needs}" for name in builtin_names()]
    raise UsageError(
        "--judge: no judge is chosen silently; choose one of these cards, or a path:\n" + "\n".join(lines)
    )


async def run(options: Options, watch: Watch | None = None) -> Run:
    """Scores a directory: reads it, asks what the store has no answer to, and writes the result.

    Raises ``IsrError``; what was received before the error is in the store.
    """
    watch = watch or Watch()
    clock = Clock()
    panel = open_panel(options)
    clock.lap("loading")
    plan, directory, settings, by = await asyncio.to_thread(prepare, options, panel, watch)
    out = options.out_dir
    qualified = qualifications(panel.members, list(plan.rubrics.values()), out, options.qualifications)
    clock.lap("checking")
    out.mkdir(parents=True, exist_ok=True)
    with Store(options.store_path) as store:
        watch.stage("judging")
        await judge_all(
            plan, store, budget_usd=options.budget_usd, progress=watch.progress, interrupt=watch.interrupt
        )
        clock.lap("judging")
        watch.stage("estimating")
        result = await asyncio.to_thread(_evaluate, plan, directory, settings, by, store, watch.progress, out)
    interrupted = watch.interrupt.is_set() and not watch.progress.stopped
    clock.lap("estimating")
    reported = {j["name"]: j["reported_models"] for j in result.judges}
    qualified = tuple(q.beside(reported[q.judge]) for q in qualified)
    done = Run(result, watch.progress, out, clock.laps, interrupted, qualified)
    write_text(out / "result.json", result.to_json())
    write_text(out / "run.json", json.dumps(_run_record(options, done), indent=1) + "\n")
    return done


def _evaluate(
    plan: Plan,
    directory: EditDirectory,
    settings: Settings,
    by: Sequence[str],
    store: Store,
    progress: Progress,
    out: Path,
) -> Result:
    tally = Tally(plan, directory, settings, by)
    partial = _partial(out / "edits.csv")
    table = EditsTable(partial, plan)
    try:
        for judged in judged_edits(plan, store, progress):
            tally.add(judged)
            table.add(judged)
    finally:
        table.close()
    partial.replace(out / "edits.csv")
    return tally.result(progress)


def _partial(path: Path) -> Path:
    """Where a file is written before it takes its name; several processes may write the same results."""
    return path.with_name(f"{path.name}.{os.getpid()}.partial")


def write_text(path: Path, text: str) -> None:
    """Writes a file so that it is there whole or not at all."""
    partial = _partial(path)
    partial.write_text(text, "utf-8")
    partial.replace(path)


def _run_record(options: Options, done: Run) -> dict[str, Any]:
    """What is true of this run only: time, host, versions, usage."""
    progress = done.progress
    return {
        "schema": "isr.run/1",
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": {stage: round(s, 3) for stage, s in done.seconds.items()},
        "exit_code": done.exit_code,
        "stopped": progress.stopped or ("interrupted" if done.interrupted else ""),
        "requests": {
            "from_store": progress.stored,
            "answered": progress.answered,
            "retries": progress.retries,
            "given_up": progress.failures,
        },
        "unfinished": done.unfinished,
        "usage": {
            "prompt_tokens": progress.prompt_tokens,
            "completion_tokens": progress.completion_tokens,
            "usd": round(progress.usd, 6) if progress.priced else None,
        },
        "qualification": [q.as_dict() for q in done.qualified],
        "options": {"judge": options.judge, "set": list(options.sets), "limit": options.limit},
        "versions": {"isr": __version__, "python": platform.python_version(), "platform": sys.platform},
    }


@dataclass(frozen=True)
class DryRun:
    """What a run would ask of one judge; token and price figures are estimates, ``None`` where no rule is known."""

    judge: str
    requests: int
    text_tokens: int
    image_tokens: int | None
    most_output_tokens: int
    usd_low: float | None
    usd_high: float | None


def dry_run(options: Options, watch: Watch | None = None) -> list[DryRun]:
    """What ``run`` would ask and cost, without asking anybody. Raises ``IsrError`` as ``run`` does."""
    from PIL import Image

    _check(options)
    plan, *_ = prepare(options, load_panel(options.judge or _default_judge(), options.sets), watch)
    sizes: dict[str, tuple[int, int]] = {}

    def tokens(card: Any, path: str) -> int | None:
        if path not in sizes:
            with Image.open(plan.root / path) as image:
                sizes[path] = image.size
        return image_tokens(card, *sizes[path])

    totals = {c.name: DryRun(c.name, 0, 0, 0, 0, None, None) for c in plan.panel.members}
    with _reading(options.store_path) as store:
        for card, request in missing_requests(plan, store):
            t = totals[card.name]
            images = [tokens(card, ref.path) for ref in request.images.values()]
            total = (
                None
                if t.image_tokens is None or None in images
                else t.image_tokens + sum(i or 0 for i in images)
            )
            totals[card.name] = replace(
                t,
                requests=t.requests + 1,
                text_tokens=t.text_tokens + text_tokens(request),
                image_tokens=total,
                most_output_tokens=t.most_output_tokens + card.decoding.max_tokens,
            )
    return [_priced(plan.panel, t) for t in totals.values()]


def _priced(panel: Panel, total: DryRun) -> DryRun:
    card = next(c for c in panel.members if c.name == total.judge)
    if card.price.input is None or card.price.output is None or total.image_tokens is None:
        return total
    prompt = total.text_tokens + total.image_tokens
    return replace(
        total,
        usd_low=usd(card, prompt, 100 * total.requests),
        usd_high=usd(card, prompt, total.most_output_tokens),
    )


@contextmanager
def _reading(path: Path) -> Iterator[Store]:
    """The store at ``path``, or an empty one that leaves no file behind."""
    if path.is_file():
        with Store(path, read_only=True) as store:
            yield store
        return
    import tempfile

    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "isr.db") as store:
        yield store


def run_anywhere(coroutine: Callable[[], Any]) -> Any:
    """The result of a coroutine function, also where an event loop is already running (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine())
    outcome: list[Any] = []

    def work() -> None:
        try:
            outcome.append((True, asyncio.run(coroutine())))
        except BaseException as error:  # handed to the caller's thread, where it is raised
            outcome.append((False, error))

    thread = threading.Thread(target=work, name="isr-score")
    thread.start()
    thread.join()
    good, value = outcome[0]
    if not good:
        raise value
    return value


async def ascore(directory: str | Path, *, judge: str = "", **options: Any) -> Result:
    """Scores an edit directory and returns its ``Result``; for code that runs in an event loop.

    Keywords are the fields of ``Options``. Raises ``IsrError``. Edits left undecided by transport are counted
    in the result; a further call asks for them again.
    """
    fields: dict[str, Any] = dict(options)
    for key, kind in (
        ("out", Path),
        ("store", Path),
        *((k, tuple) for k in ("rubrics", "by", "reask", "sets", "qualifications")),
    ):
        if fields.get(key) is not None:
            fields[key] = kind(fields[key])
    return (await run(Options(Path(directory), judge, **fields))).result


def score(directory: str | Path, *, judge: str = "", **options: Any) -> Result:
    """Scores an edit directory and returns its ``Result``; see ``ascore``. Works inside a running event loop."""
    result: Result = run_anywhere(lambda: ascore(directory, judge=judge, **options))
    return result
