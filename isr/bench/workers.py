"""Worker processes: each loads torch and an editor once and keeps it, and ends when its parent does.

A worker is a spawned process at the end of a pipe. It takes a task, tells of every result that is done, and asks for
the next. What it was doing when it is killed is done again by whoever goes on: results are files, whole or not there.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Literal

from isr.digests import telling
from isr.errors import InputError, IsrError
from sifm_ref import editing, immunizing
from sifm_ref.budget import Budget
from sifm_ref.editor import Editor, Memory, Settings, WhiteBox
from sifm_ref.loading import bound_threads, load
from sifm_ref.pictures import Picture, Resize
from sifm_ref.registry import method, purifier
from sifm_ref.units import Prompt

_UNCHANGED = (
    "A comparison needs every image from every method: give the method other settings in the study (set = { ... }, "
    "or eps), or take these images out of the study's folder and prompts, and run the same command again"
)
PATIENCE_S = 5.0  # for workers to end by themselves
LEAVE_S = 60.0  # for those of a killed run to leave its folders


class WorkerError(IsrError):
    """A worker failed; what is done stays, and the same command goes on with the rest."""

    exit_code = 1


@dataclass(frozen=True, kw_only=True)
class Loading:
    """How an editor is loaded; equal ones share it."""

    spec: str
    name: str
    sets: tuple[tuple[str, str], ...] = ()
    dtype: str = "fp32"
    device: str = "auto"
    revision: str = ""
    timestep_batch: int = 0
    checkpoint: bool = False


@dataclass(frozen=True, kw_only=True)
class Immunize:
    """A shard of the images of one treatment."""

    key: str
    editor: Loading
    out: Path
    images: Path
    pictures: tuple[tuple[str, Path, tuple[int, int]], ...]
    prompts: Mapping[str, str]
    method: str
    preset: str
    sets: Mapping[str, str]
    eps: float
    norm: Literal["linf", "l2"]
    seed: int
    resolution: int
    batch: int
    shard: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Edit:
    """A shard of the units of one editor."""

    key: str
    editor: Loading
    out: Path
    directories: tuple[Path, ...]
    prompts: tuple[
        tuple[str, str, str, tuple[tuple[str, str], ...], str], ...
    ]  # image, text, id, columns, given
    seeds: tuple[int, ...]
    purifiers: tuple[str, ...]
    shard: tuple[int, int]


Task = Immunize | Edit


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a worker says. ``kind``: began, done (one result), step, note (for the user), end (of the task), failed."""

    kind: str
    key: str = ""
    seconds: float = 0.0
    fresh: bool = True
    text: str = ""
    code: int = 1


Tell = Callable[[Told], None]


# --------------------------------------------------------------------------- in the worker


