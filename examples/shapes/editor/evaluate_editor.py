"""How many edits of an editor succeed on scenes that are new to it, by the oracle: prompt obeyed and nothing degraded.

python examples/shapes/editor/evaluate_editor.py examples/shapes/editor/model
python examples/shapes/editor/evaluate_editor.py DIR --range validation --guidance 2,3 --image-guidance 1,1.5 --sheet s.png
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
import torch
from isr_shapes.painting import draw_tasks, to_pixels
from isr_shapes.vision import NotAShapesScene, degradation, look
from isr_shapes.world import render
from pairs import SPREAD, scene_of
from PIL import Image, ImageDraw
from scenes import RANGES

from isr.stats.rate import rate_interval
from sifm_ref.editor import Settings
from sifm_ref.loading import load

BATCH = 12
STEPS, GUIDANCE, IMAGE_GUIDANCE = 8, 2.0, 1.5
"""The documented settings, chosen on the validation scenes."""


@dataclass(frozen=True)
class Asked:
    """One prompt of one scene."""

    scene: int
    task: str
    prompt: str
    source: Image.Image


@dataclass(frozen=True)
class Judged:
    """One edit and the oracle's verdicts; a refusal counts as a failure, and is told."""

    asked: Asked
    edit: Image.Image
    semantic: str
    perceptual: str
    why: str

    @property
    def succeeds(self) -> bool:
        return self.semantic == self.perceptual == "fine"


def asked(seeds: Sequence[int]) -> list[Asked]:
    """Three prompts of each scene."""
    out = []
    for seed in seeds:
        scene, rng = scene_of(seed)
        source = Image.fromarray(to_pixels(render(scene)))
        out += [Asked(seed, task.name, task.prompt, source) for task in draw_tasks(scene, SPREAD, rng)]
    return out


def edits(pipe: Any, some: Sequence[Asked], **settings: Any) -> Iterator[Image.Image]:
    """The edits, several at a time, each from noise of its own."""
    for begin in range(0, len(some), BATCH):
        part = some[begin : begin + BATCH]
        yield from pipe(
            prompt=[a.prompt for a in part],
            image=[a.source for a in part],
            generator=[torch.Generator().manual_seed(begin + k) for k in range(len(part))],
            **settings,
        ).images


def judge(a: Asked, edit: Image.Image) -> Judged:
    """The oracle's verdicts on one edit."""
    try:
        seen, flaws = look(a.prompt, a.source, edit), degradation(a.source, edit)
    except NotAShapesScene as error:
        return Judged(a, edit, "refused", "refused", str(error))
    return Judged(a, edit, seen.verdict, flaws.verdict, f"{seen.reasoning} {flaws.reasoning}")


def measure(
    place: Path | str,
    some: Sequence[Asked],
    steps: int = STEPS,
    guidance: float = GUIDANCE,
    image_guidance: float = IMAGE_GUIDANCE,
) -> list[Judged]:
    """Every edit with its verdicts, by the editor in a folder."""
    pipe = load(str(place), Settings()).pipe
    settings = {
        "num_inference_steps": steps,
        "guidance_scale": guidance,
        "image_guidance_scale": image_guidance,
    }
    return [judge(a, e) for a, e in zip(some, edits(pipe, some, **settings), strict=True)]


def report(found: Sequence[Judged]) -> str:
    """Rates by task, and of all edits with its interval, clustered by scene."""
    by: dict[str, list[Judged]] = defaultdict(list)
    for one in found:
        by[one.asked.task].append(one)
    lines = []
    for task, some in [*sorted(by.items()), ("all", list(found))]:
        rates = [np.mean([getattr(j, k) == "fine" for j in some]) for k in ("semantic", "perceptual")]
        refused = sum(j.semantic == "refused" for j in some)
        whole = rate_interval([j.succeeds for j in some], [j.asked.scene for j in some])
        lines.append(
            f"  {task:11} {whole.value:6.1%} succeed ({whole.low:.1%} to {whole.high:.1%}, n {whole.n},"
            f" {whole.clusters} scenes); semantic fine {rates[0]:.1%}, perceptual fine {rates[1]:.1%},"
            f" refused {refused}"
        )
    return "\n".join(lines)


def sheet(found: Sequence[Judged], path: Path, columns: int = 8) -> None:
    """Source and edit side by side with the prompt; a red frame where it fails."""
    side, gap = 96, 18
    rows = -(-len(found) // columns)
    page = Image.new("RGB", (columns * (2 * side + 8), rows * (side + gap)), "white")
    draw = ImageDraw.Draw(page)
    for k, j in enumerate(found):
        x, y = (k % columns) * (2 * side + 8), (k // columns) * (side + gap)
        page.paste(j.asked.source.resize((side, side), Image.Resampling.NEAREST), (x, y))
        page.paste(j.edit.resize((side, side), Image.Resampling.NEAREST), (x + side, y))
        draw.text((x, y + side + 2), j.asked.prompt, fill="black" if j.succeeds else "red")
    page.save(path)


def main(argv: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Measure an editor of rendered scenes by the oracle.")
    parser.add_argument("editor", help="a diffusers folder")
    parser.add_argument("--range", choices=sorted(RANGES), default="test", help="which scenes")
    parser.add_argument("--scenes", type=int, default=100)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--guidance", default=str(GUIDANCE), help="one or several, with commas")
    parser.add_argument("--image-guidance", default=str(IMAGE_GUIDANCE), help="one or several, with commas")
    parser.add_argument("--sheet", type=Path, help="a PNG to look at")
    args = parser.parse_args(argv)
    some = asked(RANGES[args.range][: args.scenes])
    both = [[float(x) for x in text.split(",")] for text in (args.guidance, args.image_guidance)]
    for text, image in product(*both):
        found = measure(args.editor, some, args.steps, text, image)
        print(
            f"{args.editor}: {args.range} scenes, {args.steps} steps, guidance {text:g}, image guidance {image:g}"
        )
        print(report(found), flush=True)
        if args.sheet:
            sheet(found[:48], args.sheet)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
