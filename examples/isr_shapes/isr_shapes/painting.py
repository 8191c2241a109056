"""Paint an edit directory: scenes, prompts, and edits whose truth is known because they were painted.

    python -m isr_shapes.painting --out DIR --seed 0 --images 48 [--jitter]

Image number i is drawn from seed + i alone, so two ranges of seeds that do not overlap share nothing.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from isr.files import write_bytes, write_text
from isr.spreadsheet import Writer
from isr_shapes.spoil import CUT, MILD, SUBSTANTIAL, WAYS, spoil
from isr_shapes.world import (
    HUES,
    JITTERED,
    KINDS,
    MIN_CHANGE,
    MIN_HUE_GAP,
    TUNING,
    Array,
    Scene,
    Spread,
    coverage,
    draw_scene,
    hue_gap,
    mix_paint,
    pick,
    render,
    smooth_noise,
    uniform,
)

Pixels = NDArray[np.uint8]

PROMPTS_PER_IMAGE = 3
TASKS = ("recolour", "replace", "remove", "background")
METHOD, CONFIG, EPS, EDITOR = "simulated", "painted", "0.03", "painter"
BOUND = 7
"""Largest change of a protected pixel, in levels of 255 (0.03 of the range, rounded down)."""

HALF_STRENGTHS = (0.35, 0.5, 0.65)
"""Share of the way, or of the area, that a half-done edit gets; all of them fail the prompt."""
FAILING = {
    "not_done": 0.26,
    "half_done": 0.17,
    "wrong_object": 0.10,
    "wrong_result": 0.10,
    "done_substantial": 0.22,
    "not_done_substantial": 0.11,
    "not_done_mild": 0.04,
}
FINE = {"done": 0.72, "done_mild": 0.28}
"""Kinds of edits and their weights, among those that count as immunized and those that do not."""
CONTROL_RATE = 0.15
PROTECTED_RATE = {"seen": 0.76, "unseen": 0.64}
IMAGE_SWING = 0.22
"""Chance of a failing kind by arm and split; an image moves it for all its protected edits, up to this much."""


@dataclass(frozen=True, slots=True)
class Task:
    """One prompt: what it asks, of which shape (``None``: the background), and the scene that would obey it."""

    name: str
    prompt: str
    index: int | None
    goal: str
    after: Scene


@dataclass(frozen=True, slots=True)
class Truth:
    """What was painted, and the verdicts that follow from it."""

    kind: str
    strength: float | None
    semantic: str
    perceptual: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PaintedEdit:
    """One prompt of one image: an edit for each arm with its truth."""

    edit_id: str
    task: Task
    split: str
    protected: Pixels
    protected_truth: Truth
    control: Pixels
    control_truth: Truth


@dataclass(frozen=True, slots=True)
class PaintedImage:
    """One source with its protected copy and its edits."""

    image_id: str
    source: Pixels
    protected: Pixels
    edits: tuple[PaintedEdit, ...]


def to_pixels(image: Array) -> Pixels:
    """The image in levels 0-255."""
    return np.clip(np.rint(image * 255.0), 0, 255).astype(np.uint8)


def _recolour(scene: Scene, index: int, spread: Spread, rng: np.random.Generator) -> Task | None:
    shape, other = scene.shape(index), scene.shape(1 - index)
    goals = [
        name
        for name in HUES
        if hue_gap(name, shape.paint.name) >= MIN_CHANGE
        and hue_gap(name, scene.ground.paint.name) >= MIN_HUE_GAP
        and name != other.paint.name
    ]
    if not goals:
        return None
    goal = pick(rng, goals)
    after = scene.with_shape(index, replace(shape, paint=mix_paint(rng, goal, spread)))
    return Task("recolour", f"make the {shape.kind} {goal}", index, goal, after)


def _replace(scene: Scene, index: int, spread: Spread, rng: np.random.Generator) -> Task | None:
    shape = scene.shape(index)
    goal = pick(rng, [k for k in KINDS if k not in (shape.kind, scene.shape(1 - index).kind)])
    turned = replace(shape, kind=goal, rotation=uniform(rng, (-spread.rotation, spread.rotation)))
    after = scene.with_shape(index, turned)
    return Task("replace", f"turn the {shape.kind} into a {goal}", index, goal, after)


def _remove(scene: Scene, index: int, spread: Spread, rng: np.random.Generator) -> Task | None:
    shape = scene.shape(index)
    return Task("remove", f"remove the {shape.kind}", index, "", scene.with_shape(index, None))


def _background(scene: Scene, index: int, spread: Spread, rng: np.random.Generator) -> Task | None:
    inks = [scene.shape(i).paint.name for i in (0, 1)]
    goals = [
        name
        for name in HUES
        if hue_gap(name, scene.ground.paint.name) >= MIN_CHANGE
        and all(hue_gap(name, ink) >= MIN_HUE_GAP for ink in inks)
    ]
    if not goals:
        return None
    goal = pick(rng, goals)
    after = scene.with_ground(mix_paint(rng, goal, spread, pale=True))
    return Task("background", f"make the background {goal}", None, goal, after)


MAKERS: dict[str, Callable[[Scene, int, Spread, np.random.Generator], Task | None]] = {
    "recolour": _recolour,
    "replace": _replace,
    "remove": _remove,
    "background": _background,
}


def draw_tasks(scene: Scene, spread: Spread, rng: np.random.Generator) -> list[Task]:
    """Three prompts of three different tasks; a task without a usable goal is left out for another."""
    tasks: list[Task] = []
    for name in rng.permutation(TASKS):
        task = MAKERS[str(name)](scene, int(rng.integers(2)), spread, rng)
        if task is not None:
            tasks.append(task)
    return tasks[:PROMPTS_PER_IMAGE]


def wrong_object(scene: Scene, task: Task, spread: Spread, rng: np.random.Generator) -> Scene:
    """The scene in which what was asked happened to something else."""
    index = int(rng.integers(2)) if task.index is None else 1 - task.index
    shape = scene.shape(index)
    if task.name == "replace":
        return scene.with_shape(index, replace(shape, kind=task.goal))
    if task.name == "remove":
        return scene.with_shape(index, None)
    return scene.with_shape(index, replace(shape, paint=mix_paint(rng, task.goal, spread)))


def wrong_result(scene: Scene, task: Task, spread: Spread, rng: np.random.Generator) -> Scene | None:
    """The scene in which something else than asked happened to the right thing; ``None`` if none can be told apart."""
    if task.index is None:
        return _other_ground(scene, task.goal, spread, rng)
    shape = scene.shape(task.index)
    if task.name == "replace":
        kind = pick(rng, [k for k in KINDS if k not in (shape.kind, task.goal)])
        return scene.with_shape(task.index, replace(shape, kind=kind))
    names = [
        name
        for name in HUES
        if hue_gap(name, shape.paint.name) >= MIN_HUE_GAP
        and hue_gap(name, task.goal) >= MIN_HUE_GAP
        and hue_gap(name, scene.ground.paint.name) >= MIN_HUE_GAP
    ]
    if not names:
        return None
    return scene.with_shape(task.index, replace(shape, paint=mix_paint(rng, pick(rng, names), spread)))


def _other_ground(scene: Scene, goal: str, spread: Spread, rng: np.random.Generator) -> Scene | None:
    around = [scene.ground.paint.name, goal, *(scene.shape(i).paint.name for i in (0, 1))]
    names = [name for name in HUES if all(hue_gap(name, other) >= MIN_HUE_GAP for other in around)]
    return scene.with_ground(mix_paint(rng, pick(rng, names), spread, pale=True)) if names else None


def half_done(scene: Scene, task: Task, share: float, rng: np.random.Generator) -> Array:
    """Before and after mixed: everywhere by ``share``, or side by side with ``share`` of the thing's area changed."""
    before, after = render(scene), render(task.after)
    if rng.random() < 0.5:
        return (1 - share) * before + share * after
    ys, xs = np.mgrid[0 : scene.height, 0 : scene.width] + 0.5
    angle = uniform(rng, (0.0, 2 * np.pi))
    along = np.cos(angle) * xs + np.sin(angle) * ys
    line = float(np.quantile(along[_extent(scene, task)], share))
    changed = np.clip(line - along + 0.5, 0.0, 1.0)[..., None]
    return np.asarray((1 - changed) * before + changed * after)


