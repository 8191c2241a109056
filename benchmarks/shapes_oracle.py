"""How well `shapes-oracle` agrees with the painter's truth, by kind of edit and strength.

An edit counts as right only if both verdicts are; a scene that the oracle cannot read counts as wrong. The oracle
was tuned on seeds below 1000, and on jittered seeds 1000 to 1199; anything else is new to it. ``--jitter`` varies
colours, sizes and textures beyond the bundled range.

    python benchmarks/shapes_oracle.py --seed 20000 --images 200 --jitter
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass

from isr_shapes.painting import paint_images
from isr_shapes.vision import NotAShapesScene, degradation, look
from PIL import Image


@dataclass(frozen=True)
class Judged:
    """One painted edit with its truth and what the oracle said (``""`` where it refused)."""

    prompt: str
    kind: str
    strength: float | None
    truth: tuple[str, str]
    said: tuple[str, str]

    @property
    def right(self) -> bool:
        return self.truth == self.said


def judge_scenes(seed: int, images: int, jitter: bool) -> Iterator[Judged]:
    """Every edit of these scenes, both arms, judged."""
    for image in paint_images(seed, images, jitter):
        source = Image.fromarray(image.source)
        for edit in image.edits:
            arms = ((edit.protected, edit.protected_truth), (edit.control, edit.control_truth))
            for pixels, truth in arms:
                said = _said(edit.task.prompt, source, Image.fromarray(pixels))
                yield Judged(
                    edit.task.prompt, truth.kind, truth.strength, (truth.semantic, truth.perceptual), said
                )


def _said(prompt: str, source: Image.Image, edit: Image.Image) -> tuple[str, str]:
    try:
        return look(prompt, source, edit).verdict, degradation(source, edit).verdict
    except NotAShapesScene:
        return "", ""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=20_000)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--jitter", action="store_true")
    args = parser.parse_args()
    began = time.perf_counter()
    found = list(judge_scenes(args.seed, args.images, args.jitter))
    seconds = time.perf_counter() - began
    print(f"{'kind':16}{'strength':>14}{'edits':>8}{'semantic':>10}{'perceptual':>12}{'both':>8}")
    cells: dict[tuple[str, str], list[Judged]] = {}
    for one in found:
        cells.setdefault((one.kind, _band(one.strength)), []).append(one)
    for (kind, band), some in sorted(cells.items()):
        print(f"{kind:16}{band:>14}{_line(some)}")
    print(f"{'all':16}{'':>14}{_line(found)}")
    mark = " with jitter" if args.jitter else ""
    print(
        f"seeds {args.seed} to {args.seed + args.images - 1}{mark}; {1000 * seconds / len(found):.0f} ms for each edit"
    )


def _band(strength: float | None) -> str:
    """Strengths are jittered: the tenth (or, for small ones, the hundredth) in which they lie."""
    if strength is None:
        return ""
    step = 0.1 if strength >= 0.1 else 0.01
    low = int(strength / step + 1e-9) * step
    return f"{low:.2f}-{low + step:.2f}"


def _line(some: list[Judged]) -> str:
    n = len(some)
    semantic = sum(j.truth[0] == j.said[0] for j in some) / n
    perceptual = sum(j.truth[1] == j.said[1] for j in some) / n
    return f"{n:>8}{semantic:>10.1%}{perceptual:>12.1%}{sum(j.right for j in some) / n:>8.1%}"


if __name__ == "__main__":
    main()
