"""Scenes for training: sampled, painted, described, and kept at the size that the judge sees.

Every edit is painted by ``generate.paint``; a copy of its random generator tells which scene it shows. Only the mix
of plans differs from ``isr_shapes.painting``: what is hard to tell apart comes more often. Needs numpy and pillow only.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from isr_shapes.painting import (
    TASKS,
    Pixels,
    Task,
    draw_tasks,
    paint,
    to_pixels,
    wrong_object,
    wrong_result,
)
from isr_shapes.spoil import CUT, WAYS
from isr_shapes.world import (
    HUES,
    JITTERED,
    KINDS,
    NEUTRALS,
    TUNING,
    Scene,
    Shape,
    Spread,
    coverage,
    draw_scene,
    render,
)
from numpy.typing import NDArray
from PIL import Image

SIDE = 112
"""Side of the square, in pixels, to which the judge squashes every image."""
PATCH = 14
GRID = SIDE // PATCH
COLOURS = (*HUES, *NEUTRALS)
GOALS = ("", *HUES, *KINDS)
DAMAGES = ("", *WAYS)

PLANS = {
    "done": 0.23,
    "done_mild": 0.11,
    "done_substantial": 0.17,
    "not_done": 0.09,
    "half_done": 0.16,
    "wrong_object": 0.08,
    "wrong_result": 0.08,
    "not_done_substantial": 0.06,
    "not_done_mild": 0.02,
}
"""Kinds of edits (keys of ``generate.FAILING`` and ``generate.FINE``) and how often each is trained on."""

SCENE = np.dtype([("kinds", "i1", 2), ("inks", "i1", 2), ("ground", "i1")])
"""Places in ``KINDS`` and ``COLOURS``; -1 for a shape that was removed."""
EDIT = np.dtype(
    [
        ("source", "i4"),
        ("task", "i1"),
        ("index", "i1"),
        ("goal", "i1"),
        ("shown", SCENE),
        ("half", "?"),
        ("damage", "i1"),
        ("heavy", "?"),
        ("cover", "u1", (2, GRID, GRID)),
    ]
)
SOURCE = np.dtype([("scene", SCENE), ("cover", "u1", (2, GRID, GRID))])
SHARD = 500
"""Scenes in one file of the cache."""


def squash(pixels: Pixels) -> Pixels:
    """The image at the judge's size, exactly as the saved image processor resizes it."""
    return np.array(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def scene_row(scene: Scene) -> tuple[list[int], list[int], int]:
    """A scene as a row of ``SCENE``."""
    kinds = [-1 if s is None else KINDS.index(s.kind) for s in scene.shapes]
    inks = [-1 if s is None else COLOURS.index(s.paint.name) for s in scene.shapes]
    return kinds, inks, COLOURS.index(scene.ground.paint.name)


def _covers(scene: Scene, shapes: Iterable[tuple[Shape | None, ...]]) -> NDArray[np.uint8]:
    """For each place the share of each patch, in 255ths, that any of its shapes covers."""
    out = np.zeros((2, GRID, GRID), dtype=np.uint8)
    for place, candidates in enumerate(shapes):
        for shape in candidates:
            if shape is not None:
                full = Image.fromarray(coverage(shape, scene.width, scene.height).astype(np.float32))
                share = np.asarray(full.resize((GRID, GRID), Image.Resampling.BOX))
                out[place] = np.maximum(out[place], np.rint(255 * share).astype(np.uint8))
    return out


def shown_scene(scene: Scene, task: Task, plan: str, spread: Spread, rng: np.random.Generator) -> Scene:
    """The scene that ``paint`` with these arguments shows; a half-done one counts as done. Draws from a copy."""
    peek = copy.deepcopy(rng)
    if plan == "wrong_object":
        return wrong_object(scene, task, spread, peek)
    if plan == "wrong_result":
        return wrong_result(scene, task, spread, peek) or scene
    return task.after if plan.startswith(("done", "half")) else scene


def paint_edit(
    scene: Scene, task: Task, plan: str, spread: Spread, rng: np.random.Generator
) -> tuple[Pixels, tuple[object, ...]]:
    """An edit at the judge's size, and its row of ``EDIT`` from ``task`` on."""
    shown = shown_scene(scene, task, plan, spread, rng)
    pixels, truth = paint(scene, task, plan, spread, rng)
    half = truth.kind == "half_done"
    places = [(shown.shapes[k], scene.shapes[k] if half else None) for k in (0, 1)]
    damage = truth.kind.partition("+")[2]
    row = (
        TASKS.index(task.name),
        -1 if task.index is None else task.index,
        GOALS.index(task.goal),
        scene_row(shown),
        half,
        DAMAGES.index(damage),
        bool(damage) and truth.strength is not None and truth.strength >= CUT[damage],
        _covers(scene, places),
    )
    return squash(pixels), row


def paint_scene(seed: int) -> tuple[Pixels, tuple[object, ...], list[tuple[Pixels, tuple[object, ...]]]]:
    """One scene of one training seed: the source, its row, and an edit with its row for each of three prompts."""
    rng = np.random.default_rng([seed, 2])
    spread = JITTERED if rng.random() < 0.5 else TUNING
    scene = draw_scene(rng, spread)
    covers = _covers(scene, [(shape,) for shape in scene.shapes])
    edits = []
    for task in draw_tasks(scene, spread, rng):
        plan = str(rng.choice(list(PLANS), p=list(PLANS.values())))
        edits.append(paint_edit(scene, task, plan, spread, rng))
    return squash(to_pixels(render(scene))), (scene_row(scene), covers), edits


def _write_shard(job: tuple[Path, int]) -> Path:
    """The scenes of ``SHARD`` seeds from one on, unless they are there already."""
    folder, first = job
    stem = folder / f"{first:07d}"
    last = Path(f"{stem}-edits.npy")
    if last.exists():
        return stem
    painted = [paint_scene(seed) for seed in range(first, first + SHARD)]
    sources = np.array([row for _, row, _ in painted], dtype=SOURCE)
    edits = np.array([(k, *row) for k, (_, _, some) in enumerate(painted) for _, row in some], dtype=EDIT)
    np.save(f"{stem}-source-pixels.npy", np.stack([pixels for pixels, _, _ in painted]))
    np.save(f"{stem}-edit-pixels.npy", np.stack([pixels for _, _, some in painted for pixels, _ in some]))
    np.save(f"{stem}-sources.npy", sources)
    np.save(last, edits)
    return stem


def write_cache(folder: Path, first: int, scenes: int, workers: int) -> Iterator[Path]:
    """Paints the scenes of the seeds from ``first`` on, shard by shard; what is there already is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [(folder, seed) for seed in range(first, first + scenes, SHARD)]
    with get_context("spawn").Pool(workers) as pool:
        yield from pool.imap(_write_shard, jobs)


class Cache:
    """The painted scenes of some shards: ``sources`` and ``edits`` in memory, the pixels mapped from disk."""

    def __init__(self, stems: list[Path]) -> None:
        self.source_pixels = [np.load(f"{stem}-source-pixels.npy", mmap_mode="r") for stem in stems]
        self.edit_pixels = [np.load(f"{stem}-edit-pixels.npy", mmap_mode="r") for stem in stems]
        self.sources = np.concatenate([np.load(f"{stem}-sources.npy") for stem in stems])
        edits = [np.load(f"{stem}-edits.npy") for stem in stems]
        starts = np.cumsum([0] + [len(e) for e in edits])
        for shard, rows in enumerate(edits):
            rows["source"] += shard * SHARD
        self.edits = np.concatenate(edits)
        self._starts = starts
        self.of_source = np.split(
            np.arange(len(self.edits)), np.searchsorted(self.edits["source"], np.arange(1, len(self.sources)))
        )

    def source_image(self, number: int) -> Pixels:
        """The source's pixels at the judge's size."""
        return np.asarray(self.source_pixels[number // SHARD][number % SHARD])

    def edit_image(self, number: int) -> Pixels:
        """The edit's pixels at the judge's size."""
        shard = int(np.searchsorted(self._starts, number, side="right")) - 1
        return np.asarray(self.edit_pixels[shard][number - self._starts[shard]])
