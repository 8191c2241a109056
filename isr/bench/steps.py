"""Carries a study out, step by step, and goes on where an earlier run of it stopped."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from isr.bench.cells import STEPS, Editing, Immunization, Marks, Plan, Scoring, plan
from isr.bench.material.folder import FOLDER, RECORD, Material, find, prepare
from isr.bench.progress import Board, Kind
from isr.bench.study import (
    EditorPart,
    Study,
    editor_spec,
    judge_sets,
    judge_spec,
    method_spec,
    read_study,
    texts,
)
from isr.bench.workers import Edit, Immunize, Loading, Pool, Task, Told
from isr.canonical import sha256_bytes, sha256_json
from isr.errors import InputError, Problem, UsageError

if TYPE_CHECKING:
    from isr.bench.results import Findings
    from isr.scoring.run import Watch

SHARDS = 4  # tasks for each worker that a folder of edits is shared out in


class Show(Protocol):
    """Where a run tells how far it is."""

    def say(self, text: str) -> None: ...
    def update(self, board: Board) -> None: ...
    def scoring(self, watch: Watch) -> AbstractContextManager[None]: ...


@dataclass(frozen=True)
class Order:
    """What is asked for. ``jobs``: 0 for as many as there are cores, or one where there is a GPU."""

    file: Path
    out: Path
    jobs: int = 0
    steps: tuple[str, ...] = STEPS
    budget_usd: float | None = None
    allow_code: bool = False

    @property
    def root(self) -> Path:
        """What relative paths of the study start from."""
        return self.file.parent


@dataclass(frozen=True)
class Edited:
    """What lies in a folder of edits: the digest of its table and of every file in it, and what made them."""

    digest: str
    versions: tuple[str, ...]


@dataclass(frozen=True)
class Expected:
    """How many images and prompts a data set or a writer is to give; ``seen``: texts that are known already."""

    images: int
    prompts: int
    seen: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Bench:
    """A study that is carried out: its cells, its images, how far it is."""

    order: Order
    study: Study
    plan: Plan
    material: Material | None
    expected: Expected = field(default_factory=lambda: Expected(0, 0))
    board: Board = field(default_factory=Board)
    notes: list[str] = field(default_factory=list)
    exit_code: int = 0
    timing: dict[str, float] = field(default_factory=dict)
    findings: Findings | None = None
    edited: dict[str, Edited] = field(default_factory=dict)
    earlier: list[dict[str, Any]] = field(default_factory=list)  # runs in this folder, as run.json has them

    @property
    def out(self) -> Path:
        return self.order.out

    @property
    def pairs(self) -> int:
        """Pairs of an image and a prompt, as far as they are known."""
        return len(self.material.prompts) if self.material else self.expected.prompts

    @property
    def pictures(self) -> int:
        return len(self.material.images) if self.material else self.expected.images


def default_out(file: Path, study: Study) -> Path:
    from sifm_ref.pictures import slug

    return file.parent / f"{slug(study.name).strip('.') or 'study'}.bench"


# --------------------------------------------------------------------------- reading


def open_bench(file: Path, out: Path | None, **asked: Any) -> Bench:
    """The study with its cells; nothing is computed or written. Raises ``IsrError`` with every problem of the file."""
    from sifm_ref.registry import require_torch

    require_torch()
    study = read_study(file, allow_code=bool(asked.get("allow_code")))
    order = Order(file, out or default_out(file, study), **asked)
    found = plan(study, marks(study, order.root))
    material = _material(study, order)
    return Bench(order, study, found, material, Expected(0, 0) if material else expected(study, order))


def marks(study: Study, root: Path) -> Marks:
    """What the study's names mean on this disk."""
    from isr.judging.cards import load_panel
    from sifm_ref.loading import fingerprint

    editors = {}
    for editor in study.editors:
        place = editor_spec(editor, root).rpartition("=")[2]
        editors[editor.name] = fingerprint(place)["fingerprint"] if Path(place).is_dir() else ""
    code = {
        m.name: sha256_bytes(Path(method_spec(m, root).rpartition(":")[0]).read_bytes())
        for m in study.methods
        if m.is_code
    }
    panels = [load_panel(judge_spec(j, root), judge_sets(j)) for j in study.judges]
    judges = [(p.name, len(p.members), sha256_json([p.rule, *(m.digest for m in p.members)])) for p in panels]
    return Marks(editors, code, judges)


