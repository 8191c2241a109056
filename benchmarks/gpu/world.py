"""Part 4: the trained judge and editor of the painted world, on the device and on the CPU."""

from __future__ import annotations

import importlib.util
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.backend_parity import differences, paint, score
from benchmarks.gpu.record import Record, device_of, rounded, seconds_of

ROOT = Path(__file__).resolve().parents[2]
SHAPES = ROOT / "examples" / "shapes"
PROMPT = "make the square red"


def run(record: Record, tiny: bool) -> None:
    """Fills the record."""
    device, edits, steps = device_of(tiny), 3 if tiny else 90, 1 if tiny else 40
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        record.attempt("edit", lambda: edit(device))
        record.put("sifm/steps", steps)
        made: dict[str, Any] = {}
        record.attempt("sifm/seconds_on_cpu", lambda: protect(out / "cpu", "cpu", steps, made))
        for name, exact in (("as it is", False), ("without TF32", True)):
            there = out / name.replace(" ", "")
            record.attempt(
                f"sifm/{name}", lambda p=there, e=exact: compared(p, device, steps, made["cpu"], exact=e)
            )
        root = paint(out / "painted", edits)
        held = importlib.util.find_spec("xgrammar") is not None
        if record.attempt("judge", lambda: judge(root, out / "held", edits, held=held)) is None and held:
            record.attempt("judge_in_words", lambda: judge(root, out / "words", edits, held=False))


def judge(root: Path, out: Path, edits: int, *, held: bool) -> dict[str, Any]:
    """Verdicts of the embedded judge on painted edits that it never saw, through ``isr score``."""
    words = () if held else ("--set", "decoding.structured=words")
    said, seconds = [], []
    for place in ("cpu", "auto"):
        began = time.perf_counter()
        change = (*words, "--set", f"engine.device_map={place}")
        said.append(score("transformers", root, edits, out / place, 0, change))
        seconds.append(rounded(time.perf_counter() - began))
    here, there = said
    same = len(here) - len(differences(here, there))
    return {
        "verdicts": len(here),
        "equal_verdicts": rounded(same / len(here)),
        "equal_reasoning": rounded(sum(here[k].reasoning == there[k].reasoning for k in here) / len(here)),
        "decided": sum(s.verdict in ("fails", "fine") for s in there.values()),
        "held_to_schema": held,
        "seconds_on_cpu": seconds[0],
        "seconds_on_device": seconds[1],
    }


def loaded(device: str) -> Any:
    """The embedded editor with the settings of its studies."""
    from sifm_ref.editor import Settings
    from sifm_ref.loading import load

    own = {"steps": 8, "guidance": 2.0, "image_guidance": 1.5}
    return load(str(SHAPES / "editor" / "model"), Settings(dtype="fp32", device=device, settings=own))


def protect(out: Path, device: str, steps: int, made: dict[str, Any]) -> float:
    """Seconds in which SIFM protects pictures of the painted world; the pictures, in 8-bit levels, go to ``made``."""
    from sifm_ref.budget import Budget
    from sifm_ref.immunizing import Job, immunize
    from sifm_ref.pictures import Resize, find_pictures
    from sifm_ref.registry import method

    images = SHAPES / "scenes" / "quick"
    some = tuple(find_pictures(images)[:4])
    chosen = method(
        "sifm", "balanced", {"descent.steps": str(steps), "layers": "down_blocks.1,mid_block,up_blocks.0"}
    )
    job = Job(
        images=images, out=out, method=chosen, budget=Budget(0.06), resize=Resize(64, "keep"), batch=4, pictures=some,
        prompts={p.image_id: PROMPT for p in some},
    )  # fmt: skip
    editor = loaded(device)
    took = seconds_of(lambda: immunize(job, editor))
    files = sorted((out / "protected").glob("*.png"))
    made[out.name] = np.stack([np.asarray(Image.open(f), np.int16) for f in files])
    return rounded(took)


def compared(out: Path, device: str, steps: int, on_cpu: Any, *, exact: bool) -> dict[str, Any]:
    """The same protection on the device, against that on the CPU. ``exact``: no TF32 in convolutions."""
    import torch

    made: dict[str, Any] = {}
    usual = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = usual and not exact
    try:
        took = protect(out, device, steps, made)
    finally:
        torch.backends.cudnn.allow_tf32 = usual
    return {"seconds": took, "pictures": len(on_cpu), **levels(on_cpu, made[out.name])}


def edit(device: str) -> dict[str, Any]:
    """The same edit on both."""
    picture = Image.open(SHAPES / "scenes" / "quick" / "000.png").convert("RGB")
    made = [loaded(place).edit(picture, PROMPT, 0) for place in ("cpu", device)]
    return levels(*(np.asarray(m.convert("RGB"), np.int16) for m in made))


def levels(one: Any, two: Any) -> dict[str, float]:
    """How two pictures differ, in 8-bit levels."""
    apart = np.abs(one - two)
    return {
        "largest_difference": int(apart.max()),
        "mean_difference": rounded(float(apart.mean())),
        "equal_samples": rounded(float((apart == 0).mean())),
    }