def _extent(scene: Scene, task: Task) -> NDArray[np.bool_]:
    """The pixels that a task is about: the whole image for the background, else the shape before and after."""
    if task.index is None:
        return np.ones((scene.height, scene.width), dtype=bool)
    before = scene.shape(task.index)
    after = task.after.shapes[task.index] or before
    covers = [coverage(shape, scene.width, scene.height) for shape in (before, after)]
    return np.asarray(np.maximum(*covers) > 0.5)


def drift(image: Array, spread: Spread, rng: np.random.Generator) -> Array:
    """The image as an editor gives it back: slightly brighter or darker, here and there and as a whole."""
    reach = 0.015 if spread is TUNING else 0.03
    gain = 1 + reach * (2 * float(rng.random()) - 1)
    tint = 1 + 0.5 * reach * (2 * rng.random(3) - 1)
    height, width = image.shape[:2]
    wander = 1 + reach * smooth_noise(rng, height, width, min(height, width) / 2.5)
    return np.clip(image * gain * tint * wander[..., None], 0.0, 1.0)


def _strength(way: str, heavy: bool, spread: Spread, rng: np.random.Generator) -> float:
    levels = SUBSTANTIAL[way] if heavy else MILD[way]
    level = levels[int(rng.integers(len(levels)))]
    wobble = 1.0 if spread is TUNING else uniform(rng, (0.93, 1.07))
    return round(min(level * wobble, 1.0), 4)


