"""The steps that make pictures: immunize and edit, each cell once."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from isr.bench.cells import Editing, Immunization
from isr.bench.given_texts import text_column
from isr.bench.material.folder import FOLDER, RECORD
from isr.bench.state import Bench, Edited, Show
from isr.bench.study import EditorPart, Study, editor_spec, method_spec, texts
from isr.bench.workers import Edit, Immunize, Loading, Pool, Task, Told
from isr.canonical import sha256_json
from isr.errors import InputError, UsageError
from isr.files import file_digest
from isr.reading import Unreadable, byte_lines, json_lines, read_json, why
from sifm_ref.pictures import Resize, write_whole
from sifm_ref.records import other_than_made, without_digests
from sifm_ref.registry import purifier

SHARDS = 4  # tasks for each worker that a folder of edits is shared out in


def need_images(bench: Bench) -> None:
    """Raises ``UsageError`` where there are no images yet, ``InputError`` for a picture that is not the one that was
    made: it would be scored as that."""
    if bench.material is None or not (bench.out / FOLDER / RECORD).is_file():
        raise UsageError(
            f"{bench.out}: expected its images; found none; run without --only, or with images in it"
        )
    if not bench.record.as_made:
        _need_as_made(bench)
        bench.record.as_made = True


def _need_as_made(bench: Bench) -> None:
    made = [*((c, "immunize") for c in immunize_cells(bench)), *((c, "edit") for c in edit_cells(bench))]
    problems, unknown = [], 0
    for cell, by in made:
        try:
            rows = _rows(cell.folder)
            found = other_than_made(cell.folder, rows, by)
        except (OSError, ValueError, TypeError, AttributeError):
            continue  # not made yet, or not whole: it is made again
        unknown += without_digests(rows, by)
        problems += [
            replace(p, fix="put it back; or delete it, and the same command makes it again") for p in found
        ]
    if problems:
        kind = "edit(s) and image(s)" if any("immunize" in p.expected for p in problems) else "edit(s)"
        raise InputError(
            f"{bench.out}: {len(problems)} {kind} are other than were made; nothing was done", problems
        )
    if unknown:
        bench.record.note(
            f"{unknown} pictures were made by an earlier version, which kept no digests of them: whether they are as "
            "they were made is not known"
        )


def compute(bench: Bench, show: Show) -> None:
    """Immunizes and edits with one set of workers, which keep their editors from the one to the other."""
    need_images(bench)
    bench.board.jobs = jobs = bench.order.jobs or default_jobs(bench.study)
    pool = Pool(jobs, 1 if not _on_gpu(bench.study) else 0)
    try:
        for step in ("immunize", "edit"):
            if step in bench.order.steps:
                began = time.monotonic()
                _step(bench, show, pool, step)
                bench.record.timing[step] = round(time.monotonic() - began, 1)
    finally:
        pool.close()


def _step(bench: Bench, show: Show, pool: Pool, step: str) -> None:
    cells = immunize_cells(bench) if step == "immunize" else edit_cells(bench)
    board = bench.board
    plan_board(bench)
    board.step = step
    waiting = []
    for cell in cells:
        if cell.is_done:
            board.finish(cell.key)
        else:
            cell.forget()
            waiting.append(cell)
            board.kinds[cell.key].done = min(records(cell.folder), board.kinds[cell.key].total)
    by_key = {c.key: c for c in waiting}
    finishing: set[str] = set()

    def then(key: str) -> Sequence[Task]:
        """A folder that several processes filled is looked through once more by one, then it is done."""
        cell = by_key[key]
        if cell.shards > 1 and key not in finishing:
            finishing.add(key)
            return [cell.task((0, 1))]
        cell.remember()
        board.finish(key)
        return ()

    def tell(said: Told | None) -> None:
        if said is not None and said.kind == "done" and said.fresh and said.key not in finishing:
            board.add(said.key, said.seconds, fresh=True)
            board.detail = f"{by_key[said.key].title}: {said.text}"
        elif said is not None and said.kind == "note":
            show.say(f"{by_key[said.key].title}: {said.text}")
        elif said is not None and said.kind == "step":
            title = by_key[said.key].title + ": " if said.key in by_key else ""
            board.detail = f"{title}{said.text}"
        show.update(board)

    tasks = [cell.task((i, cell.shards)) for cell in waiting for i in range(cell.shards)]
    if tasks:
        show.say(
            f"{step}: {len(waiting)} of {len(cells)} folders to fill, {min(pool.jobs, len(tasks))} worker(s)"
        )
        pool.run(tasks, then, tell)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """Why a score is not whole, and the exit code for it; ``WHOLE`` where it is."""

    exit_code: int = 0
    note: str = ""


WHOLE = Unfinished()


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A folder that workers fill. ``rests_on``: digest of all that decides what is in it."""

    key: str
    title: str
    folder: Path
    stamp: Path
    rests_on: str
    shards: int
    task: Callable[[tuple[int, int]], Task]

    @property
    def is_done(self) -> bool:
        """Whether an earlier run finished it, and its files are there still."""
        try:
            rows = _rows(self.folder)
            return is_stamped(self.stamp, self.rests_on) == WHOLE and all(
                map(Path.is_file, _named_in(self.folder, rows))
            )
        except (OSError, ValueError, TypeError, AttributeError):
            return False

    def forget(self) -> None:
        self.stamp.unlink(missing_ok=True)

    def remember(self) -> None:
        remember(self.stamp, self.folder, self.rests_on, WHOLE)


