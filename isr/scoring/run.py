"""Scores an edit directory from end to end: the one place where the steps are put together."""

from __future__ import annotations

import asyncio
import json
import logging
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

from isr.canonical import sha256_bytes
from isr.edits.directory import EditDirectory, columns
from isr.edits.pictures import Level, require
from isr.errors import Interrupted, IsrError, JudgeError, RetiredError, SecretError, UsageError
from isr.files import commit, file_digest, naming, partial_name, stage, write_bytes
from isr.judging.backends import backend_of
from isr.judging.cards import Panel, load_panel
from isr.judging.edits import load_edits, rubrics_of
from isr.judging.judged import judged_edits
from isr.judging.keys import check_pair, endpoint_key
from isr.judging.local_time import SMALL
from isr.judging.loop import judge_all
from isr.judging.plan import Plan, in_order
from isr.judging.prices import require_prices
from isr.judging.progress import Progress
from isr.judging.qualification import Qualified, qualifications
from isr.judging.retirement import utc_today
from isr.judging.rubrics import keep_rubrics
from isr.judging.store import Store
from isr.judging.thresholds import read_recalibration, require_match, uncalibrated
from isr.reading import read_bytes
from isr.scoring.as_author import as_author
from isr.scoring.batches import asks_in_batches, require_engine, work_of
from isr.scoring.bundled import edits_in, in_its_name, released
from isr.scoring.edits_csv import EditsTable
from isr.scoring.edits_parquet import copied_again
from isr.scoring.estimates import Settings
from isr.scoring.limit import in_turn
from isr.scoring.metrics import Measured, annotate, open_measures, require_captions
from isr.scoring.options import Options, check_options, default_judge
from isr.scoring.places import (
    RECORD,
    RESULT,
    TABLE,
    cache_if_there,
    clear_killed,
    run_folder,
    unless_refused,
)
from isr.scoring.question import Question, answered, asked
from isr.scoring.record import run_record
from isr.scoring.result import Result
from isr.scoring.tally import Tally
from isr.scoring.until import can_be_looked_at, check_images, looking, rule_of, stop_of, unused
from isr.signature import Signature
from isr.text import did_you_mean
from isr.version import __version__

log = logging.getLogger("isr")
LOOKED = 0  # seed of the order of images in a run that is only looked at


@dataclass(kw_only=True)
class Watch:
    """What a caller may watch while a run goes on."""

    stage: Callable[[str], None] = lambda text: None
    rows: Callable[[int], None] = lambda rows: None
    planned: Callable[[Plan], None] = lambda plan: None  # once all is checked, and before anything is asked
    progress: Progress = field(default_factory=Progress)
    interrupt: asyncio.Event = field(default_factory=asyncio.Event)
    today: Callable[[], date] = utc_today
    looks: bool = False  # somebody looks at the estimates while the run goes on


class Clock:
    """Wall-clock seconds of a run by stage."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, stage: str) -> None:
        now = time.monotonic()
        self.laps[stage] = now - self._last
        self._last = now


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished run. ``exit_code``: 0; 3 if answers are missing or damaged, or none is decided; 130 if it was interrupted."""

    result: Result
    progress: Progress
    out: Path
    store: Path
    seconds: Mapping[str, float]  # by stage: loading, checking, judging, estimating
    interrupted: bool = False
    trouble: IsrError | None = None  # why a judge could not go on
    qualified: tuple[Qualified, ...] = ()  # what is known about each judge
    measured: Measured | None = None  # conventional metrics, where they were asked for
    unused: int | None = None  # answers to images after those that count, where the run stops by a rule

    @property
    def exit_code(self) -> int:
        if self.interrupted:
            return 130
        return 3 if self.unfinished or self.trouble or not self.result.decided else 0

    @property
    def unfinished(self) -> dict[str, int]:
        """Requests without a reply that can be used, by reason (``Result.unfinished``)."""
        return self.result.unfinished


def open_panel(options: Options) -> Panel:
    """The judges of a run, their backends imported. Raises ``IsrError``.

    A key is asked for here only where there is no store yet: a full store is scored again without any.
    """
    check_options(options)
    panel = load_panel(options.judge or default_judge(), options.sets)
    for card in panel.members:
        check_pair(card)
        if not options.store_path.exists():
            endpoint_key(card)
        backend_of(card)
        require_engine(options, card)
    if options.budget_usd is not None:
        require_prices(panel.members)
    return panel


