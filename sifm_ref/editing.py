"""Edits protected images and their sources alike: an edit directory that ``isr score`` takes as it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from isr.canonical import canonical_json, sha256_json
from isr.errors import InputError, Problem
from isr.files import file_digest
from isr.reading import read_bytes, read_json
from sifm_ref.failures import is_others, library, memory, others_code
from sifm_ref.finite import NotFiniteError, finite, remedy
from sifm_ref.pictures import central_mask, read_rgb, slug, write_png, write_whole
from sifm_ref.prompt_length import told, untold
from sifm_ref.records import FOLDER, Records, alone, device_of, remade, versions
from sifm_ref.registry import Purifier
from sifm_ref.units import Prompt, Unit, key_of, treatment_of, units_of

if TYPE_CHECKING:
    from sifm_ref.editor import Editor


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to edit: directories of ``isr immunize``, with every prompt, seed and purifier (``None``: as it is).

    ``partial``: also directories in which images are missing. ``growing``: directories, prompts, seeds and purifiers
    may be others than those with which the run began; what is there no longer is left out of the metadata. ``wait_s``:
    seconds to wait for another process to leave ``out``.
    """

    directories: tuple[Path, ...]
    out: Path
    prompts: tuple[Prompt, ...]
    seeds: tuple[int, ...] = (0,)
    purifiers: tuple[Purifier | None, ...] = (None,)
    shard: tuple[int, int] = (0, 1)
    resume: bool = False
    partial: bool = False
    growing: bool = False
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Done:
    """One edit: its row, its number among this process's, and how long it took (its control edit included)."""

    row: Mapping[str, Any]
    number: int
    total: int
    seconds: float
    fresh: bool = True


def edit(
    job: Job,
    editor: Editor,
    *,
    on_edit: Callable[[Done], None] = lambda done: None,
    on_note: Callable[[str], None] = lambda text: None,
    make: Make | None = None,
) -> int:
    """The number of edits in ``job.out`` after the run; those that were there before are left as they are.

    Writes ``edits/``, ``controls/``, ``sources/``, ``protected/``, ``edit.json`` and, once all edits of all shards are
    there, ``metadata.jsonl``. An edit and its control edit have the same prompt, seed and purifier. A file of an edit
    that is not the one that was made makes the edit be made again. ``on_note`` hears what a user should know.
    ``make``: edits elsewhere, where ``editor`` only says what is there; else it is done here.

    Raises ``InputError`` with every prompt and image that did not find its other half, every image that a directory
    lacks, where directories hold different sources under one name, and for an edit that fails; ``UsageError`` where
    another run is at work in ``job.out``, or another was begun there.
    """
    units = units_of(
        job.directories,
        job.prompts,
        seeds=job.seeds,
        purifiers=job.purifiers,
        partial=job.partial,
        on_note=on_note,
    )
    keys = [key_of(unit, before) for unit in units for _, before in unit.treated]
    growing = ("directories", "prompts", "seeds", "purifiers") if job.growing else ()
    what, device = _what(job, editor), device_of(editor)
    ends, cut = getattr(editor, "told", partial(told, editor))({u.prompt.read: u.prompt.id for u in units})
    with alone(job.out, "edit", job.shard, wait_s=job.wait_s):
        records = Records(
            job.out,
            "edit",
            what,
            keys,
            resume=job.resume,
            growing=growing,
            device=device,
            sole=job.shard[1] == 1,
        )
        for note in (*records.notes, *([cut] if cut else [])):
            on_note(note)
        try:
            _make(
                units[job.shard[0] :: job.shard[1]],
                records,
                Making(job.out, editor, device, ends),
                on_edit,
                on_note,
                make or _here,
            )
        finally:
            there = records.finish(whole=True)
    return there


@dataclass(frozen=True)
class Making:
    """Where edits go, and what makes them; ``ends``: what it does not read of each prompt."""

    out: Path
    editor: Editor
    device: str
    ends: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """One picture that is to be edited: its unit and its row, the edit's name and number."""

    unit: Unit
    path: Path
    before: Mapping[str, Any]
    key: str
    number: int
    origin: Mapping[str, str]


Make = Callable[[Iterator[Waiting], Making], Iterator[tuple[Waiting, dict[str, Any], float]]]
"""Makes edits, each with its files written: its row and the seconds that it took, in whichever order."""


