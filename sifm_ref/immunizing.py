"""Carries a folder of photographs through a method: sources and protected images with what was measured of them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from isr.errors import InputError, Problem, UsageError
from isr.files import file_digest
from sifm_ref.budget import Budget, Measured, measure, obeying
from sifm_ref.failures import is_others, memory, others_code
from sifm_ref.masks import find_masks, mask_at_size
from sifm_ref.pictures import (
    Picture,
    Resize,
    find_pictures,
    read_rgb,
    to_array,
    to_tensor,
    write_png,
)
from sifm_ref.records import Records, alone, device_of, remade, versions
from sifm_ref.registry import Method, plain

if TYPE_CHECKING:
    from sifm_ref.editor import WhiteBox
    from sifm_ref.scene import Immunized


LESS_MEMORY = (
    "--checkpoint-activations and --timestep-batch 1 need less and change no picture; a lower --batch, --resolution or "
    "--dtype bf16 needs another --out"
)


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to do. ``prompts``: the text of each image id; ``masks``: pictures by image id, white where repainted.

    ``pictures``: what ``find_pictures`` found in ``images``, where that is known already.
    ``shard``: this process's number and how many share the work; ``batch``: images of one size at a time.
    ``growing``: images and their prompts may be others than those with which the run began.
    ``wait_s``: seconds to wait for another process to leave ``out``.
    """

    images: Path
    out: Path
    method: Method
    budget: Budget = field(default_factory=Budget)
    seed: int = 0
    resize: Resize = field(default_factory=Resize)
    prompts: Mapping[str, str] = field(default_factory=dict)
    masks: Path | None = None
    batch: int = 1
    shard: tuple[int, int] = (0, 1)
    resume: bool = False
    pictures: tuple[Picture, ...] = ()
    growing: bool = False
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """One image: its row, whether it was there before, and what it cost."""

    row: Mapping[str, Any]
    number: int
    total: int
    seconds: float
    peak_bytes: int
    fresh: bool = True


@dataclass(frozen=True, slots=True)
class Step:
    """Progress inside a batch."""

    step: int
    loss: float | None
    images: int


def immunize(
    job: Job,
    editor: WhiteBox,
    *,
    on_image: Callable[[Done], None] = lambda done: None,
    on_step: Callable[[Step], None] = lambda step: None,
    on_note: Callable[[str], None] = lambda text: None,
    make: Make | None = None,
) -> int:
    """The number of images in ``job.out`` after the run; those that were there before are left as they are.

    Writes ``sources/``, ``protected/``, ``metadata.jsonl`` and ``immunize.json``. A file of an image that is not the
    one that was made makes the image be protected again. ``on_note`` hears what a user should know.
    ``make``: protects elsewhere, where ``editor`` only says what is there; else it is done here.

    Raises ``InputError`` at the end if a method left images unchanged, with every such image; ``UsageError`` where
    another run is at work in ``job.out``, or another was begun there.
    """
    pictures = job.pictures or find_pictures(job.images, job.out)
    masks = find_masks(job.masks if editor.masked else None, pictures)
    ids = [p.image_id for p in pictures]
    growing = ("prompts",) if job.growing else ()
    what, device = _what(job, editor), device_of(editor)
    batches = _batches(pictures, job, editor.multiple)
    with alone(job.out, "immunize", job.shard, wait_s=job.wait_s):
        records = Records(
            job.out,
            "immunize",
            what,
            ids,
            resume=job.resume,
            growing=growing,
            device=device,
            sole=job.shard[1] == 1,
        )
        for note in records.notes:
            on_note(note)
        try:
            unchanged = _protect_all(
                batches[job.shard[0] :: job.shard[1]], Protecting(job, editor, masks, device), records,
                _Tell(on_image, on_step, on_note), make or _here,
            )  # fmt: skip
        finally:
            there = records.finish()
    if unchanged:
        raise InputError(
            f"{job.out}: {len(unchanged)} image(s) were left unchanged by {job.method.name} and are not in the "
            "metadata",
            unchanged,
        )
    return there


@dataclass(frozen=True)
class Protecting:
    """What protects images, and how."""

    job: Job
    editor: WhiteBox
    masks: Mapping[str, Path]
    device: str


Batch = tuple[Sequence[Picture], Sequence[Picture]]
"""Pictures that are optimised together, and those of them that are not there yet."""
Made = tuple[dict[str, Any], float, int]
"""The row of an image whose files are written, with the seconds and the peak of memory that it took."""
Make = Callable[[Iterator[Batch], Protecting, Callable[[Step], None]], Iterator[Made]]
"""Protects batches, each picture in whichever order."""


@dataclass(frozen=True)
class _Tell:
    """Who is told of images, steps and notes."""

    image: Callable[[Done], None]
    step: Callable[[Step], None]
    note: Callable[[str], None]


