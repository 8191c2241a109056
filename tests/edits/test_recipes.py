"""docs/recipes.md: every published layout, painted small, comes through with the command of its section.

The scenes are the first twelve of examples/shapes, each with three prompts: 36 edits and 36 control edits, of which the
oracle finds 21 and 7 immunized: ISR 21/36 = 58.3 %, control 7/36 = 19.4 %, uplift 14/36 = +38.9 percentage points.
"""

from __future__ import annotations

import csv
import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from isr.cli import cli

ROOT = Path(__file__).resolve().parents[2]
SHAPES = ROOT / "examples" / "shapes"
SCENES = 36


class Edit(NamedTuple):
    """One of the 36: its files, and the numbers by which layouts name it."""

    image: str
    number: int  # of its prompt, from 1
    prompt: str
    edit: Path
    control: Path
    source: Path
    protected: Path


def scenes() -> list[Edit]:
    rows = map(json.loads, (SHAPES / "metadata.jsonl").read_text("utf-8").splitlines()[:SCENES])
    columns = ("file_name", "control_file_name", "source_file_name", "protected_file_name")
    return [
        Edit(r["image_id"], int(r["edit_id"][-1]), r["prompt"], *(SHAPES / r[c] for c in columns))
        for r in rows
    ]


def recipes() -> dict[str, list[str]]:
    """The command of every section of the document, by the section's title."""
    text = (ROOT / "docs" / "recipes.md").read_text("utf-8")
    found = re.findall(r"^## (.+?)\n.*?^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert [title for title, _ in found] == re.findall(r"^## (.+)", text, re.MULTILINE)
    return {title: shlex.split(command.replace("\\\n", " ")) for title, command in found}


def put(source: Path, place: str) -> None:
    """A copy, also under a name that ends in .jpg: what a picture is its bytes say, and none is judged anew."""
    Path(place).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, place)


def table(path: str, *columns: str, tabs: bool = False) -> Callable[[Iterator[tuple[object, ...]]], None]:
    def write(rows: Iterator[tuple[object, ...]]) -> None:
        with Path(path).open("w", newline="", encoding="utf-8") as file:
            out = csv.writer(file, delimiter="\t" if tabs else ",")
            out.writerow(columns)
            out.writerows(dict.fromkeys(rows))

    return write


def as_json(path: str, value: object) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(value), "utf-8")


# ------------------------------------------------------------------------ the layouts, by the title of their sections


def diffvax(edits: list[Edit]) -> None:
    for e in edits:
        stem = f"results/images/{e.image}_prompt_{e.number - 1}_edited_result"
        put(e.edit, f"{stem}_adv.png")
        put(e.control, f"{stem}_orig.png")
        put(e.source, f"data/validation/images/{e.image}.png")
    table("prompts.csv", "image", "prompt_id", "prompt")((e.image, e.number - 1, e.prompt) for e in edits)


def numbered(edits: list[Edit]) -> dict[str, int]:
    """A number for every prompt, the same for all images, as editors number them that use one list of prompts."""
    return {prompt: n for n, prompt in enumerate(sorted({e.prompt for e in edits}))}


def facelock(edits: list[Edit]) -> None:
    number = numbered(edits)
    for e in edits:
        put(e.edit, f"edits/facelock/seed42/prompt{number[e.prompt]}/{e.image}.png")
        put(e.control, f"edits/clean/seed42/prompt{number[e.prompt]}/{e.image}.png")
        put(e.source, f"images/{e.image}.png")
        put(e.protected, f"protected/facelock/{e.image}.png")
    table("prompts.csv", "prompt_id", "prompt")((n, prompt) for prompt, n in number.items())


def advpaint(edits: list[Edit]) -> None:
    cells = {1: ("1", "seg"), 2: ("1", "sbox"), 3: ("2", "seg")}
    for e in edits:
        mask, kind = cells[e.number]
        put(e.edit, f"test/inpaint/AdvPaint_{e.image}_mask{mask}_{kind}.png")
        put(e.control, f"test/inpaint/Clean_{e.image}_mask{mask}_{kind}.png")
        put(e.source, f"test/clean/{e.image}.png")
        put(e.protected, f"test/adv/{e.image}_AdvPaint_eps0.06_step0.03_iter250.png")
    table("prompts.csv", "image", "mask", "kind", "prompt")(
        (e.image, *cells[e.number], e.prompt) for e in edits
    )