def _make(
    units: Sequence[Unit],
    records: Records,
    making: Making,
    on_edit: Callable[[Done], None],
    on_note: Callable[[str], None],
    make: Make,
) -> None:
    """Makes the edits of some units that are not there, or are not what was made.

    Other pictures under the names of those that an edit was made from are another edit: their digests are in its row.
    """
    seen = {path: file_digest(path) for path in {p for u in units for p, _ in u.treated}}
    origins = [
        (u, path, before, {**u.origin, "protected_sha256": seen[path]})
        for u in units
        for path, before in u.treated
    ]
    looks = [records.look(key_of(u, before), **origin) for u, _, before, origin in origins]
    if changed := sorted({name for look in looks for name in look.changed}):
        on_note(remade(changed))

    def work() -> Iterator[Waiting]:
        for number, ((unit, path, before, origin), look) in enumerate(zip(origins, looks, strict=True), 1):
            key = key_of(unit, before)
            if look.done:
                on_edit(Done({"edit_id": key}, number, len(looks), 0.0, fresh=False))
                continue
            records.drop(key)
            yield Waiting(unit=unit, path=path, before=before, key=key, number=number, origin=origin)

    for one, made, seconds in make(work(), making):
        row = {**made, **one.origin}
        records.add(one.key, row)
        on_edit(Done(row, one.number, len(looks), seconds))


def _here(work: Iterator[Waiting], making: Making) -> Iterator[tuple[Waiting, dict[str, Any], float]]:
    """Edits one picture after the other in this process."""
    for one in work:
        with untold(making.editor):
            row, seconds = timed_edit(one.unit, one.path, one.before, one.key, making)
        yield one, row, seconds


def timed_edit(
    unit: Unit, path: Path, before: Mapping[str, Any], key: str, making: Making
) -> tuple[dict[str, Any], float]:
    """The row of one edit whose files are written, and the seconds that it took, its control edit included."""
    began = time.perf_counter()
    with _in_words(f"edit of {path} (prompt {unit.prompt.id}, seed {unit.seed})"):
        row = _edit_one(unit, path, before, key, making)
    return row, time.perf_counter() - began


@contextmanager
def _in_words(doing: str) -> Iterator[None]:
    """What a pipeline raises while a picture is edited, as an error with what to do."""
    advice = "check the editor's settings (--set), its checkpoint and the picture's size"
    with (
        library(doing, advice),
        memory(
            doing,
            "end what else uses the device, or immunize at a lower --resolution; in a new folder, --dtype bf16 halves it",
        ),
    ):
        yield


def _edit_one(unit: Unit, path: Path, before: Mapping[str, Any], key: str, making: Making) -> dict[str, Any]:
    out, editor = making.out, making.editor
    source, protected = (
        out / "sources" / f"{unit.image_id}.png",
        out / "protected" / f"{_protected(before)}.png",
    )
    for target, origin in ((source, unit.source), (protected, path)):
        _copy(origin, target)
    mask = read_rgb(unit.mask).convert("L") if unit.mask else None
    if mask is None and editor.masked:
        mask = central_mask(read_rgb(unit.source).size)
    control, control_digest = _control(unit, out, mask, editor)
    digest = write_png(out / "edits" / f"{key}.png", _edited(unit, path, mask, editor))
    row = {
        "file_name": f"edits/{key}.png",
        "prompt": unit.prompt.text,
        "source_file_name": source.relative_to(out).as_posix(),
        "control_file_name": control.relative_to(out).as_posix(),
        "protected_file_name": protected.relative_to(out).as_posix(),
        "image_id": unit.image_id,
        "prompt_id": unit.prompt.id,
        "editor": editor.name,
        "seed": unit.seed,
        "purifier": unit.purifier.text if unit.purifier else "",
        "edit_id": key,
    }
    kept = {k: v for k, v in before.items() if k not in row and k != "mask_file_name"}
    return {
        **row,
        **kept,
        **unit.prompt.columns,
        "editor_checkpoint": editor.checkpoint,
        "editor_settings": canonical_json(dict(editor.settings)).decode(),
        "edit_versions": " ".join(f"{k}={v}" for k, v in versions().items() if v),
        "edit_device": making.device,
        **({"editor_prompt": unit.prompt.given} if unit.prompt.given else {}),
        "prompt_truncated": making.ends[unit.prompt.read],
        "edit_sha256": digest,
        "control_sha256": control_digest,
    }


