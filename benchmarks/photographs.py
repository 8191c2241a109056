"""Every method on photographs that ship inside scikit-image, at 64 pixels: one study, interrupted once and resumed.

    pip install scikit-image
    python benchmarks/photographs.py OUT                  # OUT: a new folder
    python benchmarks/photographs.py OUT --data FOLDER    # the photographs of that folder

Two editors: the small InstructPix2Pix of the repository, and a Stable Diffusion inpainting pipeline of random weights, for
methods whose home that is. Few steps: what is shown is that all of it runs on photographs, stops and goes on; no figure here
says how well a method protects.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sifm_ref.registry import method, names
from tests.sifm_ref.checkpoints import build
from tests.sifm_ref.scenes import FEW

ROOT = Path(__file__).resolve().parents[1]
PHOTOGRAPHS = (
    "astronaut.png", "camera.png", "chelsea.png", "coffee.png", "hubble_deep_field.jpg", "motorcycle_left.png", "retina.jpg",
    "rocket.jpg",
)  # fmt: skip
STEPS = 3


def data_of_skimage() -> Path:
    """The folder of pictures inside the installed package; none is fetched."""
    found = find_spec("skimage")
    if found is None or not found.submodule_search_locations:
        sys.exit("photographs: expected the package scikit-image; found none; pip install scikit-image")
    return Path(next(iter(found.submodule_search_locations))) / "data"


def settings(name: str) -> dict[str, Any]:
    config = method(name).config
    few = {k: [int(v) for v in few.split(",")] for k, few in FEW.items() if hasattr(config, k)}
    few = {k: v if isinstance(getattr(config, k), tuple) else v[0] for k, v in few.items()}
    return few | ({"descent.steps": STEPS} if hasattr(config, "descent") else {})


def write_study(out: Path, photographs: list[Path]) -> Path:
    """The study in ``out``: all methods on both editors."""
    folder = out / "photographs"
    folder.mkdir(parents=True)
    prompts = ["name,prompt"]
    for photograph in photographs:
        shutil.copy(photograph, folder / photograph.name)
        prompts.append(f"{photograph.stem},make the circle red")
    (folder / "prompts.csv").write_text("\n".join(prompts) + "\n", "utf-8")
    inpaint = build("sd_inpaint", out / "inpaint")
    lines = [
        'name = "photographs"',
        'judges = ["shapes-oracle"]  # not asked: --only images,immunize,edit',
        "[images]",
        'folder = "photographs"',
        'prompts = "photographs/prompts.csv"',
        "resolution = 64",
        'resize = "crop"',
        "[[editors]]",
        'name = "instruct"',
        f"editor = {json.dumps(str(ROOT / 'examples' / 'shapes' / 'editor' / 'model'))}",
        "set = { steps = 4, guidance = 2.0, image_guidance = 1.5 }",
        "[[editors]]",
        'name = "inpaint"',
        f"editor = {json.dumps(f'sd_inpaint={inpaint}')}",
        "set = { steps = 4 }",
    ]
    for name in names("methods"):
        said = ", ".join(f"{json.dumps(k)} = {json.dumps(v)}" for k, v in settings(name).items())
        lines += ["[[methods]]", f'name = "{name}"', f'method = "{name}"', "transfer = false"]
        lines += [f"set = {{ {said} }}"] if said else []
    path = out / "study.toml"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def pictures(bench: Path) -> dict[Path, int]:
    """Protected pictures and edits that are there, with the time of their last change."""
    return {p: p.stat().st_mtime_ns for p in bench.rglob("*.png") if p.parent.name in ("protected", "edits")}


def run(study: Path, bench: Path, until: int | None = None) -> int:
    """The exit code of the study's run; with ``until`` it is interrupted once so many pictures are there."""
    command = [
        sys.executable,
        "-m",
        "isr",
        "bench",
        str(study),
        "--only",
        "images,immunize,edit",
        "--jobs",
        "1",
        "--quiet",
    ]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, start_new_session=True) as process:
        while until is not None and process.poll() is None:
            if len(pictures(bench)) >= until:
                process.send_signal(signal.SIGINT)
                break
            time.sleep(0.2)
        return process.wait()


def rows(bench: Path) -> list[dict[str, Any]]:
    """The rows of all folders of protected pictures."""
    return [
        json.loads(line)
        for f in bench.glob("immunized/*/metadata.jsonl")
        for line in f.read_text("utf-8").splitlines()
    ]


def main() -> None:
    """Runs the study, interrupts it, resumes it, and prints what came of each method."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path)
    args = parser.parse_args()
    data = args.data or data_of_skimage()
    photographs = (
        [data / n for n in PHOTOGRAPHS]
        if args.data is None
        else sorted(p for p in data.iterdir() if p.is_file())
    )
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # behind "&" a shell has it ignored, and so would the study
    args.out.mkdir(parents=True)
    study = write_study(args.out, photographs)
    bench = args.out / "photographs.bench"
    methods = names("methods")
    wanted = len(photographs) * len(methods) * 2
    interrupted = run(study, bench, wanted // 2)
    before = pictures(bench)
    finished = run(study, bench)
    after = pictures(bench)
    again = [p for p, at in before.items() if after.get(p) != at]
    print(f"{len(photographs)} photographs, {len(methods)} methods, 2 editors: exit {interrupted} with {len(before)} pictures, "
          f"then exit {finished} with {len(after)}; made again: {len(again)}")  # fmt: skip
    found = defaultdict(list)
    for row in rows(bench):
        found[row["method"], row["surrogate"].partition("@")[0].partition("=")[0]].append(row)
    print(
        "| method | on | photographs | L-inf, levels | PSNR, dB | loss fell | adaptation |\n|---|---|---|---|---|---|---|"
    )
    for (name, on), some in sorted(found.items()):
        linf = max(r["measured_linf"] for r in some) * 255
        fell = str(sum(r["loss_fell"] for r in some)) if "loss_fell" in some[0] else "no loss"
        print(f"| {name} | {on} | {len(some)} | {linf:.0f} | {fmean(r['measured_psnr'] for r in some):.1f} | {fell} | "
              f"{some[0]['adaptation'] or 'none'} |")  # fmt: skip
    complete = len(rows(bench)) == wanted and {m for m, _ in found} == set(methods)
    if interrupted != 130 or finished != 0 or again or not complete:
        sys.exit(
            "photographs: expected one interrupted run (exit 130), one that finished it, and nothing made again"
        )


if __name__ == "__main__":
    main()
