"""``isr edit``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from isr.cli._command import grouped
from isr.cli._options import engine_options, gathered
from isr.cli._types import EDITOR, PURIFIER

_PATH = click.Path(path_type=Path)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What was asked for."""

    directories: tuple[Path, ...]
    editor: str
    prompts: Path
    editor_prompt: str
    out: Path
    sets: tuple[str, ...]
    seeds: str
    purifiers: tuple[str, ...]
    name: str
    dtype: str
    device: str
    revision: str | None
    variant: str | None
    shard: str
    resume: bool
    engine: str
    engine_sets: tuple[str, ...]
    partial: bool
    as_json: bool
    quiet: bool


@grouped(
    editor=("editor", "sets", "name", "editor_prompt", "dtype", "device", "revision", "variant"),
    attack=("purifiers",),
    edit=("prompts", "seeds", "partial"),
    work=("shard", "resume", "engine", "engine_sets"),
    output=("out", "as_json"),
)
@click.command(short_help="Edit protected images and their sources; writes an edit directory for isr score.")
@click.argument("directories", nargs=-1, required=True, metavar="DIR...", type=_PATH)
@click.option(
    "--editor",
    required=True,
    type=EDITOR,
    metavar="NAME[=CHECKPOINT]|CHECKPOINT|path.py:NAME",
    help="What makes the edits.",
)
@click.option(
    "--prompts",
    required=True,
    type=_PATH,
    metavar="CSV",
    help="Columns name (an image's; * for all), prompt, and if wanted prompt_id and others, which are kept.",
)
@click.option(
    "--editor-prompt",
    default="",
    metavar="COLUMN",
    help="A column of --prompts that the editor reads in place of prompt, which is judged: captions, for an editor of captions.",
)
@click.option("--out", required=True, type=_PATH, help="The edit directory to write.")
@click.option(
    "--set", "sets", multiple=True, metavar="KEY=VALUE", help="A setting of the editor, e.g. steps=20."
)
@click.option("--seeds", default="0", show_default=True, metavar="N,N...", help="An edit for each.")
@click.option(
    "--purifier",
    "purifiers",
    type=PURIFIER,
    multiple=True,
    metavar="NAME[:KEY=VALUE,...]",
    help="Attack the protection first, e.g. jpeg:quality=75; repeat for several; none: as it is (the default).",
)
@click.option(
    "--name", default="", help="What the editor is called in the metadata. Default: from its checkpoint."
)
@click.option("--dtype", default="fp32", show_default=True, type=click.Choice(["fp32", "fp16", "bf16"]))
@click.option(
    "--device", default="auto", show_default=True, metavar="DEVICE", help="auto, cpu, cuda, cuda:1, mps."
)
@click.option("--revision", metavar="COMMIT", help="Of a checkpoint on the hub.")
@click.option("--variant", metavar="NAME", help="Of a checkpoint's files, e.g. fp16 for *.fp16.safetensors.")
@click.option(
    "--shard", default="0/1", show_default=True, metavar="I/N", help="This process's share of the work."
)
@click.option("--resume", is_flag=True, help="Go on with an interrupted run in --out.")
@engine_options
@click.option("--partial", is_flag=True, help="Edit also directories in which images are missing.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
@gathered(Options)
def command(o: Options) -> None:
    """Edit what isr immunize wrote in each DIR, and the unprotected sources with the same prompt and seed.

    With --purifier, both are purified before they are edited. Directories of several methods share their control
    edits. The result is an edit directory: next, isr score OUT --judge CARD. Its metadata.jsonl is written once all
    edits are there.

    DIR may also hold pictures that others protected, with a metadata.jsonl of the columns file_name, source_file_name,
    image_id and method.

    \b
    Purifiers: jpeg, resize, crop_resize, gaussian_noise, gaussian_blur, median, vae, adverse_cleaner,
    jpeg_downscale, img2img.

    \b
    isr edit sifm/ --editor instruct_pix2pix --prompts prompts.csv --out edits/
    isr edit sifm/ pge/ noise/ --editor hq_edit --prompts prompts.csv --out edits/ --set steps=20 --seeds 0,1,2
    isr edit sifm/ --editor ./my-checkpoint --prompts prompts.csv --out edits/ --purifier none \\
        --purifier jpeg:quality=75 --purifier gaussian_noise:sigma=0.05
    """
    from isr.cli._immunizing import run_edit

    run_edit(o)