def expected(study: Study, order: Order) -> Expected:
    """What is to come, counted; a folder and a file of unseen prompts are read. Raises ``InputError`` as the run does."""
    part = study.images
    own: Material | None = None
    if part.dataset is None:
        own = find(order.root / part.folder, order.root / part.prompts, order.out)
    n = len(own.images) if own else sum(part.dataset.strata.values()) if part.dataset else 0
    prompts, seen = len(own.prompts) if own else n, own.seen if own else {}
    if part.unseen is None:
        return Expected(n, prompts, seen)
    if part.unseen.file and own:
        from isr.bench.material import unseen

        unseen.find(part.unseen, seen, {}, order.out, order.root)
    return Expected(n, prompts + n * part.unseen.count, seen)


def _material(study: Study, order: Order) -> Material | None:
    """What is known without a data set or a writer."""
    part = study.images
    if part.unseen is not None:
        return None
    folder, prompts = order.root / part.folder, order.root / part.prompts
    return find(folder, prompts, order.out) if part.folder else None


# --------------------------------------------------------------------------- running


def run(bench: Bench, show: Show) -> None:
    """Carries out the steps that are asked for. Raises ``IsrError``, or ``KeyboardInterrupt`` with all work kept."""
    check_ready(bench)
    bench.out.mkdir(parents=True, exist_ok=True)
    with _alone(bench.out):
        for line in _begin(bench):
            show.say(line)
        steps: Mapping[str, Callable[[Bench, Show], None]] = {
            "images": _images,
            "immunize": _compute,
            "edit": _compute,
            "score": _score_all,
            "results": _results,
        }
        bench.earlier = _earlier(bench.out)
        done: list[Callable[[Bench, Show], None]] = []
        if (bench.out / FOLDER / RECORD).is_file() and "images" not in bench.order.steps:
            _images(bench, show)  # whatever is asked for: another picture under an old name is refused
        for name in STEPS:
            if name not in bench.order.steps or steps[name] in done:
                continue
            done.append(steps[name])
            began = time.monotonic()
            steps[name](bench, show)
            bench.timing.setdefault(name, round(time.monotonic() - began, 1))
            _keep_timing(bench)