def _protect_all(
    batches: Sequence[Sequence[Picture]], by: Protecting, records: Records, tell: _Tell, make: Make
) -> list[Problem]:
    """Protects the images that are not there, or are not what was made; those that a method left unchanged."""
    job, total, number = by.job, sum(map(len, batches)), 0
    origins = {p.image_id: _origin(p, by.masks, job) for batch in batches for p in batch}
    looks = {name: records.look(name, **origin) for name, origin in origins.items()}
    if changed := sorted({name for look in looks.values() for name in look.changed}):
        tell.note(remade(changed))

    def work() -> Iterator[Batch]:
        nonlocal number
        for batch in batches:
            for picture in batch:
                if looks[picture.image_id].done:
                    number += 1
                    row = {"image_id": picture.image_id}
                    done = Done(row=row, number=number, total=total, seconds=0.0, peak_bytes=0, fresh=False)
                    tell.image(done)
            if waiting := [p for p in batch if not looks[p.image_id].done]:
                for picture in waiting:
                    records.drop(picture.image_id)
                yield batch, waiting

    unchanged: list[Problem] = []
    for row, seconds, peak in make(work(), by, tell.step):
        number += 1
        if row.pop("unchanged"):
            unchanged.append(_unchanged(row, job))
            _remove(row, job.out)
            continue
        row |= origins[row["image_id"]]
        records.add(row["image_id"], row)
        tell.image(Done(row=row, number=number, total=total, seconds=seconds, peak_bytes=peak))
    return unchanged


def _here(work: Iterator[Batch], by: Protecting, on_step: Callable[[Step], None]) -> Iterator[Made]:
    """Protects batch by batch in this process."""
    for batch, waiting in work:
        with memory(f"immunizing {', '.join(p.image_id for p in waiting)}", LESS_MEMORY):
            made = protect(batch, waiting, by, on_step)
        yield from made


def _origin(picture: Picture, masks: Mapping[str, Path], job: Job) -> dict[str, str]:
    """What an image is made from: another photograph, mask or text under its name is another image."""
    mask = masks.get(picture.image_id)
    return {
        "original_sha256": file_digest(picture.path),
        "original_mask_sha256": file_digest(mask) if mask else "",
        "surrogate_prompt": job.prompts.get(picture.image_id, ""),
    }


def _remove(row: Mapping[str, Any], out: Path) -> None:
    """Takes away the files of an image that is not in the metadata."""
    for column, name in row.items():
        if column.endswith("file_name"):
            (out / name).unlink(missing_ok=True)


def _unchanged(row: Mapping[str, Any], job: Job) -> Problem:
    return Problem(
        str(row["original_file"]),
        "",
        f"a perturbation within {job.budget.eps}",
        "none: every sample equals the source's once it is saved",
        "start from noise (--set descent.start=uniform), take larger or more steps, or another loss",
    )


def _what(job: Job, editor: WhiteBox) -> dict[str, Any]:
    return {
        "method": job.method.name,
        "preset": job.method.preset,
        "config": plain(job.method.config),
        "config_digest": job.method.digest(job.budget.norm),
        "code": job.method.code,
        "budget": asdict(job.budget),
        "seed": job.seed,
        "resize": asdict(job.resize),
        "batch": job.batch,
        "surrogate": editor.name,
        "editor": editor.identity,
        "editor_settings": dict(editor.settings),
        "prompts": dict(sorted(job.prompts.items())),
        "masks": job.masks.resolve().name if job.masks else "",
    }


def _batches(pictures: Sequence[Picture], job: Job, multiple: int) -> list[list[Picture]]:
    """Pictures of one working size together, always the same ones, whatever is done already."""
    by_size: dict[tuple[int, int], list[Picture]] = {}
    for picture in pictures:
        by_size.setdefault(job.resize.size(*picture.size, multiple), []).append(picture)
    out = []
    for size in sorted(by_size):
        some = by_size[size]
        out += [some[i : i + job.batch] for i in range(0, len(some), max(1, job.batch))]
    return out