@in_its_name()
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
    root = edits_in(options.directory)
    directory = load_edits(
        root,
        rubrics=options.rubrics or None,
        skip_invalid=options.skip_invalid,
        cache=cache_if_there(options.home),
        on_progress=on_progress,
    )
    require(directory.findings, options.accept, str(options.directory))
    accepted = frozenset(f.kind for f in directory.findings if f.level is Level.REFUSAL)
    rubrics = rubrics_of(root, options.rubrics)
    require_match(recalibrations, panel.members, rubrics)
    for line in uncalibrated(recalibrations, panel.members, rubrics):
        log.warning("%s", line)
    by = options.by or directory.settings.by
    unknown = sorted(set(by) - columns(directory.edits))
    if unknown:
        known = ", ".join(sorted(columns(directory.edits)))
        raise UsageError(
            f"--by: expected columns of the metadata ({known}); found {', '.join(unknown)}; "
            f"{did_you_mean(unknown, columns(directory.edits), 'correct it')}"
        )
    require_captions(options, columns(directory.edits))
    settings = Settings(
        options.level or directory.settings.level,
        options.interval,
        options.prompts,
        options.estimand,
        until=rule_of(options.until) if options.until else None,
    )
    seed = options.order_seed if options.until else None
    ordered = in_order(directory.edits, seed)
    edits = tuple(ordered)
    if options.limit:
        edits = edits[: options.limit] if options.until else in_turn(ordered, options.limit)
    if options.until:
        check_images(edits, ordered, settings)
        settings = replace(settings, family=len({e.treatment for e in edits}))
    plan = Plan(
        root=root,
        edits=edits,
        rubrics=rubrics,
        panel=panel,
        repeats=options.repeats,
        reask=frozenset(options.reask),
        allow_retired=options.allow_retired and any(c.retires_on for c in panel.members),
        accepted=accepted,
        recalibrations=recalibrations,
        order_seed=seed,
        in_turn=not options.until,
    )
    return plan, directory, settings, by


async def run(options: Options, watch: Watch | None = None) -> Run:
    """Scores a directory: reads it, asks what the store has no answer to, and writes the result.

    Raises ``IsrError`` if nothing could be asked. A judge that fails later ends the asking: what was received is
    scored and written, and ``Run.trouble`` holds the error.
    """
    with released(keep=True):  # a bundle's images stay, whatever ends beside it
        return await _run(options, watch or Watch())


async def _run(options: Options, watch: Watch) -> Run:
    clock = Clock()
    check_options(options)
    options = await asyncio.to_thread(as_author, options)
    measures = await asyncio.to_thread(open_measures, options) if options.metrics else None
    panel = open_panel(options)
    edits_in(options.directory)  # or why not, before a folder is made for it
    with unless_refused(options.home):
        home = writable(options.home)
        clock.lap("loading")
        plan, directory, settings, by = await asyncio.to_thread(prepare, options, panel, watch)
        tally = Tally(plan, directory, settings, by)
        question = asked(tally)
        where = folder_for(options, panel, question)
        qualified = qualifications(panel.members, list(plan.rubrics.values()), home, options.qualifications)
    for card, known in zip(panel.members, qualified, strict=True):
        if 0 < card.parameters <= SMALL and not known.verdict:
            log.warning(
                "%s: a model of %g billion weights can be an unfit judge; before you believe it: isr qualify %s %s",
                card.name, card.parameters, card.given, options.directory,
            )  # fmt: skip
    out = writable(where)
    clock.lap("checking")
    trouble: IsrError | None = None
    with Store(options.store_path) as store:
        watch.stage("judging")
        watch.planned(plan)
        prefix, asking = None, plan
        work = work_of(options, panel)
        looks = watch.looks and not asks_in_batches(options)
        if settings.until is None and looks and can_be_looked_at(plan.edits, settings):
            # who looks, looks at images in an order that nobody chose; what is asked, and the result, are the same
            asking = replace(plan, edits=tuple(in_order(plan.edits, LOOKED)), order_seed=LOOKED)
        if asking.order_seed is not None:
            prefix = looking(asking, store, settings, watch.progress)
        try:
            await judge_all(
                asking,
                store,
                budget_usd=options.budget_usd,
                progress=watch.progress,
                interrupt=watch.interrupt,
                today=watch.today,
                keep_going=options.keep_going,
                prefix=prefix,
                work=work,
            )
        except (JudgeError, SecretError) as error:
            if not (watch.progress.answered or (isinstance(error, RetiredError) and error.stored)):
                raise
            watch.progress.stopped = watch.progress.stopped or str(error)
            trouble = error
        clock.lap("judging")
        watch.stage("estimating")
        unasked: int | None = None
        if settings.until is not None:
            stop = await asyncio.to_thread(stop_of, plan, store, settings)
            unasked = await asyncio.to_thread(unused, plan, store, stop)
            tally = Tally(plan, directory, settings, by, stop)
        result = await asyncio.to_thread(_evaluate, tally, store, watch.progress, out)
    clock.lap("estimating")
    reported = {j["name"]: j["reported_models"] for j in result.judges}
    done = Run(
        result=replace(result, folder=out),
        progress=watch.progress,
        out=out,
        store=options.store_path,
        seconds=clock.laps,
        interrupted=watch.interrupt.is_set() and not watch.progress.stopped,
        trouble=trouble,
        qualified=tuple(q.beside(reported[q.judge]) for q in qualified),
        unused=unasked,
    )
    before = _result_in(out, question)
    if done.exit_code and before is not None and not before.unfinished:
        partial_name(out / TABLE).unlink(missing_ok=True)
        log.warning("%s: the finished result that lies there is kept, since this run did not finish", out)
        return done
    keep_rubrics(out, plan.rubrics.values())
    if before is not None and (was := Signature.parse(before.signature).get("isr")) != __version__:
        log.info("%s: the result by isr %s is replaced by that of isr %s", out, was, __version__)
    _commit(options, panel, question, done)
    if measures is not None:
        watch.stage("measuring")
        stop_asked = watch.interrupt.is_set
        measured = await asyncio.to_thread(annotate, out, plan, measures, stop=stop_asked, tell=watch.stage)
        clock.lap("measuring")
        stopped = watch.interrupt.is_set() and not watch.progress.stopped
        done = replace(done, measured=measured, seconds=clock.laps, interrupted=stopped)
        write_bytes(out / RECORD, _record(options, panel, question, done))
    return done