def remember(stamp: Path, folder: Path, rests_on: str, unfinished: Unfinished) -> None:
    said: dict[str, Any] = {"folder": folder.name, "rests_on": rests_on}
    if unfinished != WHOLE:
        said |= {"exit_code": unfinished.exit_code, "note": unfinished.note}
    write_whole(stamp, json.dumps(said, ensure_ascii=False).encode())


def is_stamped(stamp: Path, rests_on: str) -> Unfinished | None:
    """What is noted of a folder that holds what is wanted; ``None`` where it holds something else, or nothing."""
    try:
        said = read_json(stamp)
        if said["rests_on"] != rests_on:
            return None
        return Unfinished(int(said.get("exit_code", 0)), str(said.get("note", "")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _rows(folder: Path) -> list[dict[str, Any]]:
    """The table of a folder of ``isr immunize`` or ``isr edit``; lines end with a newline and with nothing else."""
    file = folder / "metadata.jsonl"
    rows = [row for _, _, row in json_lines(byte_lines(file), file)]
    for broken in (row for row in rows if isinstance(row, Unreadable)):
        raise broken
    return rows


def _named_in(folder: Path, rows: Sequence[Mapping[str, Any]]) -> list[Path]:
    return [folder / v for r in rows for k, v in r.items() if k.endswith("file_name") and v]


def edited(folder: Path) -> Edited:
    """What lies in a folder of edits. Raises ``InputError`` where a file is missing or the table is broken."""
    try:
        rows = _rows(folder)
        found = {p.relative_to(folder).as_posix(): p for p in _named_in(folder, rows)}
        parts = [[name, _sha256(found[name])] for name in sorted(found)]
        table = _sha256(folder / "metadata.jsonl")
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(
            f"{folder}: expected edits that isr bench made; found {why(error)}; run without --only"
        ) from error
    versions = {str(r["edit_versions"]) for r in rows if r.get("edit_versions")}
    return Edited(sha256_json([table, parts]), tuple(sorted(versions)))


def _sha256(path: Path) -> str:
    return file_digest(path)


def records(folder: Path) -> int:
    """How many results there are in a folder of ``isr immunize`` or ``isr edit``."""
    return sum(1 for _ in (folder / ".records").glob("*.json"))


def cell_stamp(bench: Bench, folder: str) -> Path:
    return bench.out / ".done" / (folder.replace("/", "-") + ".json")


def _rests_on_images(bench: Bench, cell: Immunization) -> str:
    """Digest of the images and texts that a treatment is made of, and of its settings (in its folder's name)."""
    assert bench.material is not None
    part = bench.study.images
    size = [part.resolution, part.resize, part.sides]
    pictures = [[i.image_id, i.sha256] for i in bench.material.images]
    given = bench.material.given(text_column(cell.method, cell.surrogate))
    return sha256_json([cell.folder, size, pictures, given])


def immunize_cells(bench: Bench) -> list[Cell]:
    """One for each treatment."""
    return [_immunize_cell(bench, c) for c in bench.plan.immunizations]


def _immunize_cell(bench: Bench, cell: Immunization) -> Cell:
    material, study, root = bench.material, bench.study, bench.order.root
    assert material is not None
    folder = bench.out / FOLDER
    pictures = tuple(
        (i.image_id, folder / f"{i.image_id}.png", _size(bench, i.size)) for i in material.images
    )
    batches = -(-len(pictures) // cell.surrogate.batch)
    loading, given = (
        loading_of(cell.surrogate, root),
        material.given(text_column(cell.method, cell.surrogate)),
    )

    def task(shard: tuple[int, int]) -> Task:
        return Immunize(
            key=cell.folder,
            editor=loading,
            out=bench.out / cell.folder,
            images=folder,
            pictures=pictures,
            prompts=given,
            method=method_spec(cell.method, root),
            preset=cell.method.preset,
            sets=texts(cell.method.set),
            eps=cell.eps,
            norm=cell.method.norm,
            seed=cell.method.seed,
            resolution=study.images.resolution,
            batch=cell.surrogate.batch,
            shard=shard,
        )

    return Cell(
        key=cell.folder,
        title=cell.title,
        folder=bench.out / cell.folder,
        stamp=cell_stamp(bench, cell.folder),
        rests_on=_rests_on_images(bench, cell),
        shards=max(1, min(bench.board.jobs, batches)),
        task=task,
    )


def _size(bench: Bench, size: tuple[int, int]) -> tuple[int, int]:
    part = bench.study.images
    return Resize(part.resolution, part.resize).size(*size, part.sides)


def loading_of(editor: EditorPart, root: Path) -> Loading:
    return Loading(
        spec=editor_spec(editor, root),
        name=editor.name,
        sets=tuple(sorted(texts(editor.set).items())),
        dtype=editor.dtype,
        device=editor.device,
        revision=editor.revision,
        timestep_batch=editor.timestep_batch,
        checkpoint=editor.checkpoint_activations,
    )


def edit_cells(bench: Bench) -> list[Cell]:
    """One for each editor."""
    return [edit_cell(bench, e) for e in bench.plan.editings]


def edit_cell(bench: Bench, editing: Editing) -> Cell:
    material, study = bench.material, bench.study
    assert material is not None
    column = editing.editor.prompt
    material.require(column)
    prompts = tuple(
        (p.image_id, p.prompt, p.prompt_id, tuple(sorted(p.columns.items())), p.columns.get(column, ""))
        for p in material.prompts
    )
    directories = tuple(bench.out / t.folder for t in editing.treatments)
    loading = loading_of(editing.editor, bench.order.root)
    units = bench.plan.units(editing, len(prompts))

    def task(shard: tuple[int, int]) -> Task:
        return Edit(
            key=editing.folder,
            editor=loading,
            out=bench.out / editing.folder,
            directories=directories,
            prompts=prompts,
            seeds=study.seeds,
            purifiers=editing.purifiers,
            shard=shard,
        )

    jobs = bench.board.jobs
    rests_on = sha256_json(
        [
            editing.folder,
            [_rests_on_images(bench, t) for t in editing.treatments],
            material.digest,
            list(study.seeds),
            [attack.text if (attack := purifier(p)) else "" for p in editing.purifiers],
        ]
    )
    return Cell(
        key=editing.folder,
        title=editing.editor.name,
        folder=bench.out / editing.folder,
        stamp=cell_stamp(bench, editing.folder),
        rests_on=rests_on,
        shards=1 if jobs == 1 else max(1, min(jobs * SHARDS, units)),
        task=task,
    )


def plan_board(bench: Bench) -> None:
    """Enters all work of the study; what was measured by an earlier run is known."""
    known, board, kinds = known_of(bench.out), bench.board, bench.board.kinds
    work = [(c.folder, "immunize", bench.pictures) for c in bench.plan.immunizations]
    work += [(e.folder, "edit", bench.plan.edits(e, bench.pairs)) for e in bench.plan.editings]
    work += [(s.folder, "score", bench.plan.questions(s, bench.pairs)) for s in bench.plan.scorings]
    for key, step, total in work:
        if key not in kinds and step in bench.order.steps:
            board.plan(key, step, total, known)


def known_of(out: Path) -> dict[str, float]:
    try:
        found = read_json(out / "run.json")["seconds_each"]
        return {str(k): float(v) for k, v in found.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _on_gpu(study: Study) -> bool:
    """Whether any editor will be on a GPU."""
    devices = {e.device for e in study.editors}
    if devices == {"cpu"}:
        return False
    import torch

    return torch.cuda.is_available() or bool(devices - {"auto", "cpu"})


def default_jobs(study: Study) -> int:
    """One worker for each core, or one where there is a GPU."""
    if _on_gpu(study):
        return 1
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        return os.cpu_count() or 1
