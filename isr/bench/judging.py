"""The step that asks judges: every scoring of a study."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from isr.bench.cells import Editing, Scoring, with_earlier
from isr.bench.making import (
    WHOLE,
    Unfinished,
    cell_stamp,
    edit_cell,
    edited,
    is_stamped,
    need_images,
    plan_board,
    remember,
)
from isr.bench.progress import Board, Kind
from isr.bench.state import Bench, Edited, Show
from isr.bench.study import judge_sets, judge_spec
from isr.bench.study_metrics import measured_with, metric_options
from isr.canonical import sha256_json
from isr.errors import UsageError
from isr.scoring.options import Options
from isr.scoring.run import Watch, run
from isr.scoring.text import left_open
from isr.version import __version__


def score_all(bench: Bench, show: Show) -> None:
    need_images(bench)
    plan_board(bench)
    bench.board.step = "score"
    for scoring in bench.plan.scorings:
        _score(bench, scoring, show)


def _score(bench: Bench, scoring: Scoring, show: Show) -> None:
    """Scores one editor's edits by one judge; a folder that is scored completely is left as it is."""
    edits = bench.out / scoring.editing.folder
    if not edit_cell(bench, scoring.editing).is_done:
        raise UsageError(
            f"{edits}: expected all edits of this study; found a part, or those of another; "
            f"run without --only, or with {with_earlier('edit')} in it"
        )
    stamp, rests_on = cell_stamp(bench, scoring.folder), _score_rests_on(bench, scoring)
    board, out = bench.board, bench.out / scoring.folder
    if (out / "result.json").is_file() and is_stamped(stamp, rests_on) == WHOLE:
        board.finish(scoring.folder)
        return
    show.say(f"score: {scoring.title}")
    stamp.unlink(missing_ok=True)
    done = asyncio.run(_scored(bench, scoring, show))
    board.usd += done.progress.usd
    board.priced |= done.progress.priced
    if done.interrupted:
        raise KeyboardInterrupt
    if done.exit_code:
        said = left_open(done.unfinished, done.store) or ["not finished; run the same command again"]
        why = done.trouble or done.progress.stopped
        left = Unfinished(
            done.exit_code, f"{scoring.title}: {'; '.join([*([str(why)] if why else []), *said])}"
        )
        remember(stamp, out, rests_on, left)
        note_scores(bench, left)
        return
    board.finish(scoring.folder)
    remember(stamp, out, rests_on, WHOLE)


def note_scores(bench: Bench, left: Unfinished) -> None:
    bench.record.note(left.note, left.exit_code)


def _score_rests_on(bench: Bench, scoring: Scoring) -> str:
    wanted = edit_cell(bench, scoring.editing).rests_on
    first = scoring.judge == bench.study.judges[0]
    return sha256_json(
        [
            __version__,
            scoring.folder,
            wanted,
            _edited(bench, scoring.editing).digest,
            _by(bench),
            bench.study.level,
            bench.study.metrics and first,
            *([bench.study.prompts] if bench.study.prompts != "fixed" else []),
            *(measured_with(bench.study, bench.order.root) if first else []),
        ]
    )


def _edited(bench: Bench, editing: Editing) -> Edited:
    """What lies in the folder of an editor, looked at once in a run: scoring and results are of the same bytes."""
    seen = bench.record.edited
    if editing.folder not in seen:
        seen[editing.folder] = edited(bench.out / editing.folder)
    return seen[editing.folder]


def _by(bench: Bench) -> list[str]:
    """Columns by which each run is grouped: the study's, as far as the edits have them, and the purifier."""
    material = bench.material
    has = {c for p in material.prompts for c in p.columns} if material else set()
    known = {"purifier", "prompt_id", "seed", "editor", "method", "eps", "surrogate", *has}
    more = ["purifier"] if any(len(e.purifiers) > 1 for e in bench.plan.editings) else []
    return list(dict.fromkeys([*(c for c in bench.study.by if c in known), *more]))


async def _scored(bench: Bench, scoring: Scoring, show: Show) -> Any:
    budget = bench.order.budget_usd
    options = Options(
        directory=bench.out / scoring.editing.folder,
        judge=judge_spec(scoring.judge, bench.order.root),
        sets=judge_sets(scoring.judge),
        out=bench.out / scoring.folder,
        replace=True,  # what lies there of an earlier state of the study is scored anew, as its stamp says
        rubrics=scoring.judge.rubrics,
        by=tuple(_by(bench)),
        level=bench.study.level,
        accept=bench.study.accept,
        prompts=bench.study.prompts,
        budget_usd=None if budget is None else max(0.0, budget - bench.board.usd),
        **(metric_options(bench.study, bench.order.root) if scoring.judge == bench.study.judges[0] else {}),
    )
    watch = Watch()
    watch.stage = lambda text: _staged(bench.board, scoring, text)
    began = time.monotonic()
    with show.scoring(watch):
        task = asyncio.create_task(run(options, watch))
        while not task.done():
            await asyncio.wait([task], timeout=0.2)
            _seen(bench.board.kinds[scoring.folder], watch, time.monotonic() - began)
            show.update(bench.board)
    return task.result()


def _seen(kind: Kind, watch: Watch, seconds: float) -> None:
    """What a run of the judge has done so far."""
    kind.done = min(watch.progress.done, kind.total)
    kind.fresh, kind.seconds = watch.progress.answered, seconds


def _staged(board: Board, scoring: Scoring, text: str) -> None:
    board.detail = f"{scoring.title}: {text}"


def scored_as(bench: Bench, scoring: Scoring) -> Unfinished | None:
    if not (bench.out / scoring.folder / "result.json").is_file():
        return None
    return is_stamped(cell_stamp(bench, scoring.folder), _score_rests_on(bench, scoring))
