"""Scenes for training: each with many edits, as one array of levels (N, SIDE, SIDE, 3) and a table of pairs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent))

from isr_shapes.painting import MAKERS, Task, to_pixels
from isr_shapes.world import TUNING as SPREAD
from isr_shapes.world import Scene, draw_scene, render
from ranges import SIDE

COPIES = {"recolour": 1, "replace": 2, "remove": 1, "background": 1}
"""Edits of each task for each of a scene's two shapes (of the background: for each half of the draws)."""
SHARD = 500
"""Scenes painted in one go."""


def scene_of(seed: int) -> tuple[Scene, np.random.Generator]:
    """The scene with this seed, and the generator to draw its edits from."""
    rng = np.random.default_rng([seed, SIDE])
    return draw_scene(rng, SPREAD, SIDE), rng


def tasks_of(seed: int) -> tuple[Scene, list[Task]]:
    """A scene and one task for each entry of ``COPIES`` that has a usable goal; no prompt twice."""
    scene, rng = scene_of(seed)
    found: dict[str, Task] = {}
    for name, copies in COPIES.items():
        for number in range(2 * copies):
            task = MAKERS[name](scene, number % 2, SPREAD, rng)
            if task is not None:
                found.setdefault(task.prompt, task)
    return scene, list(found.values())


def prompts() -> list[str]:
    """Every prompt that there is, in a fixed order."""
    from isr_shapes.world import HUES, KINDS

    recolour = [f"make the {kind} {hue}" for kind in KINDS for hue in HUES]
    change = [f"turn the {a} into a {b}" for a in KINDS for b in KINDS if a != b]
    remove = [f"remove the {kind}" for kind in KINDS]
    return [*recolour, *change, *remove, *(f"make the background {hue}" for hue in HUES)]


@dataclass(frozen=True)
class Pairs:
    """``images``: levels (N, SIDE, SIDE, 3); ``pairs`` (M, 3): source, edit and prompt of each pair, as places."""

    images: NDArray[np.uint8]
    pairs: NDArray[np.int64]


def _paint(seeds: range) -> Pairs:
    places = {prompt: place for place, prompt in enumerate(prompts())}
    images: list[NDArray[np.uint8]] = []
    pairs: list[tuple[int, int, int]] = []
    for seed in seeds:
        scene, tasks = tasks_of(seed)
        source = len(images)
        images.append(to_pixels(render(scene)))
        for task in tasks:
            pairs.append((source, len(images), places[task.prompt]))
            images.append(to_pixels(render(task.after)))
    return Pairs(np.stack(images), np.array(pairs))


def paint(seeds: range, workers: int) -> Iterator[Pairs]:
    """The pairs of these scenes, in parts of ``SHARD`` scenes; places count within a part."""
    parts = [range(k, min(k + SHARD, seeds.stop)) for k in range(seeds.start, seeds.stop, SHARD)]
    if workers < 2:
        yield from map(_paint, parts)
        return
    with get_context("spawn").Pool(workers) as pool:
        yield from pool.imap(_paint, parts)


def joined(parts: list[Pairs]) -> Pairs:
    """One table of several parts."""
    offset, pairs = 0, []
    for part in parts:
        pairs.append(part.pairs + np.array([offset, offset, 0]))
        offset += len(part.images)
    return Pairs(np.concatenate([part.images for part in parts]), np.concatenate(pairs))