def diffusionguard(edits: list[Edit]) -> None:
    number = numbered(edits)
    for e in edits:
        put(e.edit, f"edited/diffusionguard/{e.image}/{number[e.prompt]}.png")
        put(e.control, f"edited/clean/{e.image}/{number[e.prompt]}.png")
        put(e.source, f"assets/{e.image}.png")
        put(e.protected, f"protected_images/diffusionguard/{e.image}/adv_image.png")
    table("prompts.csv", "prompt_id", "prompt")((n, prompt) for prompt, n in number.items())


def diff_protect(edits: list[Edit]) -> None:
    number = numbered(edits)
    for e in edits:
        folder = f"out/mist_eps16_steps100_gmode-/prompt{number[e.prompt]}"
        put(e.edit, f"{folder}/{e.image}_multistep.png")
        put(e.protected, f"{folder}/{e.image}_attacked.png")
        put(e.control, f"out/clean/prompt{number[e.prompt]}/{e.image}_multistep.png")
        put(e.source, f"test_images/prompt{number[e.prompt]}/{e.image}.png")
    table("prompts.csv", "prompt_id", "prompt")((f"prompt{n}", prompt) for prompt, n in number.items())


def photoguard(edits: list[Edit]) -> None:
    for e in edits:
        put(e.edit, f"saved/{e.image}_{e.number}_image_adv.png")
        put(e.control, f"saved/{e.image}_{e.number}_image_nat.png")
        put(e.source, f"saved/{e.image}_orig.png")
        put(e.protected, f"saved/{e.image}_adv_image.png")
    table("prompts.tsv", "image", "prompt_id", "prompt", tabs=True)(
        (e.image, e.number, e.prompt) for e in edits
    )


def imgedit(edits: list[Edit]) -> None:
    said = {}
    for key, e in enumerate(edits, 1082):
        said[str(key)] = {"id": f"animal/{e.image}.jpg", "prompt": e.prompt, "edit_type": "adjust"}
        put(e.edit, f"results/mine/{key}.png")
        put(e.control, f"results/clean/{key}.png")
        put(e.source, f"singleturn/animal/{e.image}.jpg")
    as_json("basic_edit.json", said)


def gedit(edits: list[Edit]) -> None:
    lines = []
    for e in edits:
        key = f"{e.image}{e.number}"
        lines.append(json.dumps({"key": key, "instruction": e.prompt}) + "\n")
        for arm, file, shown in (("protected/mine", e.edit, e.protected), ("clean", e.control, e.source)):
            put(file, f"results/{arm}/fullset/background_change/en/{key}.png")
            put(shown, f"results/{arm}/fullset/background_change/en/{key}_SRCIMG.png")
    Path("instructions.jsonl").write_text("".join(lines), "utf-8")


def magicbrush(edits: list[Edit]) -> None:
    turns = []
    for e in edits:
        shown = f"{e.image}-input.png" if e.number == 1 else f"{e.image}-output{e.number - 1}.png"
        output = f"{e.image}-output{e.number}.png"
        turns.append(
            {"input": shown, "mask": f"{e.image}-mask.png", "output": output, "instruction": e.prompt}
        )
        name = f"{e.image}_1.png" if e.number == 1 else f"{e.image}_inde_{e.number}.png"
        put(e.edit, f"protected/{e.image}/{name}")
        put(e.control, f"clean/{e.image}/{name}")
        put(e.edit, f"protected/{e.image}/{e.image}_iter_{e.number}.png")
        put(e.source, f"test/images/{e.image}/{shown}")  # one scene: the truth is that of the oracle
    as_json("test/edit_turns.json", turns)


