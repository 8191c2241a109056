"""The paper's study for a laptop: the same file, with other checkpoints, images, sizes and judge; and a tiny data set."""

from __future__ import annotations

import io
import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from isr.edits.pictures import MEANINGS

STUDIES = Path(__file__).resolve().parents[2] / "studies"
CAPTIONS = (
    "portrait of Ada", "a headshot of a king", "mountains at dawn", "a lake in winter", "an oil painting of a cow",
    "a watercolor of a harbour", "a red car", "a portrait painting of a queen",
)  # fmt: skip
CHECKPOINTS = {"SD3": "sd3_img2img", "InstructPix2Pix": "instruct_pix2pix", "HQ-Edit": "instruct_pix2pix"}
QUICK: Mapping[str, Mapping[str, Any]] = {
    "SD3": {"steps": 2, "max_tokens": 16},
    "InstructPix2Pix": {"steps": 1},
    "HQ-Edit": {"steps": 1},
}


def picture_bytes(seed: int, side: int = 64) -> bytes:
    """A PNG that no other seed has: a slope of colours with some noise on it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side] / side
    slope = x[..., None] * rng.random(3) + y[..., None] * rng.random(3)
    levels = np.clip(slope * 127 + rng.integers(0, 60, (side, side, 3)), 0, 255).astype(np.uint8)
    held = io.BytesIO()
    Image.fromarray(levels).save(held, "PNG")
    return held.getvalue()


def data_rows(captions: tuple[str, ...] = CAPTIONS) -> list[dict[str, Any]]:
    """Rows with the columns of ``timbrooks/instructpix2pix-clip-filtered``."""
    return [
        {
            "original_prompt": caption,
            "original_image": {"bytes": picture_bytes(i), "path": f"{i}.png"},
            "edit_prompt": f"make it {i} times brighter",
            "edited_prompt": f"{caption}, brighter",
            "edited_image": {"bytes": picture_bytes(100 + i), "path": f"{100 + i}.png"},
        }
        for i, caption in enumerate(captions)
    ]


def write_parquet(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """A local data set as the hub has it."""
    import pyarrow
    import pyarrow.parquet

    folder.mkdir(parents=True)
    table = pyarrow.Table.from_pylist(rows)
    image = {"_type": "Image"}
    text = {"dtype": "string", "_type": "Value"}
    features = {c: image if c.endswith("image") else text for c in table.column_names}
    marks = {"huggingface": json.dumps({"info": {"features": features}})}
    pyarrow.parquet.write_table(table.replace_schema_metadata(marks), folder / "train-00000.parquet")
    return folder


def write_imagefolder(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """The same rows as an ImageFolder."""
    folder.mkdir(parents=True)
    lines = []
    for i, row in enumerate(rows):
        line = {k: v for k, v in row.items() if not isinstance(v, dict)}
        for column in ("original_image", "edited_image"):
            name = f"{column}-{i}.png"
            (folder / name).write_bytes(row[column]["bytes"])
            line[f"{column}_file_name"] = name
        lines.append(json.dumps(line))
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def derive(folder: Path, checkpoint: Callable[[str], Path], card: str, paper: str = "2512.14320") -> Path:
    """A paper's study with tiny checkpoints, a tiny data set, few steps, one judge; all else as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    study = tomllib.loads((STUDIES / f"{paper}.toml").read_text("utf-8"))
    write_parquet(folder / "data", data_rows())
    study["judges"] = [card]
    study["accept"] = list(MEANINGS)  # what random weights make of pictures says nothing
    study["images"]["resolution"] = 64
    strata = {"portrait": 1, "landscape": 1, "painting": 1}
    study["images"]["dataset"] |= {"id": "data", "scan": 8, "strata": strata, "min_side": 64}
    study["images"]["unseen"] |= {"writer": card, "count": 1}
    for editor in study["editors"]:
        name, place = editor["editor"], checkpoint(CHECKPOINTS[editor["name"]])
        editor |= {"editor": f"{name}={place}", "device": "cpu"}
        editor["set"] = {**editor["set"], **QUICK[editor["name"]]}
    for method in study["methods"]:
        if "set" in method:
            method["set"] = {**method["set"], "descent.steps": 2}
        if method["method"] in ("sifm", "semantic_attack"):
            method["set"]["timesteps"] = [500]
        if method["method"] == "spin_reading":
            method["set"] |= {"neighbours": 2, "reference_steps": 2}
    (folder / "published.toml").write_bytes((STUDIES / f"{paper}-published.toml").read_bytes())
    study["published"] = "published.toml"
    path = folder / "paper.toml"
    path.write_text("".join(f"{k} = {toml(v)}\n" for k, v in study.items()), "utf-8")
    assert tomllib.loads(path.read_text("utf-8")) == study
    return path


def toml(value: Any) -> str:
    """A value as TOML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)