def check_ready(bench: Bench) -> None:
    """Raises ``IsrError`` for what scoring would stop at only after hours: keys, prices, packages."""
    from isr.judging.backends import backend_of
    from isr.judging.cards import load_panel
    from isr.judging.keys import check_pair, endpoint_key
    from isr.judging.prices import require_prices
    from isr.scoring.metrics import require_piq

    if "score" not in bench.order.steps:
        return
    if bench.study.metrics:
        require_piq()
    for scoring in bench.plan.scorings:
        panel = load_panel(judge_spec(scoring.judge, bench.order.root), judge_sets(scoring.judge))
        for card in panel.members:
            check_pair(card)
            backend_of(card)
            if not (bench.out / scoring.folder / "isr.db").exists():
                endpoint_key(card)
        if bench.order.budget_usd is not None:
            require_prices(panel.members)


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Refuses a second run in the same folder; the lock ends with its process, however that ends."""
    with (out / ".lock").open("w") as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # Windows
            pass
        except BlockingIOError:
            raise UsageError(
                f"{out}: another isr bench is at work here; wait for it or give another --out"
            ) from None
        yield


def _begin(bench: Bench) -> list[str]:
    """Keeps the study in ``bench.json``, or says in what it differs from the last one of the folder."""
    from sifm_ref.pictures import write_whole

    file, now = bench.out / "bench.json", json.loads(bench.study.model_dump_json(by_alias=True))
    studies = check_folder(bench)
    said = list(_differences(_flat(studies[-1]), _flat(now))) if studies else []
    if not studies or said:
        studies.append(now)
        kept = {"schema": "isr.bench-begun/1", "study": studies[0], "later": studies[1:]}
        write_whole(file, (json.dumps(kept, indent=1, ensure_ascii=False) + "\n").encode())
    if said:
        said = [
            "the study differs from the last one of this folder; what is done of it stays:",
            *(f"  {line}" for line in said[:20]),
            *([f"  and {len(said) - 20} more"] if len(said) > 20 else []),
        ]
    return said


def check_folder(bench: Bench) -> list[dict[str, Any]]:
    """The studies that were run in the folder, the first one first; none where it is new.

    Raises ``UsageError`` where the folder is another bench's or no bench's.
    """
    file, out = bench.out / "bench.json", bench.out
    if not file.is_file():
        if out.is_dir() and any(not p.name.startswith(".") for p in out.iterdir()):
            raise UsageError(
                f"--out {out}: expected a new folder or a bench; found other files; choose another"
            )
        return []
    try:
        said = json.loads(file.read_text("utf-8"))
        studies = [said["study"], *said.get("later", [])]
        names = {s["name"] for s in studies}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{file}: expected the studies of a bench, as isr bench wrote them; found {error!r}; "
            "put the file back, or delete it and give a new --out"
        ) from error
    if names != {bench.study.name}:
        raise UsageError(
            f"--out {out}: expected the bench of {bench.study.name!r}; found that of "
            f"{studies[0]['name']!r}; choose another"
        )
    return studies


def _flat(value: Any, at: str = "") -> dict[str, str]:
    """Values by their paths; entries of a list by their names."""
    if isinstance(value, dict):
        return {
            k: v
            for key, inner in value.items()
            for k, v in _flat(inner, f"{at}.{key}" if at else key).items()
        }
    if isinstance(value, list) and value and all(isinstance(v, dict) for v in value):
        named = [(str(v.get("name") or v.get("card") or i), v) for i, v in enumerate(value)]
        return {k: v for name, inner in named for k, v in _flat(inner, f"{at}[{name}]").items()}
    return {at: json.dumps(value, ensure_ascii=False)}


def _differences(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for key in sorted({*before, *now}):
        if before.get(key) != now.get(key):
            yield f"{key}: then {before.get(key, 'not there')[:80]}; now {now.get(key, 'not there')[:80]}"


def _gather(bench: Bench, show: Show) -> None:
    if bench.material is None:
        from isr.bench.material.gather import gather

        bench.material = gather(bench.study.images, bench.order.root, bench.out, show.say)
        bench.notes += bench.material.notes


def _images(bench: Bench, show: Show) -> None:
    board = bench.board
    board.step, board.detail = "images", ""
    _gather(bench, show)
    assert bench.material is not None
    board.plan("images", "images", len(bench.material.images))

    def on_image(name: str) -> None:
        board.add("images", 0.0, fresh=False)
        board.detail = name
        show.update(board)

    for line in prepare(bench.material, bench.study.images, bench.out / FOLDER, on_image):
        show.say(f"images: {line}")


# --------------------------------------------------------------------------- immunizing and editing


def _need_images(bench: Bench) -> None:
    if bench.material is None or not (bench.out / FOLDER / RECORD).is_file():
        raise UsageError(
            f"{bench.out}: expected its images; found none; run without --only, or with images in it"
        )


def _compute(bench: Bench, show: Show) -> None:
    """Immunizes and edits with one set of workers, which keep their editors from the one to the other."""
    _need_images(bench)
    bench.board.jobs = jobs = bench.order.jobs or default_jobs(bench.study)
    pool = Pool(jobs, 1 if not _on_gpu(bench.study) else 0)
    try:
        for step in ("immunize", "edit"):
            if step in bench.order.steps:
                began = time.monotonic()
                _step(bench, show, pool, step)
                bench.timing[step] = round(time.monotonic() - began, 1)
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


@dataclass(frozen=True)
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
            return _stamped(self.stamp, self.rests_on) == WHOLE and all(
                map(Path.is_file, _named_in(self.folder, rows))
            )
        except (OSError, ValueError, TypeError, AttributeError):
            return False

    def forget(self) -> None:
        self.stamp.unlink(missing_ok=True)

    def remember(self) -> None:
        _remember(self.stamp, self.folder, self.rests_on, WHOLE)


def _remember(stamp: Path, folder: Path, rests_on: str, unfinished: Unfinished) -> None:
    from sifm_ref.pictures import write_whole

    said: dict[str, Any] = {"folder": folder.name, "rests_on": rests_on}
    if unfinished != WHOLE:
        said |= {"exit_code": unfinished.exit_code, "note": unfinished.note}
    write_whole(stamp, json.dumps(said, ensure_ascii=False).encode())


def _stamped(stamp: Path, rests_on: str) -> Unfinished | None:
    """What is noted of a folder that holds what is wanted; ``None`` where it holds something else, or nothing."""
    try:
        said = json.loads(stamp.read_text("utf-8"))
        if said["rests_on"] != rests_on:
            return None
        return Unfinished(int(said.get("exit_code", 0)), str(said.get("note", "")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _rows(folder: Path) -> list[dict[str, Any]]:
    """The table of a folder of ``isr immunize`` or ``isr edit``; lines end with a newline and with nothing else."""
    text = (folder / "metadata.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.split("\n") if line.strip()]


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
            f"{folder}: expected edits that isr bench made; found {error!r}; run without --only"
        ) from error
    versions = {str(r["edit_versions"]) for r in rows if r.get("edit_versions")}
    return Edited(sha256_json([table, parts]), tuple(sorted(versions)))


def _sha256(path: Path) -> str:
    return sha256_bytes(path.read_bytes())


def records(folder: Path) -> int:
    """How many results there are in a folder of ``isr immunize`` or ``isr edit``."""
    return sum(1 for _ in (folder / ".records").glob("*.json"))


def _stamp(bench: Bench, folder: str) -> Path:
    return bench.out / ".done" / (folder.replace("/", "-") + ".json")


def _rests_on_images(bench: Bench, cell: Immunization) -> str:
    """Digest of the images and texts that a treatment is made of, and of its settings (in its folder's name)."""
    assert bench.material is not None
    part = bench.study.images
    size = [part.resolution, part.resize, part.sides]
    pictures = [[i.image_id, i.sha256] for i in bench.material.images]
    return sha256_json([cell.folder, size, pictures, bench.material.seen])


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
    loading = loading_of(cell.surrogate, root)

    def task(shard: tuple[int, int]) -> Task:
        return Immunize(
            cell.folder,
            loading,
            bench.out / cell.folder,
            folder,
            pictures,
            material.seen,
            method_spec(cell.method, root),
            cell.method.preset,
            texts(cell.method.set),
            cell.eps,
            cell.method.norm,
            cell.method.seed,
            study.images.resolution,
            cell.surrogate.batch,
            shard,
        )

    return Cell(
        cell.folder,
        cell.title,
        bench.out / cell.folder,
        _stamp(bench, cell.folder),
        _rests_on_images(bench, cell),
        max(1, min(bench.board.jobs, batches)),
        task,
    )


def _size(bench: Bench, size: tuple[int, int]) -> tuple[int, int]:
    from sifm_ref.pictures import Resize

    part = bench.study.images
    return Resize(part.resolution, part.resize).size(*size, part.sides)


def loading_of(editor: EditorPart, root: Path) -> Loading:
    return Loading(
        editor_spec(editor, root),
        editor.name,
        tuple(sorted(texts(editor.set).items())),
        editor.dtype,
        editor.device,
        editor.revision,
        editor.timestep_batch,
        editor.checkpoint_activations,
    )


def edit_cells(bench: Bench) -> list[Cell]:
    """One for each editor."""
    return [_edit_cell(bench, e) for e in bench.plan.editings]


def _edit_cell(bench: Bench, editing: Editing) -> Cell:
    material, study = bench.material, bench.study
    assert material is not None
    prompts = tuple(
        (p.image_id, p.prompt, p.prompt_id, tuple(sorted(p.columns.items()))) for p in material.prompts
    )
    directories = tuple(bench.out / t.folder for t in editing.treatments)
    loading = loading_of(editing.editor, bench.order.root)
    units = bench.plan.units(editing, len(prompts))

    def task(shard: tuple[int, int]) -> Task:
        return Edit(
            editing.folder,
            loading,
            bench.out / editing.folder,
            directories,
            prompts,
            study.seeds,
            editing.purifiers,
            shard,
        )

    jobs = bench.board.jobs
    rests_on = sha256_json(
        [
            editing.folder,
            [_rests_on_images(bench, t) for t in editing.treatments],
            material.digest,
            list(study.seeds),
            list(editing.purifiers),
        ]
    )
    return Cell(
        editing.folder,
        editing.editor.name,
        bench.out / editing.folder,
        _stamp(bench, editing.folder),
        rests_on,
        1 if jobs == 1 else max(1, min(jobs * SHARDS, units)),
        task,
    )


def plan_board(bench: Bench) -> None:
    """Enters all work of the study; what was measured by an earlier run is known."""
    known, board, kinds = _known(bench.out), bench.board, bench.board.kinds
    work = [(c.folder, "immunize", bench.pictures) for c in bench.plan.immunizations]
    work += [(e.folder, "edit", bench.plan.edits(e, bench.pairs)) for e in bench.plan.editings]
    work += [(s.folder, "score", bench.plan.questions(s, bench.pairs)) for s in bench.plan.scorings]
    for key, step, total in work:
        if key not in kinds and step in bench.order.steps:
            board.plan(key, step, total, known)


def _known(out: Path) -> dict[str, float]:
    try:
        found = json.loads((out / "run.json").read_text("utf-8"))["seconds_each"]
        return {str(k): float(v) for k, v in found.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _keep_timing(bench: Bench) -> None:
    """Adds what is true of this run only to ``run.json``: times, host, versions. ``results.json`` has none of it."""
    import platform
    from datetime import UTC, datetime

    from sifm_ref.pictures import write_whole
    from sifm_ref.records import versions

    now = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "steps": list(bench.order.steps),
        "exit_code": bench.exit_code,
        "jobs": bench.board.jobs,
        "seconds": bench.timing,
        "usd": round(bench.board.usd, 6) if bench.board.priced else None,
        "versions": versions(),
        "platform": platform.platform(),
    }
    said = {
        "schema": "isr.bench-run/2",
        "seconds_each": {**_known(bench.out), **bench.board.seconds_each()},
        "edit_versions": sorted({v for e in bench.edited.values() for v in e.versions}),
        "runs": [*bench.earlier, now],
    }
    write_whole(bench.out / "run.json", (json.dumps(said, indent=1) + "\n").encode())


def _earlier(out: Path) -> list[dict[str, Any]]:
    """The records of the runs before this one; a folder of an older version has that of its last one only."""
    try:
        said = json.loads((out / "run.json").read_text("utf-8"))
        runs = said.get("runs", [said])
        drop = ("schema", "seconds_each")
        return [{k: v for k, v in run.items() if k not in drop} for run in runs]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


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


# --------------------------------------------------------------------------- scoring


def _score_all(bench: Bench, show: Show) -> None:
    _need_images(bench)
    plan_board(bench)
    bench.board.step = "score"
    for scoring in bench.plan.scorings:
        _score(bench, scoring, show)


def _score(bench: Bench, scoring: Scoring, show: Show) -> None:
    """Scores one editor's edits by one judge; a folder that is scored completely is left as it is."""
    edits = bench.out / scoring.editing.folder
    if not _edit_cell(bench, scoring.editing).is_done:
        raise UsageError(
            f"{edits}: expected all edits of this study; found a part, or those of another; "
            f"run without --only, or with {_with('edit')} in it"
        )
    stamp, rests_on = _stamp(bench, scoring.folder), _score_rests_on(bench, scoring)
    board, out = bench.board, bench.out / scoring.folder
    if (out / "result.json").is_file() and _stamped(stamp, rests_on) == WHOLE:
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
        unfinished = ", ".join(f"{n} {reason}" for reason, n in sorted(done.unfinished.items()))
        why = done.trouble or done.progress.stopped or ""
        note = f"{scoring.title}: without a reply: {unfinished or 'some'}; {why}".rstrip("; ")
        left = Unfinished(done.exit_code, f"{note}; run the same command again to fill them")
        _remember(stamp, out, rests_on, left)
        _note(bench, left)
        return
    board.finish(scoring.folder)
    _remember(stamp, out, rests_on, WHOLE)


def _note(bench: Bench, left: Unfinished) -> None:
    bench.exit_code = max(bench.exit_code, left.exit_code)
    if left.note and left.note not in bench.notes:
        bench.notes.append(left.note)


def _score_rests_on(bench: Bench, scoring: Scoring) -> str:
    from isr.version import __version__

    wanted = _edit_cell(bench, scoring.editing).rests_on
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
        ]
    )