def pie_bench(edits: list[Edit]) -> None:
    said = {}
    for e in edits:
        key = f"{int(e.image):09}{e.number:03}"
        path = f"0_random_140/{key}.png"
        said[key] = {
            "image_path": path,
            "original_prompt": "a [scene]",
            "editing_instruction": e.prompt,
            "mask": [0, 5, 9, 2],
        }
        put(e.source, f"data/annotation_images/{path}")
        for arm, file in (("ddim+p2p", e.edit), ("clean", e.control)):
            pictures = [
                np.asarray(Image.open(f).convert("RGB")) for f in (e.source, e.source, e.source, file)
            ]
            place = Path(f"output/{arm}/annotation_images/{path}")
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.concatenate(pictures, axis=1)).save(place)
    as_json("data/mapping_file.json", said)


def imagenhub(edits: list[Edit]) -> None:
    said = {}
    for e in edits:
        name = f"sample_{e.image}_{e.number}.jpg"
        said[name] = {"instruction": e.prompt, "target_local_caption": "a scene"}
        put(e.edit, f"results/protected/MagicBrush/{name}")
        put(e.control, f"results/clean/MagicBrush/{name}")
        put(e.source, f"results/clean/input/{name}")
        put(e.protected, f"results/protected/input/{name}")
    as_json("results/clean/dataset_lookup.json", said)


def hugging_face(edits: list[Edit]) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")

    def image(file: Path) -> dict[str, object]:
        return {"bytes": file.read_bytes(), "path": file.name}

    Path("data").mkdir()
    for shard in range(2):
        some = edits[shard::2]
        columns = {
            "original_image": [image(e.source) for e in some],
            "edited_image": [image(e.edit) for e in some],
            "clean_edit": [image(e.control) for e in some],
            "edit_prompt": [e.prompt for e in some],
            "turn": [e.number for e in some],
        }
        pq.write_table(pa.table(columns), f"data/test-0000{shard}-of-00002.parquet")


LAYOUTS: dict[str, Callable[[list[Edit]], None]] = {
    "DiffVax": diffvax,
    "FaceLock": facelock,
    "AdvPaint": advpaint,
    "DiffusionGuard": diffusionguard,
    "Diff-Protect": diff_protect,
    "PhotoGuard": photoguard,
    "ImgEdit": imgedit,
    "GEdit-Bench": gedit,
    "MagicBrush": magicbrush,
    "PIE-Bench": pie_bench,
    "ImagenHub": imagenhub,
    "Hugging Face data sets": hugging_face,
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for all: a picture that was judged in one layout is not judged again in the next."""
    return tmp_path_factory.mktemp("answers") / "isr.db"


def command(*words: str) -> str:
    done = CliRunner().invoke(cli, list(words))
    assert done.exit_code == 0, f"{done.output}\n{done.exception}"
    return done.stdout


def test_every_section_is_tested() -> None:
    assert list(recipes()) == list(LAYOUTS)


FILES_ANEW = {"PIE-Bench"}  # cropped pictures are files of their own, which the oracle judges anew


@pytest.mark.parametrize(
    "title", [pytest.param(t, marks=[pytest.mark.slow] if t in FILES_ANEW else []) for t in LAYOUTS]
)
def test_a_layout_comes_through_with_the_command_of_its_section(
    title: str, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    LAYOUTS[title](scenes())
    words = recipes()[title]
    assert words[:2] == ["isr", "init"]
    said = command(*words[1:])
    assert said.startswith("36 edits matched\n")
    assert "without" not in said
    judge = ("--judge", "shapes-oracle", "--store", str(store), "--no-report", "--quiet", "--json")
    result = json.loads(command("score", words[2], *judge))
    (treatment,) = result["treatments"]
    found = {name: treatment["estimates"][name] for name in ("isr", "uplift")}
    found["control"] = result["control"]["estimates"]["control"]
    assert {name: round(one["value"], 9) for name, one in found.items()} == {
        "isr": round(21 / 36, 9), "control": round(7 / 36, 9), "uplift": round(14 / 36, 9),
    }  # fmt: skip
    assert {(one["n"], one["clusters"]) for one in found.values()} == {(36, 12)}