def paint(
    scene: Scene, task: Task, plan: str, spread: Spread, rng: np.random.Generator
) -> tuple[Pixels, Truth]:
    """The edit of one arm that a plan (a key of ``FAILING`` or ``FINE``) asks for, and its truth."""
    base, _, weight = plan.rpartition("_")
    if weight not in ("mild", "substantial"):
        return _paint_clean(scene, task, plan, spread, rng)
    way = pick(rng, tuple(WAYS))
    strength = _strength(way, weight == "substantial", spread, rng)
    image = drift(render(task.after if base == "done" else scene), spread, rng)
    perceptual = "fails" if strength >= CUT[way] else "fine"
    truth = Truth(f"{base}+{way}", strength, "fine" if base == "done" else "fails", perceptual)
    return to_pixels(spoil(image, way, strength, rng)), truth


def _paint_clean(
    scene: Scene, task: Task, plan: str, spread: Spread, rng: np.random.Generator
) -> tuple[Pixels, Truth]:
    """An edit that is not degraded."""
    strength = None
    if plan == "half_done":
        level = HALF_STRENGTHS[int(rng.integers(len(HALF_STRENGTHS)))]
        strength = level if spread is TUNING else round(uniform(rng, (level - 0.03, level + 0.03)), 4)
        image = half_done(scene, task, strength, rng)
    elif plan == "wrong_result":
        other = wrong_result(scene, task, spread, rng)
        plan, image = ("not_done", render(scene)) if other is None else (plan, render(other))
    elif plan == "wrong_object":
        image = render(wrong_object(scene, task, spread, rng))
    else:
        image = render(task.after if plan == "done" else scene)
    truth = Truth(plan, strength, "fine" if plan == "done" else "fails", "fine")
    return to_pixels(drift(image, spread, rng)), truth


def plan_of(rng: np.random.Generator, failing: float) -> str:
    """A kind of edit: failing with the given chance, then by weight."""
    weights: Mapping[str, float] = FAILING if rng.random() < failing else FINE
    return str(rng.choice(list(weights), p=list(weights.values())))


