"""``isr immunize``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click

from isr.cli._command import grouped
from isr.cli._options import engine_options, gathered
from isr.cli._types import EDITOR, METHOD, RADIUS

_PATH = click.Path(path_type=Path)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What was asked for. ``None``: not said, so the preset's or the library's own choice."""

    images: Path
    method: str
    editor: str | None
    out: Path | None
    preset: str
    name: str
    sets: tuple[str, ...]
    editor_sets: tuple[str, ...]
    eps: float
    norm: Literal["linf", "l2"]
    steps: int | None
    step_size: float | None
    prompts: Path | None
    where: tuple[str, ...]
    masks: Path | None
    resolution: int
    resize: Literal["fit", "crop", "keep"]
    seed: int
    dtype: str
    device: str
    revision: str | None
    variant: str | None
    batch: int
    timestep_batch: int
    checkpoint_activations: bool
    shard: str
    resume: bool
    engine: str
    engine_sets: tuple[str, ...]
    listing: bool
    as_json: bool
    quiet: bool


@grouped(
    method=("method", "name", "preset", "sets", "steps", "step_size"),
    budget=("eps", "norm"),
    surrogate=("editor", "editor_sets", "dtype", "device", "revision", "variant"),
    picture=("prompts", "where", "masks", "resolution", "resize", "seed"),
    work=("batch", "timestep_batch", "checkpoint_activations", "shard", "resume", "engine", "engine_sets"),
    output=("out", "listing", "as_json"),
)
@click.command(short_help="Protect a folder of images with SIFM, a baseline, or a method of one's own.")
@click.argument("images", type=_PATH)
@click.option(
    "--method",
    default="sifm",
    show_default=True,
    type=METHOD,
    metavar="NAME|path.py:FUNCTION",
    help="See --list.",
)
@click.option(
    "--editor",
    type=EDITOR,
    metavar="NAME[=CHECKPOINT]|CHECKPOINT|path.py:CLASS=CHECKPOINT",
    help="The surrogate: what is optimised on.",
)
@click.option("--out", type=_PATH, help="Folder for sources/, protected/ and metadata.jsonl.")
@click.option(
    "--name",
    default="",
    metavar="NAME",
    help="What tables call a method of a file. Default: its function's name.",
)
@click.option(
    "--preset", default="", metavar="NAME", help="A set of choices of the method. Default: its first."
)
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="One field of the method, e.g. layers=mid_block.",
)
@click.option(
    "--editor-set", "editor_sets", multiple=True, metavar="KEY=VALUE", help="One setting of the editor."
)
@click.option(
    "--eps", default=0.03, show_default=True, type=RADIUS, metavar="RADIUS",
    help="Of the budget, in [0, 1] pixel units: 0.03, 8/255.",
)  # fmt: skip
@click.option("--norm", default="linf", show_default=True, type=click.Choice(["linf", "l2"]))
@click.option("--steps", type=int, help="Iterations. Default: the preset's (100 under the shared budget).")
@click.option(
    "--step-size",
    type=RADIUS,
    metavar="NUMBER",
    help="In [0, 1] pixel units: 0.001, 1/255. Default: the preset's.",
)
@click.option(
    "--prompts", type=_PATH, metavar="CSV", help="name,prompt: the text c of each image (name * for all)."
)
@click.option(
    "--where",
    multiple=True,
    metavar="COLUMN=VALUE",
    help="Rows of --prompts that are meant, e.g. split=seen, where an image has several.",
)
@click.option("--masks", type=_PATH, metavar="DIR", help="For inpainting: white where it repaints, by name.")
@click.option("--resolution", default=512, show_default=True, metavar="PIXELS", help="Of the longer side.")
@click.option(
    "--resize",
    default="fit",
    show_default=True,
    type=click.Choice(["fit", "crop", "keep"]),
    help="fit: the whole picture; crop: its central square; keep: its own size, cut to multiples.",
)
@click.option("--seed", default=0, show_default=True)
@click.option(
    "--dtype", default="fp32", show_default=True, type=click.Choice(["fp32", "fp16", "bf16", "fp64"])
)
@click.option(
    "--device", default="auto", show_default=True, metavar="DEVICE", help="auto, cpu, cuda, cuda:1, mps."
)
@click.option("--revision", metavar="COMMIT", help="Of a checkpoint on the hub.")
@click.option("--variant", metavar="NAME", help="Of a checkpoint's files, e.g. fp16 for *.fp16.safetensors.")
@click.option("--batch", default=1, show_default=True, metavar="N", help="Images of one size at a time.")
@click.option(
    "--timestep-batch", default=0, metavar="N", help="Timesteps in one pass (sifm). Default: as many as fit."
)
@click.option("--checkpoint-activations", is_flag=True, help="Less memory, about a third more time.")
@click.option(
    "--shard", default="0/1", show_default=True, metavar="I/N", help="This process's share of the work."
)
@click.option("--resume", is_flag=True, help="Go on with an interrupted run in --out.")
@engine_options
@click.option("--list", "listing", is_flag=True, help="List methods with their presets, and editors.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
@gathered(Options)
def command(o: Options) -> None:
    """Protect the photographs in IMAGES (a folder, or one file) within a budget.

    Each is turned as its EXIF says, brought to the working resolution and quantised to 8 bits, and saved as its
    source; the perturbation is rounded toward it, so that the file itself obeys the budget. metadata.jsonl says for
    every image how, with which versions, and what was measured. Next: isr edit DIR.

    \b
    isr immunize photos/ --editor instruct_pix2pix --eps 0.03 --steps 100 --out sifm/ --prompts captions.csv
    isr immunize photos/ --method photoguard_encoder --editor ./my-checkpoint --out pge/
    isr immunize photos/ --method mine.py:protect --editor hq_edit --dtype fp16 --out mine/
    isr immunize photos/ --preset balanced --set layers=mid_block,down_blocks.2 --editor sd3_img2img --out b/
    CUDA_VISIBLE_DEVICES=1 isr immunize photos/ --editor hq_edit --out sifm/ --shard 1/2 --resume   # and 0/2 on the other
    isr immunize . --list
    """
    from isr.cli._immunizing import list_methods, run

    if o.listing:
        click.echo(list_methods(), nl=False)
        return
    if o.editor is None or o.out is None:
        raise click.UsageError("expected --editor and --out (isr immunize . --list shows what there is)")
    run(o, o.editor, o.out)