def _edited(bench: Bench, editing: Editing) -> Edited:
    """What lies in the folder of an editor, looked at once in a run: scoring and results are of the same bytes."""
    if editing.folder not in bench.edited:
        bench.edited[editing.folder] = edited(bench.out / editing.folder)
    return bench.edited[editing.folder]


def _by(bench: Bench) -> list[str]:
    """Columns by which each run is grouped: the study's, as far as the edits have them, and the purifier."""
    material = bench.material
    has = {c for p in material.prompts for c in p.columns} if material else set()
    known = {"purifier", "prompt_id", "seed", "editor", "method", "eps", "surrogate", *has}
    more = ["purifier"] if any(len(e.purifiers) > 1 for e in bench.plan.editings) else []
    return list(dict.fromkeys([*(c for c in bench.study.by if c in known), *more]))


async def _scored(bench: Bench, scoring: Scoring, show: Show) -> Any:
    from isr.scoring.run import Options, Watch, run

    budget = bench.order.budget_usd
    options = Options(
        bench.out / scoring.editing.folder,
        judge_spec(scoring.judge, bench.order.root),
        judge_sets(scoring.judge),
        bench.out / scoring.folder,
        rubrics=scoring.judge.rubrics,
        by=tuple(_by(bench)),
        level=bench.study.level,
        budget_usd=None if budget is None else max(0.0, budget - bench.board.usd),
        metrics=bench.study.metrics and scoring.judge == bench.study.judges[0],
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


# --------------------------------------------------------------------------- results


def _results(bench: Bench, show: Show) -> None:
    from isr.bench.results import write

    bench.board.step, bench.board.detail = "results", ""
    show.update(bench.board)
    _need_images(bench)
    if problems := list(_other_than_wanted(bench)):
        raise InputError(
            f"{bench.out}: expected everything as the study says; no results were written", problems
        )
    for scoring in bench.plan.scorings:
        _note(bench, _scored_as(bench, scoring) or WHOLE)
    bench.findings = write(bench, show)


def _scored_as(bench: Bench, scoring: Scoring) -> Unfinished | None:
    if not (bench.out / scoring.folder / "result.json").is_file():
        return None
    return _stamped(_stamp(bench, scoring.folder), _score_rests_on(bench, scoring))


def _other_than_wanted(bench: Bench) -> Iterator[Problem]:
    """What is missing, or was made of other images, prompts, settings or edits than the study has now."""
    found = "less, or what was made of others"
    for cell in immunize_cells(bench):
        if not cell.is_done:
            yield Problem(
                cell.folder.name, "", "all its images as the study says", found, _again(bench, "immunize")
            )
    done = set()
    for cell in edit_cells(bench):
        if cell.is_done:
            done.add(cell.key)
        else:
            yield Problem(
                cell.folder.name, "", "all its edits as the study says", found, _again(bench, "edit")
            )
    for s in bench.plan.scorings:
        if s.editing.folder in done and _scored_as(bench, s) is None:
            found = "none, or scores of other edits"
            yield Problem(s.title, "", "the score of its edits", found, _again(bench, "score"))


def _again(bench: Bench, step: str) -> str:
    return f"run isr bench {bench.order.file.name} without --only, or with {_with(step)} in it"


def _with(step: str) -> str:
    """A step and those after it that rest on it, as ``--only`` takes them."""
    return ",".join(STEPS[STEPS.index(step) : -1])