def protect(source: Pixels, rng: np.random.Generator) -> Pixels:
    """The source with a faint pattern of random signs, at most ``BOUND`` levels in any channel."""
    height, width = source.shape[:2]
    signs = rng.integers(-BOUND, BOUND + 1, size=((height + 3) // 4, (width + 3) // 4, 3))
    pattern = np.repeat(np.repeat(signs, 4, axis=0), 4, axis=1)[:height, :width]
    return np.clip(source.astype(np.int64) + pattern, 0, 255).astype(np.uint8)


def paint_image(number: int, seed: int, jitter: bool = False) -> PaintedImage:
    """One image with all its edits, drawn from its own seed; ``number`` only names it and sets its splits."""
    rng = np.random.default_rng([seed, int(jitter)])
    spread = JITTERED if jitter else TUNING
    scene = draw_scene(rng, spread)
    source = to_pixels(render(scene))
    swing = IMAGE_SWING * (2 * float(rng.random()) - 1)
    edits = []
    for k, task in enumerate(draw_tasks(scene, spread, rng)):
        split = "seen" if (k + number) % 2 == 0 else "unseen"
        plan = plan_of(rng, PROTECTED_RATE[split] + swing)
        control_plan = plan_of(rng, CONTROL_RATE)
        edit, truth = paint(scene, task, plan, spread, rng)
        control, control_truth = paint(scene, task, control_plan, spread, rng)
        edits.append(
            PaintedEdit(
                edit_id=f"{number:04d}-{k + 1}",
                task=task,
                split=split,
                protected=edit,
                protected_truth=truth,
                control=control,
                control_truth=control_truth,
            )
        )
    return PaintedImage(f"{number:04d}", source, protect(source, rng), tuple(edits))


def paint_images(seed: int, images: int, jitter: bool = False) -> Iterator[PaintedImage]:
    """Images number 0 to ``images`` - 1, from seeds ``seed`` onwards."""
    for number in range(images):
        yield paint_image(number, seed + number, jitter)


def _row(image: PaintedImage, edit: PaintedEdit) -> dict[str, str]:
    """One line of the metadata."""
    return {
        "file_name": f"edits/{edit.edit_id}.png",
        "prompt": edit.task.prompt,
        "source_file_name": f"sources/{image.image_id}.png",
        "control_file_name": f"controls/{edit.edit_id}.png",
        "protected_file_name": f"protected/{image.image_id}.png",
        "image_id": image.image_id,
        "prompt_id": edit.task.prompt.replace(" ", "-"),
        "editor": EDITOR,
        "seed": "0",
        "purifier": "",
        "method": METHOD,
        "config": CONFIG,
        "eps": EPS,
        "surrogate": "",
        "edit_id": edit.edit_id,
        "split": edit.split,
    }


def _truth_row(edit: PaintedEdit, arm: str, truth: Truth) -> list[str]:
    strength = "" if truth.strength is None else f"{truth.strength:g}"
    return [edit.edit_id, arm, truth.kind, strength, truth.semantic, truth.perceptual]


def write(out: Path, seed: int, images: int, jitter: bool = False) -> int:
    """Write the directory; the number of rows. Files already there under the same names are replaced."""
    for folder in ("edits", "controls", "sources", "protected"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, str]] = []
    truths: list[list[str]] = []
    for image in paint_images(seed, images, jitter):
        save(out / "sources" / f"{image.image_id}.png", image.source)
        save(out / "protected" / f"{image.image_id}.png", image.protected)
        for edit in image.edits:
            save(out / "edits" / f"{edit.edit_id}.png", edit.protected)
            save(out / "controls" / f"{edit.edit_id}.png", edit.control)
            rows.append(_row(image, edit))
            truths.append(_truth_row(edit, "protected", edit.protected_truth))
            truths.append(_truth_row(edit, "control", edit.control_truth))
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    write_text(out / "metadata.jsonl", lines)
    stream = io.StringIO(newline="")
    writer = Writer(stream)
    writer.writerow(["edit_id", "arm", "kind", "strength", "semantic", "perceptual"])
    writer.writerows(truths)
    write_text(out / "truth.csv", stream.getvalue())
    return len(rows)


def save(path: Path, pixels: Pixels) -> None:
    """Writes a picture as PNG, with the folders above it."""
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG", optimize=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, data.getvalue())


def main(argv: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        description="Paint an edit directory of rendered scenes with known truth."
    )
    parser.add_argument("--out", type=Path, required=True, help="directory to write")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first image; image i takes seed + i")
    parser.add_argument("--images", type=int, default=48, help="number of images, each with three prompts")
    parser.add_argument("--jitter", action="store_true", help="draw from the wider range of looks")
    args = parser.parse_args(argv)
    rows = write(args.out, args.seed, args.images, args.jitter)
    print(f"{args.out}: {args.images} images, {rows} edits")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