def work(pipe: Connection, threads: int, number: int = 0) -> None:
    """Takes tasks until the pipe closes. ``number``: this worker's among all, for its GPU.

    The parent interrupts by ending this process, not by a signal to the group.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    editors = _Editors(threads, number)
    while True:
        try:
            task: Task = pipe.recv()
        except EOFError:
            return
        try:
            _do(task, editors, pipe.send)
            pipe.send(Told(kind="end", key=task.key))
        except BrokenPipeError:
            return
        except IsrError as error:
            pipe.send(Told(kind="failed", key=task.key, text=str(error), code=error.exit_code))
        except Exception:  # one boundary: whatever a library raises goes to the parent in words
            pipe.send(Told(kind="failed", key=task.key, text=traceback.format_exc()))


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


class _Editors:
    """The editor that is loaded; another one takes its place."""

    def __init__(self, threads: int, number: int = 0) -> None:
        self._threads = threads
        self._number = number
        self._loaded: tuple[Loading, Editor] | None = None

    def open(self, wanted: Loading, tell: Tell) -> Editor:
        if self._loaded is None or self._loaded[0] != wanted:
            if self._loaded is not None:
                self._loaded = None  # its memory first
                _free()
            tell(Told(kind="step", text=f"loading {wanted.name}"))
            with telling(lambda text: tell(Told(kind="step", text=text))):
                self._loaded = (wanted, self._load(wanted))
        return self._loaded[1]

    def _load(self, wanted: Loading) -> Editor:
        import torch

        bound_threads(self._threads)
        memory = Memory(wanted.timestep_batch, wanted.checkpoint)
        device = place(wanted.device, self._number, torch.cuda.device_count())
        settings = Settings(
            dtype=wanted.dtype,
            device=device,
            settings=dict(wanted.sets),
            revision=wanted.revision or None,
            memory=memory,
            name=wanted.name,
            code=True,  # a study that names a file was read with --allow-code
        )
        return load(wanted.spec, settings)


def place(device: str, number: int, gpus: int) -> str:
    """Where worker ``number`` loads an editor: workers with the device "auto" share several GPUs evenly."""
    return f"cuda:{number % gpus}" if device == "auto" and gpus > 1 else device


def _free() -> None:
    """Gives the memory of what nothing refers to back: modules of a pipeline refer to each other, so to themselves."""
    import gc

    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _do(task: Task, editors: _Editors, tell: Tell) -> None:
    tell(Told(kind="began", key=task.key))
    editor = editors.open(task.editor, tell)
    if isinstance(task, Immunize):
        _immunize(task, editor, tell)
    else:
        _edit(task, editor, tell)


def _immunize(task: Immunize, editor: Editor, tell: Tell) -> None:
    if not isinstance(editor, WhiteBox):
        raise WorkerError(f"editor {editor.name}: expected one whose steps can be differentiated")
    job = immunizing.Job(
        images=task.images,
        out=task.out,
        method=method(task.method, task.preset, task.sets),
        budget=Budget(task.eps, task.norm),
        seed=task.seed,
        resize=Resize(task.resolution, "keep"),
        prompts=task.prompts,
        batch=task.batch,
        shard=task.shard,
        resume=True,
        pictures=tuple(Picture(*p) for p in task.pictures),
        growing=True,
        wait_s=LEAVE_S,
    )

    def on_image(done: immunizing.Done) -> None:
        tell(
            Told(
                kind="done",
                key=task.key,
                seconds=done.seconds,
                fresh=done.fresh,
                text=str(done.row["image_id"]),
            )
        )

    def on_step(step: immunizing.Step) -> None:
        loss = "" if step.loss is None else f", loss {step.loss:.4g}"
        tell(Told(kind="step", key=task.key, text=f"step {step.step}{loss}"))

    try:
        immunizing.immunize(
            job, editor, on_image=on_image, on_step=on_step, on_note=partial(_note, tell, task)
        )
    except InputError as error:
        raise advised(error) from None


def advised(error: InputError) -> InputError:
    """What a method did not do to some images, with what to do about it in a study."""
    return InputError(f"{error.summary}. {_UNCHANGED}", error.problems) if error.problems else error


def _edit(task: Edit, editor: Editor, tell: Tell) -> None:
    job = editing.Job(
        directories=task.directories,
        out=task.out,
        prompts=tuple(
            Prompt(name, text, key, dict(columns), given) for name, text, key, columns, given in task.prompts
        ),
        seeds=task.seeds,
        purifiers=tuple(purifier(p) for p in task.purifiers),
        shard=task.shard,
        resume=True,
        growing=True,
        wait_s=LEAVE_S,
    )

    def on_edit(done: editing.Done) -> None:
        tell(
            Told(
                kind="done",
                key=task.key,
                seconds=done.seconds,
                fresh=done.fresh,
                text=str(done.row["edit_id"]),
            )
        )

    editing.edit(job, editor, on_edit=on_edit, on_note=partial(_note, tell, task))


def _note(tell: Tell, task: Task, text: str) -> None:
    tell(Told(kind="note", key=task.key, text=text))


# --------------------------------------------------------------------------- in the parent


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    task: Task | None = None
    editor: Loading | None = None


@dataclass
class Pool:
    """``jobs`` workers. ``threads``: of torch in each, 0 for its own choice."""

    jobs: int
    threads: int
    _workers: list[_Worker] = field(default_factory=list)

    def run(
        self,
        tasks: Sequence[Task],
        then: Callable[[str], Sequence[Task]],
        tell: Callable[[Told | None], None],
    ) -> None:
        """Does all tasks, and those that ``then`` names as each key's last task ends.

        ``tell`` hears everything, and ``None`` now and then. Raises ``WorkerError`` for the first task that failed.
        """
        waiting = list(tasks)
        left = {k: sum(t.key == k for t in waiting) for k in {t.key for t in waiting}}
        self._start(min(self.jobs, len(waiting)))
        while waiting or any(w.task for w in self._workers):
            for worker in self._workers:
                if worker.task is None and waiting:
                    _give(worker, waiting)
            tell(None)
            for worker, said in self._heard():
                tell(said)
                if said.kind == "failed":
                    raise WorkerError(f"{said.key}: {said.text}") if said.code == 1 else _input(said)
                if said.kind == "end":
                    worker.task = None
                    left[said.key] -= 1
                    more = then(said.key) if left[said.key] == 0 else ()
                    left |= {t.key: left.get(t.key, 0) + 1 for t in more}
                    waiting = [*more, *waiting]

    def _start(self, wanted: int) -> None:
        context = get_context("spawn")
        while len(self._workers) < wanted:
            ours, theirs = context.Pipe()
            process = context.Process(
                target=work, args=(theirs, self.threads, len(self._workers)), daemon=True
            )
            with _environment(self.threads), _uninterrupted():
                process.start()
            theirs.close()
            self._workers.append(_Worker(process, ours))

    def _heard(self) -> Iterator[tuple[_Worker, Told]]:
        ready = wait([w.pipe for w in self._workers], timeout=0.2)
        for worker in self._workers:
            if worker.pipe in ready:
                try:
                    yield worker, worker.pipe.recv()
                except (EOFError, OSError):
                    raise _died(worker) from None

    def close(self) -> None:
        """Ends all workers; what they were doing is done again by the next run."""
        for worker in self._workers:
            worker.pipe.close()
            if worker.task is not None:
                worker.process.terminate()
        deadline = time.monotonic() + PATIENCE_S
        for worker in self._workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            worker.process.kill()
            worker.process.join()
        self._workers.clear()


def _give(worker: _Worker, waiting: list[Task]) -> None:
    """The first task for the editor that the worker has, else the first of all."""
    place = next((i for i, t in enumerate(waiting) if t.editor == worker.editor), 0)
    worker.task = waiting.pop(place)
    worker.editor = worker.task.editor
    try:
        worker.pipe.send(worker.task)
    except (BrokenPipeError, ConnectionResetError):
        raise _died(worker) from None


def _died(worker: _Worker) -> WorkerError:
    worker.process.join(5)
    code = worker.process.exitcode
    how = f"was ended by signal {-code}" if code is not None and code < 0 else f"ended with {code}"
    task = worker.task.key if worker.task else "nothing"
    return WorkerError(
        f"a worker {how} while it did {task}; if memory ran out, give fewer --jobs; the same command goes on"
    )


def _input(said: Told) -> IsrError:
    error = IsrError(f"{said.key}: {said.text}")
    error.exit_code = said.code
    return error


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C in a terminal goes to all of its processes: one that begins must not take it for its own."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _environment(threads: int) -> Iterator[None]:
    """What a new worker's libraries read when they are loaded."""
    before = {k: os.environ.get(k) for k in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    if threads:
        os.environ.update(dict.fromkeys(before, str(threads)))
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


__all__ = ["Edit", "Immunize", "Loading", "Pool", "Task", "Told", "WorkerError", "work"]