def _protected(before: Mapping[str, Any]) -> str:
    exactly = (str(before["image_id"]), *treatment_of(before))
    return f"{slug(*exactly[:2])}_{sha256_json(exactly)[7:13]}"


def _copy(origin: Path, target: Path) -> None:
    """The origin's bytes, unless they are there."""
    data = read_bytes(origin)
    if not (target.is_file() and read_bytes(target) == data):
        write_whole(target, data)


def mark_of(name: str) -> str:
    """The file, below an output folder, that vouches for the control edit of a unit of that name."""
    return f"{FOLDER}/controls/{name}.json"


def _control(unit: Unit, out: Path, mask: Image.Image | None, editor: Editor) -> tuple[Path, str]:
    """The edit of the source with its digest, made if it is not there or was made of another source or mask.

    The mark that vouches for it is taken away before it is written: a run that is killed in between leaves none.
    """
    control = out / "controls" / f"{unit.name}.png"
    mark = out / mark_of(unit.name)
    digest = _vouched(control, mark, unit.origin)
    if not digest:
        mark.unlink(missing_ok=True)
        digest = write_png(control, _edited(unit, unit.source, mask, editor))
        write_whole(mark, canonical_json({**unit.origin, "control_sha256": digest}))
    return control, digest


def _vouched(control: Path, mark: Path, origin: Mapping[str, str]) -> str:
    """The digest of a control edit that is the one which was made of ``origin``; ``""`` where it is not, or is none.

    A mark of an earlier version knows nothing of the file that it vouches for: it is believed.
    """
    try:
        said, found = read_json(mark), file_digest(control)
    except (OSError, ValueError):
        return ""
    return found if said in ({**origin, "control_sha256": found}, dict(origin)) else ""


def _edited(unit: Unit, path: Path, mask: Image.Image | None, editor: Editor) -> Image.Image:
    """The edit of a picture, purified first if the unit says so. Its size is the picture's.

    Raises ``InputError`` where it would be made of NaN or infinity: no such edit is kept.
    """
    image = read_rgb(path)
    try:
        with others_code(*_others(unit, path, editor)), finite(editor):
            if unit.purifier is not None:
                purified = unit.purifier(image, seed=unit.seed, editor=editor).convert("RGB")
                image = purified if purified.size == image.size else purified.resize(image.size)
            made = editor.edit(image, unit.prompt.read, unit.seed, mask).convert("RGB")
    except NotFiniteError as error:
        raise _not_finite(error, unit, path, editor) from error
    return made if made.size == image.size else made.resize(image.size, Image.Resampling.LANCZOS)


def _others(unit: Unit, path: Path, editor: Editor) -> Iterator[str]:
    """Who of those at work on an edit was written outside this package, and on which."""
    on = f"on {path.name} (prompt {unit.prompt.id}, seed {unit.seed})"
    if unit.purifier is not None and is_others(unit.purifier.function):
        yield f"purifier {unit.purifier.text} {on}"
    if is_others(getattr(editor, "function", type(editor))):
        yield f"editor {editor.name} {on}"


def _not_finite(error: NotFiniteError, unit: Unit, path: Path, editor: Editor) -> InputError:
    dtype = str(editor.identity.get("dtype", "fp32"))
    purified = f", purifier {unit.purifier.text}" if unit.purifier else ""
    by = f"prompt {unit.prompt.id} {unit.prompt.text[:80]!r}, seed {unit.seed}{purified}, dtype {dtype}"
    found = f"NaN or infinity, first in {error.stage} ({by})"
    problem = Problem(str(path), "", "an edit of finite values", found, remedy(dtype))
    return InputError(
        f"editor {editor.name}: an edit failed and was not kept; what was made before stays", [problem]
    )


def _what(job: Job, editor: Editor) -> dict[str, Any]:
    return {
        "directories": [d.resolve().name for d in job.directories],
        "prompts": [[p.name, p.text, p.id, *([p.given] if p.given else [])] for p in job.prompts],
        "seeds": list(job.seeds),
        "purifiers": [p.text if p else "" for p in job.purifiers],
        "editor_name": editor.name,
        "editor": editor.identity,
        "editor_settings": dict(editor.settings),
    }
