"""Scores an edit directory from end to end: the one place where the steps are put together."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, get_args

from isr.edits.directory import EditDirectory, columns, load_edits
from isr.errors import Interrupted, IsrError, JudgeError, SecretError, TransportReason, UsageError
from isr.image_file import open_image, read_file
from isr.judging.backends import backend_of
from isr.judging.cards import Panel, builtin_names, load_card, load_panel
from isr.judging.keys import check_pair, endpoint_key, read_config
from isr.judging.loop import Plan, Progress, judge_all, judged_edits, missing_requests
from isr.judging.prices import image_tokens, require_prices, text_tokens, usd
from isr.judging.rubrics import load_pair
from isr.judging.store import Store
from isr.judging.thresholds import read_recalibration, require_match
from isr.qualify.record import Qualified, qualifications
from isr.scoring.estimates import Settings
from isr.scoring.metrics import Measured, annotate, require_piq
from isr.scoring.result import EditsTable, Result, Tally
from isr.stats.rate import Estimand, Method, Prompts
from isr.types import AnswerReason, reason_of
from isr.version import __version__

T = TypeVar("T")
log = logging.getLogger("isr")
INDEPENDENT = ("wilson", "clopper-pearson", "jeffreys")
INTERVALS = ("logit-t", "korn-graubard", *INDEPENDENT)


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
    calibrations: tuple[Path, ...] = ()
    qualifications: tuple[Path, ...] = ()
    metrics: bool = False

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
    trouble: IsrError | None = None  # why a judge could not go on
    qualified: tuple[Qualified, ...] = ()  # what is known about each judge
    measured: Measured | None = None  # conventional metrics, where they were asked for

    @property
    def exit_code(self) -> int:
        if self.interrupted:
            return 130
        return 3 if self.unfinished or self.trouble else 0

    @property
    def unfinished(self) -> dict[str, int]:
        """Requests without a completed reply, by reason: a further run asks them again."""
        parts = [*self.result.treatments, *([self.result.control] if self.result.control else [])]
        found: dict[str, int] = {}
        for part in parts:
            for entry in part.counts["undecided"]:
                if isinstance(reason_of(entry["reason"]), TransportReason):
                    found[entry["reason"]] = found.get(entry["reason"], 0) + entry["n"]
        return found


def open_panel(options: Options) -> Panel:
    """The judges of a run, their backends imported. Raises ``IsrError``.

    A key is asked for here only where there is no store yet: a full store is scored again without any.
    """
    _check(options)
    panel = load_panel(options.judge or _default_judge(), options.sets)
    for card in panel.members:
        check_pair(card)
        if not options.store_path.exists():
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

    def on_progress(rows: int) -> None:
        watch.rows(rows)
        if watch.interrupt.is_set():
            raise Interrupted(
                "interrupted while images were checked; nothing was asked, no result was changed"
            )

    recalibrations = tuple(read_recalibration(path) for path in options.calibrations)
    watch.stage("reading and checking images")
    directory = load_edits(
        options.directory,
        rubrics=options.rubrics or None,
        skip_invalid=options.skip_invalid,
        cache=options.out_dir / "cache.db",
        on_progress=on_progress,
    )
    rubrics = load_pair(options.rubrics or directory.settings.rubrics)
    require_match(recalibrations, panel.members, rubrics)
    by = options.by or directory.settings.by
    unknown = sorted(set(by) - columns(directory.edits))
    if unknown:
        known = ", ".join(sorted(columns(directory.edits)))
        raise UsageError(f"--by: expected columns of the metadata ({known}); found {', '.join(unknown)}")
    settings = Settings(
        options.level or directory.settings.level, options.interval, options.prompts, options.estimand
    )
    edits = directory.edits[: options.limit] if options.limit else directory.edits
    plan = Plan(
        options.directory, edits, rubrics, panel, options.repeats, frozenset(options.reask), recalibrations
    )
    return plan, directory, settings, by


def _check(options: Options) -> None:
    """Raises ``UsageError`` for the first option that cannot be carried out."""
    whole = {"--repeats": options.repeats, "--limit": options.limit}
    for name, number in whole.items():
        if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
            raise UsageError(f"{name}: expected a whole number of at least 1; found {number!r}")
    if options.repeats % 2 == 0:
        raise UsageError(
            f"--repeats: expected an odd number, so that repeats have a majority; found {options.repeats}"
        )
    if options.level is not None and not (_is_number(options.level) and 0.5 <= options.level < 1):
        raise UsageError(f"--level: expected a number from 0.5 to below 1; found {options.level!r}")
    if options.budget_usd is not None and not (_is_number(options.budget_usd) and options.budget_usd >= 0):
        raise UsageError(f"--budget-usd: expected a number of at least 0; found {options.budget_usd!r}")
    for name, value, known in (
        ("--interval", options.interval, INTERVALS),
        ("--prompts", options.prompts, get_args(Prompts)),
        ("--estimand", options.estimand, get_args(Estimand)),
    ):
        if value not in known:
            raise UsageError(f"{name}: expected one of {', '.join(known)}; found {value!r}")
    if options.interval in INDEPENDENT and (options.prompts, options.estimand) != ("fixed", "edit-mean"):
        raise UsageError(
            f"--interval {options.interval}: takes edits as independent, so expected --prompts fixed and "
            f"--estimand edit-mean; use logit-t"
        )
    unknown = sorted(set(options.reask) - set(AnswerReason))
    if unknown:
        raise UsageError(
            f"--reask: expected reasons out of {', '.join(AnswerReason)}; found {', '.join(unknown)}"
        )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


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

    Raises ``IsrError`` if nothing could be asked. A judge that fails later ends the asking: what was received is
    scored and written, and ``Run.trouble`` holds the error.
    """
    watch = watch or Watch()
    clock = Clock()
    if options.metrics:
        require_piq()
    panel = open_panel(options)
    out = _writable(options.out_dir)
    clock.lap("loading")
    plan, directory, settings, by = await asyncio.to_thread(prepare, options, panel, watch)
    qualified = qualifications(panel.members, list(plan.rubrics.values()), out, options.qualifications)
    clock.lap("checking")
    trouble: IsrError | None = None
    with Store(options.store_path) as store:
        watch.stage("judging")
        try:
            await judge_all(
                plan, store, budget_usd=options.budget_usd, progress=watch.progress, interrupt=watch.interrupt
            )
        except (JudgeError, SecretError) as error:
            if not watch.progress.answered:
                raise
            trouble = error
        clock.lap("judging")
        watch.stage("estimating")
        result = await asyncio.to_thread(_evaluate, plan, directory, settings, by, store, watch.progress, out)
    clock.lap("estimating")
    measured = None
    if options.metrics:
        watch.stage("measuring")
        measured = await asyncio.to_thread(annotate, out, plan, stop=watch.interrupt.is_set)
        clock.lap("measuring")
    interrupted = watch.interrupt.is_set() and not watch.progress.stopped
    reported = {j["name"]: j["reported_models"] for j in result.judges}
    qualified = tuple(q.beside(reported[q.judge]) for q in qualified)
    done = Run(result, watch.progress, out, clock.laps, interrupted, trouble, qualified, measured)
    write_text(out / "result.json", result.to_json())
    write_text(out / "run.json", json.dumps(_run_record(options, done), indent=1) + "\n")
    return done


