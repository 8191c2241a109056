"""Small studies for tests: painted scenes of 64 pixels, a tiny random editor, the shapes oracle."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]

STUDY = """
name = "little"
seeds = [0]
purifiers = {purifiers}
judges = {judges}
metrics = {metrics}

[images]
folder = "scenes"
prompts = "prompts.csv"
resolution = 64

[[editors]]
name = "tiny"
editor = "{editor}"
set = {{ steps = 1 }}
device = "cpu"

[[methods]]
name = "SIFM"
method = "sifm"
preset = "balanced"
set = {{ "descent.steps" = 2, timesteps = [300] }}
eps = [0.03]
role = "ours"

[[methods]]
name = "noise"
method = "noise"
eps = [0.03]
"""


def write(
    folder: Path,
    editor: Path | str,
    *,
    images: int = 2,
    judges: str = '["shapes-oracle"]',
    purifiers: str = '["none", "jpeg:quality=75"]',
    metrics: str = "false",
    more: str = "",
) -> Path:
    """The study file of a new folder with scenes and prompts."""
    (folder / "scenes").mkdir(parents=True)
    rows = [scene(folder / "scenes" / f"s{n}.png", n) for n in range(images)]
    with (folder / "prompts.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "prompt", "prompt_id", "split"])
        for n, prompts in enumerate(rows):
            writer.writerow([f"s{n}", prompts[0], "a", "seen"])
            writer.writerow([f"s{n}", prompts[1], "b", "unseen"])
    path = folder / "study.toml"
    text = STUDY.format(editor=editor, judges=judges, purifiers=purifiers, metrics=metrics)
    path.write_text(text + more, "utf-8")
    return path


def scene(path: Path, seed: int) -> list[str]:
    """Paints a scene; two prompts that the oracle knows."""
    from isr_shapes import world

    drawn = world.draw_scene(np.random.default_rng(seed), world.TUNING)
    levels = np.rint(np.clip(world.render(drawn), 0, 1) * 255).astype(np.uint8)
    Image.fromarray(levels).save(path)
    kind = drawn.shape(0).kind
    hue = next(h for h in world.HUES if world.hue_gap(h, drawn.shape(0).paint.name) > world.MIN_CHANGE)
    return [f"make the {kind} {hue}", f"remove the {kind}"]