def protect(
    batch: Sequence[Picture],
    waiting: Sequence[Picture],
    by: Protecting,
    on_step: Callable[[Step], None],
) -> list[Made]:
    """Rows of those of a batch that are ``waiting``, their files written; seconds and peak memory of each image."""
    import torch

    from sifm_ref.noise import Noise, seed_of
    from sifm_ref.scene import Scene

    job, editor, masks = by.job, by.editor, by.masks
    images = [job.resize.apply(read_rgb(p.path), editor.multiple) for p in batch]
    shapes = [
        mask_at_size(masks.get(p.image_id), i.size, job.resize, editor.multiple)
        for p, i in zip(batch, images, strict=True)
    ]
    working = torch.float64 if editor.dtype is torch.float64 else torch.float32
    source = to_tensor(images, editor.device, working)
    mask = None
    if editor.masked:
        mask = (to_tensor([m.convert("RGB") for m in shapes], editor.device, working)[:, :1] >= 0.5).to(
            working
        )
    scene = Scene(source, tuple(job.prompts.get(p.image_id, "") for p in batch), mask)
    noise = Noise([seed_of(job.seed, p.image_id) for p in batch])
    began = _begin()

    def callback(step: int, loss: Any) -> None:
        on_step(Step(step, None if loss is None else float(loss.mean()), len(batch)))

    with others_code(*_others(by)):
        found = job.method.function(
            editor, scene, budget=job.budget, config=job.method.config, noise=noise, callback=callback
        )
    seconds, peak = _end(began)
    result = _as_immunized(found, source, job.method.name)
    rows = []
    arrays, ends = to_array(result.image), result.ends()
    for number, (picture, image) in enumerate(zip(batch, images, strict=True)):
        if picture not in waiting:
            continue
        original = np.asarray(image, np.uint8)
        protected = obeying(original, arrays[number], job.budget)
        measured = measure(original, protected)
        assert measured.within(job.budget), (picture.image_id, measured)
        row = _row(picture, image, by, measured)
        row["source_sha256"] = write_png(job.out / "sources" / f"{picture.image_id}.png", image)
        row["protected_sha256"] = write_png(job.out / "protected" / f"{picture.image_id}.png", protected)
        row["immunize_seconds"] = round(seconds / len(batch), 3)
        if ends is not None:
            first, last = float(ends[0][number]), float(ends[1][number])
            row |= {"loss_first": first, "loss_last": last, "loss_fell": last < first}
        if editor.masked:
            row["mask_sha256"] = write_png(job.out / "masks" / f"{picture.image_id}.png", shapes[number])
            row["mask_file_name"] = f"masks/{picture.image_id}.png"
        row["unchanged"] = measured.changed == 0
        rows.append((row, seconds / len(batch), peak))
    return rows


def _others(by: Protecting) -> Iterator[str]:
    """Who of those at work was written outside this package."""
    method, editor = by.job.method, by.editor
    if is_others(method.function):
        yield f"method {method.name}"
    if is_others(type(editor)):
        yield f"editor {editor.name}"


def _as_immunized(found: Any, source: Any, name: str) -> Immunized:
    from torch import Tensor

    from sifm_ref.scene import Immunized

    if isinstance(found, Tensor):
        found = Immunized(found)
    if not isinstance(found, Immunized) or found.image.shape != source.shape:
        shape = getattr(getattr(found, "image", found), "shape", None)
        raise UsageError(
            f"method {name}: expected images of shape {tuple(source.shape)}; found {type(found).__name__} {shape}"
        )
    if not bool(found.image.isfinite().all()):
        raise UsageError(f"method {name}: expected finite images; found NaN or infinity")
    return found


def _row(picture: Picture, image: Image.Image, by: Protecting, measured: Measured) -> dict[str, Any]:
    job, editor, said = by.job, by.editor, versions()
    return {
        "file_name": f"protected/{picture.image_id}.png",
        "source_file_name": f"sources/{picture.image_id}.png",
        "image_id": picture.image_id,
        "method": job.method.name,
        "config": job.method.digest(job.budget.norm),
        "eps": job.budget.eps,
        "surrogate": editor.name,
        "surrogate_checkpoint": editor.checkpoint,
        "adaptation": job.method.adaptation(editor),
        "surrogate_prompt": job.prompts.get(picture.image_id, ""),
        "budget_norm": job.budget.norm,
        "measured_linf": round(measured.linf, 8),
        "measured_l2": round(measured.l2, 6),
        "measured_psnr": None if measured.psnr == float("inf") else round(measured.psnr, 4),
        "measured_ssim": round(measured.ssim, 6),
        "immunize_seed": job.seed,
        "immunize_versions": " ".join(f"{k}={v}" for k, v in said.items() if v),
        "immunize_device": by.device,
        "width": image.width,
        "height": image.height,
        "original_file": picture.path.name,
        "original_width": picture.size[0],
        "original_height": picture.size[1],
        "resize": f"{job.resize.policy}:{job.resize.resolution}",
    }


def _begin() -> float:
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    return time.perf_counter()


def _end(began: float) -> tuple[float, int]:
    """Seconds since, and the peak of memory: of the GPU where there is one, else of the process; 0: not known."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter() - began, torch.cuda.max_memory_allocated()
    try:
        import resource
    except ImportError:  # Windows
        return time.perf_counter() - began, 0
    unit = 1 if sys.platform == "darwin" else 1024
    return time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
