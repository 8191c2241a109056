"""``isr tutorial DIR``: a small study to try every command on, painted by a program: no GPU, no key, no download.

What it writes looks as a student's folder does: photographs, prompts, protected pictures, edits of two methods and of the
unprotected photographs, labels of two raters, and the commands that go from there to a table.
"""

from __future__ import annotations

import io
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from isr.errors import UsageError
from isr.files import write_text
from isr.spreadsheet import Writer
from isr_shapes.painting import (
    IMAGE_SWING,
    Pixels,
    Truth,
    draw_tasks,
    paint,
    plan_of,
    protect,
    save,
    to_pixels,
)
from isr_shapes.world import TUNING, draw_scene, render

IMAGES, SEEDS = 12, (0, 1)
FAILING = {"ours": 0.7, "baseline": 0.3, "clean": 0.1}
"""How often edits fail, by folder of ``out``; ``clean`` are those of the unprotected scenes. Nobody's method: chosen by us."""
FIRST_SEED = 70_000  # of the scenes; the bundled demo and the embedded models have others
SLIP = 0.07  # chance that a simulated rater says the opposite
LABELLED = 60

COMMANDS = """#!/bin/sh
# From folders to a table, command by command. The scenes, the "methods" and the raters are simulated: no number here says
# anything about a real protection, judge or person.
set -e
cd "$(dirname "$0")"

# 1. one edit directory from your folders
isr init edits/ --edits 'out/{method}/{image}_{prompt_id}_s{seed}.png' --source 'images/{image}.png' \\
    --control 'out/clean/{image}_{prompt_id}_s{seed}.png' --protected 'protected/{method}/{image}.png' \\
    --prompts prompts.csv --column editor=painter --column eps=0.03
# 2. is it sound?
isr validate edits/
# 3. what would be asked, and what would it cost?
isr score edits/ --judge shapes-oracle --dry-run
# 4. judge it
isr score edits/ --judge shapes-oracle
# 5. which method is better?
isr compare edits.isr --choose
# 6. the table, and the sentences of the methods section
isr report edits.isr --latex
isr report edits.isr --methods
# 7. does the judge agree with people?
isr agree --labels labels.csv --judge edits.isr
# 8. what would people have said?
isr calibrate edits.isr --labels labels.csv --design random
# 9. everything a reviewer needs, in one file, and what the reviewer does with it
isr bundle edits.isr --images
isr verify edits.bundle.zip
# 10. how many images would a narrower interval take?
isr plan --half-width 0.05 --pilot edits.isr
"""

README = """# A study to try isr on

{images} painted scenes, three prompts and two seeds each, two simulated methods (`out/ours`, `out/baseline`) and the edits of the
unprotected scenes (`out/clean`). `prompts.csv` says which prompt belongs to which file; `labels.csv` are two simulated raters.
Everything was painted by `isr tutorial`: no number here says anything about a real protection, judge or person.

    sh commands.sh

runs the ten commands that lead from these folders to a table, a comparison, a bundle and a plan. Read it, and run its lines
one by one. The judge `shapes-oracle` is a program that reads such scenes; for photographs take a model (`isr judges`).
"""


@dataclass(frozen=True)
class _Edit:
    place: str  # under out/
    pixels: Pixels
    truth: Truth


@dataclass(frozen=True)
class _Image:
    name: str
    source: Pixels
    protected: dict[str, Pixels]
    prompts: tuple[tuple[str, str], ...]  # (prompt_id, prompt)
    edits: tuple[_Edit, ...]


def _images(seed: int) -> Iterator[_Image]:
    for number in range(IMAGES):
        rng = np.random.default_rng([FIRST_SEED + seed + number, 0])
        scene = draw_scene(rng, TUNING)
        source, name = to_pixels(render(scene)), f"scene{number:02d}"
        tasks = draw_tasks(scene, TUNING, rng)
        swing = IMAGE_SWING * (2 * float(rng.random()) - 1)
        edits, prompts = [], []
        for task in tasks:
            prompt_id = task.prompt.replace(" ", "-")
            prompts.append((prompt_id, task.prompt))
            for folder, rate in FAILING.items():
                moved = rate if folder == "clean" else min(max(rate + swing, 0.0), 1.0)
                for one in SEEDS:
                    pixels, truth = paint(scene, task, plan_of(rng, moved), TUNING, rng)
                    edits.append(_Edit(f"{folder}/{name}_{prompt_id}_s{one}.png", pixels, truth))
        protected = {folder: protect(source, rng) for folder in FAILING if folder != "clean"}
        yield _Image(name, source, protected, tuple(prompts), tuple(edits))


def write(folder: Path, seed: int = 0) -> int:
    """Writes the study into an empty folder; the number of edits. Raises ``UsageError`` for a folder that holds something."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            f"isr tutorial {folder}: expected an empty folder, or none; found files there; choose another"
        )
    prompts: list[tuple[str, str, str]] = []
    truths: dict[str, Truth] = {}
    for image in _images(seed):
        save(folder / "images" / f"{image.name}.png", image.source)
        for method, pixels in image.protected.items():
            save(folder / "protected" / method / f"{image.name}.png", pixels)
        for edit in image.edits:
            save(folder / "out" / edit.place, edit.pixels)
            truths[edit.place] = edit.truth
        prompts += [(image.name, *prompt) for prompt in image.prompts]
    _table(folder / "prompts.csv", ("image", "prompt_id", "prompt"), prompts)
    _table(folder / "labels.csv", ("edit_id", "rater", "semantic", "perceptual"), _labels(truths, seed))
    write_text(folder / "README.md", README.format(images=IMAGES))
    script = folder / "commands.sh"
    write_text(script, COMMANDS)
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return len(truths)


def _labels(truths: dict[str, Truth], seed: int) -> Iterator[tuple[str, ...]]:
    """Two raters who say what was painted, with slips, of edits drawn at random, by the names that ``isr init`` gives them."""
    rng = np.random.default_rng([FIRST_SEED, seed, 1])
    protected = sorted(place for place in truths if not place.startswith("clean/"))
    other = {"fails": "fine", "fine": "fails"}
    for place in sorted(rng.choice(protected, LABELLED, replace=False)):
        for rater in ("simulated-1", "simulated-2"):
            said = (truths[place].semantic, truths[place].perceptual)
            yield f"edits/{place}", rater, *(other[s] if rng.random() < SLIP else s for s in said)


def _table(path: Path, header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    stream = io.StringIO(newline="")
    writer = Writer(stream)
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, stream.getvalue())


@click.command(short_help="Write a small painted study to try every command on: no GPU, no key, no download.")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the scenes.")
def command(folder: Path, seed: int) -> None:
    """Write pictures made by a program, prompts.csv, protected pictures, edits of two methods, labels, and commands.sh.

    \b
    isr tutorial try/
    sh try/commands.sh
    """
    edits = write(folder, seed)
    click.echo(
        f"{folder}: {IMAGES} images, {edits} edits; next: sh {folder / 'commands.sh'}, or its lines one by one"
    )