def folder_for(options: Options, panel: Panel, question: Question) -> Path:
    """The folder of the run that answers a question. Raises ``UsageError`` if ``out`` holds another's answer."""
    if options.out is None:
        return run_folder(options.home, panel.name, question.digest)
    if options.replace or not (options.out / RESULT).is_file():
        return options.out
    try:
        there = answered(Result.parse(read_bytes(options.out / RESULT), options.out / RESULT))
    except (OSError, KeyError, TypeError, IsrError) as error:
        raise UsageError(
            f"--out {options.out}: expected a folder without results, or the result of this question; found a "
            f"result.json that cannot be read ({error}); choose another folder, or add --replace"
        ) from error
    if there.digest != question.digest:
        raise UsageError(
            f"--out {options.out}: expected a folder without results, or the result of this question; found the "
            f"result of another ({'; '.join(there.differences(question))}); nothing was asked and nothing was "
            "replaced; choose another --out, leave it out (every question has a folder of its own), or add --replace"
        )
    return options.out


def writable(out: Path) -> Path:
    """The results' folder, made if need be. Raises ``UsageError`` before anything is spent if it cannot be written."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            clear_killed(out)
    except OSError as error:
        raise UsageError(
            f"--out {out}: expected a folder that can be written; found: {error.strerror}"
        ) from error
    return out


def _evaluate(tally: Tally, store: Store, progress: Progress, out: Path) -> Result:
    """The result, and its table under its partial name, on the disk, ready to be committed with it."""
    partial = partial_name(out / TABLE)
    try:
        with naming(out / TABLE), closing(EditsTable(partial, tally.plan)) as table:
            for judged in judged_edits(tally.plan, store, progress):
                tally.add(judged)
                table.add(judged)
        return replace(tally.result(progress), table={TABLE: file_digest(partial)})
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _result_in(out: Path, question: Question) -> Result | None:
    """The sound result of this question that lies in the folder already, if there is one."""
    try:
        result = Result.load(out / RESULT)
    except IsrError:
        return None
    return result if answered(result).digest == question.digest else None


def _commit(options: Options, panel: Panel, question: Question, done: Run) -> None:
    """Writes table, record and result so that they are read together or not at all: the result comes last."""
    out = done.out
    try:
        stage(out / RECORD, _record(options, panel, question, done))
        stage(out / RESULT, done.result.to_json().encode())
        with copied_again(out, done.result):
            commit([out / TABLE, out / RECORD, out / RESULT])
    finally:
        for name in (TABLE, RECORD, RESULT):
            partial_name(out / name).unlink(missing_ok=True)


def _record(options: Options, panel: Panel, question: Question, done: Run) -> bytes:
    said = run_record(
        options,
        panel,
        done.out,
        question=question.digest,
        result=sha256_bytes(done.result.to_json().encode()),
        exit_code=done.exit_code,
        stopped=done.progress.stopped or ("interrupted" if done.interrupted else ""),
        seconds=done.seconds,
        progress=done.progress,
        unfinished=done.unfinished,
        qualification=[q.as_dict() for q in done.qualified],
        unused=done.unused,
    )
    return (json.dumps(said, indent=1) + "\n").encode()