def _writable(out: Path) -> Path:
    """The results' folder, made if need be. Raises ``UsageError`` before anything is spent if it cannot be written."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise UsageError(
            f"--out {out}: expected a folder that can be written; found: {error.strerror}"
        ) from error
    return out


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
        "options": {
            "directory": _beside(options.directory, done.out),
            "judge": options.judge,
            "set": list(options.sets),
            "limit": options.limit,
            "calibrations": [str(p.resolve()) for p in options.calibrations],
        },
        "versions": {"isr": __version__, "python": platform.python_version(), "platform": sys.platform},
    }


def _beside(directory: Path, out: Path) -> str:
    """The edit directory as seen from the results; they may be moved together."""
    try:
        return Path(os.path.relpath(directory, out)).as_posix()
    except ValueError:  # another drive
        return ""


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
    _check(options)
    plan, *_ = prepare(options, load_panel(options.judge or _default_judge(), options.sets), watch)
    sizes: dict[str, tuple[int, int]] = {}

    def tokens(card: Any, path: str) -> int | None:
        if path not in sizes:
            sizes[path] = open_image(read_file(plan.root / path)).size
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
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "isr.db") as store:
        yield store


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


async def ascore(directory: str | Path, *, judge: str | Path = "", **options: Any) -> Result:
    """Scores an edit directory and returns its ``Result``; for code that runs in an event loop.

    Keywords are the fields of ``Options``. Raises ``IsrError``; what was received is kept and written. Edits left
    undecided by transport are counted in the result; a further call asks for them again.
    """
    return await _score(_options(directory, judge, options), Watch())


def score(directory: str | Path, *, judge: str | Path = "", **options: Any) -> Result:
    """Scores an edit directory and returns its ``Result``; see ``ascore``. Works inside a running event loop."""
    asked = _options(directory, judge, options)
    return run_anywhere(lambda watch: _score(asked, watch))


async def _score(options: Options, watch: Watch) -> Result:
    done = await run(options, watch)
    if done.trouble is not None:
        raise done.trouble
    return done.result


def _options(directory: str | Path, judge: str | Path, given: Mapping[str, Any]) -> Options:
    """Options from Python: one name where several may stand, texts for paths."""
    known = set(Options.__dataclass_fields__) - {"directory", "judge"}
    unknown = sorted(set(given) - known)
    if unknown:
        raise UsageError(
            f"isr.score: expected keywords out of {', '.join(sorted(known))}; found {', '.join(unknown)}"
        )
    fields = dict(given)
    for name in ("sets", "rubrics", "by", "reask"):
        if name in fields:
            fields[name] = (fields[name],) if isinstance(fields[name], str) else tuple(fields[name] or ())
    for name in ("out", "store"):
        if fields.get(name) is not None:
            fields[name] = Path(fields[name])
    for name in ("calibrations", "qualifications"):
        fields[name] = tuple(map(Path, fields.get(name) or ()))
    return Options(Path(directory), str(judge), **fields)
