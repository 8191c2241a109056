"""What pictures say against the roles and ids of their columns, on painted scenes whose truth is known."""

from __future__ import annotations

import html
import json
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from isr.cli import cli
from isr.edits import directory
from isr.edits.directory import load_edits
from isr.edits.pictures import MEANINGS, Level, level_of, look, shape
from isr.edits.scan import THUMB, Scanned
from isr.errors import EditDirectoryError
from isr.types import Edit, ImageRef, Treatment, Unit

SHAPES = Path(__file__).resolve().parents[2] / "examples" / "shapes"
SCENES, PROMPTS = 12, 3
Row = dict[str, Any]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 12 scenes of the example with their first 3 prompts: 36 edits, 36 control edits, and nothing to say."""
    root = tmp_path_factory.mktemp("pictures") / "base"
    rows = [json.loads(line) for line in (SHAPES / "metadata.jsonl").read_text("utf-8").splitlines()]
    images = list(dict.fromkeys(r["image_id"] for r in rows))[:SCENES]
    kept = [r for image in images for r in [r for r in rows if r["image_id"] == image][:PROMPTS]]
    for row in kept:
        row.pop("protected_file_name", None)
        for column in ("file_name", "source_file_name", "control_file_name"):
            target = root / row[column]
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(SHAPES / row[column], target)
    write(root, kept)
    return root


def rows_of(root: Path) -> list[Row]:
    return [json.loads(line) for line in (root / "metadata.jsonl").read_text("utf-8").splitlines()]


def write(root: Path, rows: list[Row]) -> None:
    (root / "metadata.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), "utf-8")


def changed(base: Path, tmp_path: Path, change: Callable[[Path, list[Row]], Any]) -> Path:
    root = tmp_path / "w"
    shutil.copytree(base, root)
    rows = rows_of(root)
    write(root, change(root, rows) or rows)
    return root


def isr(*args: object) -> Result:
    return CliRunner().invoke(cli, list(map(str, args)), catch_exceptions=False)


def with_protected(root: Path, rows: list[Row], paint: Callable[[Image.Image, int], Image.Image]) -> None:
    (root / "protected").mkdir()
    for n, row in enumerate(rows):
        with Image.open(root / row["source_file_name"]) as image:
            paint(image.convert("RGB"), n).save(root / f"protected/{n}.png")
        row["protected_file_name"] = f"protected/{n}.png"


def perturbed(image: Image.Image, n: int) -> Image.Image:
    noise = np.random.default_rng(n).integers(-8, 9, (image.height, image.width, 3))
    return Image.fromarray((np.asarray(image).astype(int) + noise).clip(0, 255).astype(np.uint8))


def copied(
    root: Path, rows: list[Row], column: str, make: Callable[[Image.Image], Image.Image], part: int = 1
) -> None:
    """Every part-th file of a column, made anew from itself."""
    done = set()
    for n, row in enumerate(rows):
        path = root / row[column]
        if n % part or path in done:
            continue
        done.add(path)
        with Image.open(path) as image:
            made = make(image.convert("RGB"))
        made.save(path)


def first_of_image(rows: list[Row], column: str) -> dict[str, str]:
    out: dict[str, str] = {}
    for row in rows:
        out.setdefault(row["image_id"], row[column])
    return out


def edit_is_source(root: Path, rows: list[Row]) -> list[Row]:
    return [{**r, "file_name": r["source_file_name"], "edit_id": str(n)} for n, r in enumerate(rows)]


def edit_shared(root: Path, rows: list[Row]) -> list[Row]:
    first = first_of_image(rows, "file_name")
    return [{**r, "file_name": first[r["image_id"]], "edit_id": str(n)} for n, r in enumerate(rows)]


def three_methods(root: Path, rows: list[Row]) -> list[Row]:
    return [{**r, "method": m, "edit_id": f"{m}{n}"} for m in "abc" for n, r in enumerate(rows)]


def control_shared(root: Path, rows: list[Row]) -> list[Row]:
    first = first_of_image(rows, "control_file_name")
    return [{**r, "control_file_name": first[r["image_id"]]} for r in rows]


def edit_is_protected(root: Path, rows: list[Row]) -> list[Row]:
    with_protected(root, rows, perturbed)
    return [{**r, "file_name": r["protected_file_name"], "edit_id": str(n)} for n, r in enumerate(rows)]


def columns_swapped(root: Path, rows: list[Row]) -> list[Row]:
    return [
        {**r, "file_name": r["control_file_name"], "control_file_name": r["file_name"], "edit_id": str(n)}
        for n, r in enumerate(rows)
    ]


def other_photo(root: Path, rows: list[Row]) -> None:
    sources = [r["source_file_name"] for r in rows]
    with_protected(
        root,
        rows,
        lambda image, n: (
            Image.open(root / sources[(n + PROMPTS) % len(sources)]).convert("RGB").resize(image.size)
        ),
    )


def reencoded(root: Path, rows: list[Row]) -> None:
    (root / "again").mkdir()
    for n, row in enumerate(rows):
        with Image.open(root / row["source_file_name"]) as image:
            image.convert("RGB").save(root / f"again/{n}.jpg", quality=95 - 5 * (n % PROMPTS))
        row["source_file_name"] = f"again/{n}.jpg"
        del row["image_id"]


def transparent(root: Path, rows: list[Row]) -> None:
    for path in {root / r["source_file_name"] for r in rows}:
        with Image.open(path) as image:
            clear = image.convert("RGBA")
        clear.paste((0, 0, 0, 0), (0, 0, clear.width // 3, clear.height))
        clear.save(path)


WRONG: dict[str, tuple[str, Callable[[Path, list[Row]], Any]]] = {
    "edit is the source": ("edit-is-source", edit_is_source),
    "edit is the protected image": ("edit-is-protected", edit_is_protected),
    "edit and control edit in each other's column": ("arms-swapped", columns_swapped),
    "source in a folder of protected images": ("source-is-protected", lambda root, rows: moved(root, rows, "source_file_name", "adv")),
    "one edit for all prompts": ("edit-shared", edit_shared),
    "the same files for three methods": ("edit-in-treatments", three_methods),
    "control is the edit": ("control-is-edit", lambda _, rows: [{**r, "control_file_name": r["file_name"]} for r in rows]),
    "control is the source": ("control-is-source", lambda _, rows: [{**r, "control_file_name": r["source_file_name"]} for r in rows]),
    "control of another prompt": ("control-shared", control_shared),
    "protected is the source": ("protected-is-source", lambda root, rows: with_protected(root, rows, lambda image, n: image)),
    "protected of another photo": ("protected-of-another", other_photo),
    "an id for every edit": ("image-ids", lambda _, rows: [{**r, "image_id": f"e{n}"} for n, r in enumerate(rows)]),
    "one id for all": ("sources-of-one-id", lambda _, rows: [{**r, "image_id": "animal", "prompt_id": f"p{n}"} for n, r in enumerate(rows)]),
    "a source saved again for every edit": ("sources-alike", reencoded),
    "a strip of four": ("edit-shape", lambda root, rows: copied(root, rows, "file_name", lambda i: i.resize((4 * i.width, i.height)))),
    "a squashed edit": ("edit-shape", lambda root, rows: copied(root, rows, "file_name", lambda i: i.resize((i.width, i.height * 2 // 3)))),
    "all black": ("edit-one-colour", lambda root, rows: copied(root, rows, "file_name", lambda i: Image.new("RGB", i.size))),
}  # fmt: skip


def test_nothing_is_said_of_the_base(base: Path) -> None:
    assert load_edits(base).findings == ()


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "change"), WRONG.values(), ids=WRONG)
def test_what_can_never_be_meant_is_refused_by_every_command_unless_it_is_accepted(
    base: Path,
    tmp_path: Path,
    kind: str,
    change: Callable[[Path, list[Row]], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    root = changed(base, tmp_path, change)
    kinds = {f.kind for f in load_edits(root).findings if f.level is Level.REFUSAL}
    assert kind in kinds
    for command in (("validate", root), ("score", root, "--judge", "shapes-oracle", "--quiet")):
        with pytest.raises(EditDirectoryError, match=f"--accept {kind}") as caught:
            isr(*command)
        assert "metadata.jsonl:1" in str(caught.value)
    accepted = [word for k in sorted(kinds) for word in ("--accept", k)]
    assert "accepted: " in isr("validate", root, *accepted).output
    done = isr("score", root, "--judge", "shapes-oracle", "--quiet", *accepted)
    assert "WARNING: accepted: " in done.output
    assert MEANINGS[kind] in done.output
    (run,) = (tmp_path / "w.isr" / "runs").iterdir()
    result = json.loads((run / "result.json").read_text("utf-8"))
    assert {p["kind"] for p in result["pictures"] if p["level"] == "refusal"} == kinds
    assert f"|accepted={','.join(sorted(kinds))}" in result["signature"]
    assert MEANINGS[kind].split(":")[0] in html.unescape((run / "report.html").read_text("utf-8"))


def test_a_fifth_is_a_warning_and_a_few_are_a_note(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """9 of 36 black squares of a safety checker; then 2."""
    monkeypatch.chdir(tmp_path)
    for part, level, where in ((4, "warning", "WARNING: 9 of 36 edits"), (18, "note", "note: 2 of 36 edits")):
        shutil.rmtree(tmp_path / "w", ignore_errors=True)
        root = changed(
            base,
            tmp_path,
            lambda r, rows, part=part: copied(r, rows, "file_name", lambda i: Image.new("RGB", i.size), part),
        )  # type: ignore[misc]
        (found,) = load_edits(root).findings
        assert (found.kind, found.level, found.n, found.of) == ("edit-one-colour", level, 36 // part, 36)
        assert found.examples[0] == "metadata.jsonl:1"
        done = isr("score", root, "--judge", "shapes-oracle", "--quiet")
        assert done.exit_code == 0
        assert where in done.output
        assert f"{level}: " in isr("validate", root).output
    compared = " ".join(isr("compare", *(tmp_path / "w.isr" / "runs").iterdir()).output.split())
    assert compared.count("warning: 9 of 36 edits") == 1  # a comparison inherits what warns of its runs
    assert "2 of 36 edits" not in compared
    assert " ".join(isr("runs", root).output.split()).count("1 warning(s) about") == 1


def test_transparent_sources_are_told_and_never_refused(base: Path, tmp_path: Path) -> None:
    found = load_edits(changed(base, tmp_path, transparent)).findings
    assert [(f.kind, f.level, f.n) for f in found] == [("transparent-source", "warning", 36)]


def test_a_picture_that_is_an_edit_first_is_compared_as_a_source_later(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chain of edits, read one row at a time: the edit of one row is the source, and protected image, of the next."""
    monkeypatch.setattr(directory, "CHUNK", 1)

    def chain(root: Path, rows: list[Row]) -> list[Row]:
        first, second = rows[0], rows[1]
        (root / "q.png").write_bytes((root / first["file_name"]).read_bytes())
        chained = {"source_file_name": first["file_name"], "protected_file_name": "q.png", "image_id": "next"}
        return [first, {**second, **chained}]

    found = load_edits(changed(base, tmp_path, chain))
    assert [(f.kind, f.n, f.of) for f in found.findings] == [("protected-is-source", 1, 1)]


def test_low_16_bit_samples_are_no_picture(base: Path, tmp_path: Path) -> None:
    def low(root: Path, rows: list[Row]) -> None:
        Image.fromarray(np.full((64, 64), 200, np.uint16)).save(root / rows[0]["source_file_name"])

    with pytest.raises(EditDirectoryError, match="none is above 200: all black"):
        load_edits(changed(base, tmp_path, low))


def moved(root: Path, rows: list[Row], column: str, folder: str) -> list[Row]:
    (root / folder).mkdir()
    for path in {r[column] for r in rows}:
        (root / path).rename(root / folder / Path(path).name)
    return [{**r, column: f"{folder}/{Path(r[column]).name}"} for r in rows]


@pytest.mark.parametrize(
    ("edited", "control", "kinds"),
    [
        ("edits", "controls", []),
        ("adv", "clean", []),
        ("edits/clean_prompts", "controls/clean_prompts", []),
        ("clean/edits", "adv/edits", ["arms-swapped"]),
        ("controls", "edits", ["arms-swapped"]),
        ("control", "out", ["arms-swapped"]),
        ("out/controlnet", "controls", []),
        ("out/orig", "out/other", []),
    ],
)
def test_names_of_files_that_contradict_their_columns(
    base: Path, tmp_path: Path, edited: str, control: str, kinds: list[str]
) -> None:
    def named(root: Path, rows: list[Row]) -> list[Row]:
        for column, folder in (("file_name", f"w/{edited}"), ("control_file_name", f"w/{control}")):
            (root / folder).mkdir(parents=True)
            for row in rows:
                shutil.copy(root / row[column], root / folder / Path(row[column]).name)
        return [
            {**r, "file_name": f"w/{edited}/{Path(r['file_name']).name}", "control_file_name": f"w/{control}/{Path(r['control_file_name']).name}"}
            for r in rows
        ]  # fmt: skip

    found = load_edits(changed(base, tmp_path, named)).findings
    assert [f.kind for f in found] == kinds


def test_perturbed_images_look_like_their_sources(base: Path, tmp_path: Path) -> None:
    root = changed(base, tmp_path, lambda root, rows: with_protected(root, rows, perturbed))
    assert load_edits(root).findings == ()


def test_a_baseline_that_protects_nothing_may_say_so(base: Path, tmp_path: Path) -> None:
    """Its edit is the control edit, and its protected image the source, by its name."""

    def none(root: Path, rows: list[Row]) -> list[Row]:
        bare = [
            {**r, "method": "none", "file_name": r["control_file_name"], "edit_id": f"n{n}", "protected_file_name": r["source_file_name"]}
            for n, r in enumerate(rows)
        ]  # fmt: skip
        return [*rows, *bare]

    assert load_edits(changed(base, tmp_path, none)).findings == ()


@pytest.mark.parametrize(
    ("n", "of", "level"),
    [(1, 1, "warning"), (2, 2, "warning"), (3, 3, "refusal"), (36, 36, "refusal"), (35, 36, "warning"), (8, 36, "warning"), (7, 36, "note")],
)  # fmt: skip
def test_levels(n: int, of: int, level: str) -> None:
    assert level_of(n, of) == level


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ((512, 512, 512, 512), ""),
        ((512, 512, 1024, 1024), ""),
        ((680, 448, 683, 450), ""),  # rounded
        ((2048, 512, 512, 512), "as wide as 4"),
        ((512, 1536, 512, 512), "as high as 3"),
        ((480, 640, 640, 480), "turned by 90 degrees"),
        ((512, 512, 768, 512), "512 x 512 beside 768 x 512"),
    ],
)
def test_shapes(sizes: tuple[int, int, int, int], words: str) -> None:
    assert shape(*sizes).startswith(words)
    assert bool(shape(*sizes)) is bool(words)


def honest(seed: int) -> tuple[list[Edit], dict[str, Scanned]]:
    """A directory as an honest study has it: photographs of several shapes, methods, prompts; an editor that
    returns its input in one unit of twenty, in both arms alike; and sizes that it rounds to multiples of 8.

    Drawn are: 4 to 30 images of 4 shapes, 1 to 5 prompts, 1 or 2 methods, one seed, every path neutral, every thumbnail
    noise about its source's. Not drawn: black squares, transparency, a baseline that protects nothing.
    """
    draw = random.Random(seed)
    rng = np.random.default_rng(seed)
    scanned: dict[str, Scanned] = {}

    def picture(name: str, size: tuple[int, int], thumb: np.ndarray) -> ImageRef:
        digest = f"sha256:{name:0>64}"[:71]
        scanned[name] = Scanned(
            sha256=digest,
            pixels=digest,
            width=size[0],
            height=size[1],
            thumb=thumb.clip(0, 255).astype(np.uint8).tobytes(),
        )
        return ImageRef(name, digest)

    edits = []
    images, prompts, methods = draw.randint(4, 30), draw.randint(1, 5), draw.randint(1, 2)
    cells = [(i, p) for i in range(images) for p in range(prompts)]
    idle_in = set(draw.sample(cells, len(cells) // 20))
    for i in range(images):
        size = draw.choice([(512, 512), (768, 512), (640, 427), (431, 640)])
        made = (size[0] // 8 * 8, size[1] // 8 * 8)  # editors round to multiples
        look_ = rng.normal(128, 50, THUMB * THUMB)
        source = picture(f"s{i}", size, look_)
        for p in range(prompts):
            idle = (i, p) in idle_in
            control = source if idle else picture(f"c{i}-{p}", made, look_ + rng.normal(0, 30, THUMB * THUMB))
            for method in ("sifm", "photoguard")[:methods]:
                protected = picture(f"p{i}-{method}", size, look_ + rng.normal(0, 1, THUMB * THUMB))
                edited = (
                    protected
                    if idle
                    else picture(f"e{i}-{p}-{method}", made, look_ + rng.normal(0, 40, THUMB * THUMB))
                )
                edits.append(
                    Edit(
                        edit_id=f"{i}-{p}-{method}",
                        prompt=f"prompt {p}",
                        unit=Unit(f"i{i}", f"p{p}", "e", "", ""),
                        treatment=Treatment(method, "", "0.03", ""),
                        edited=edited,
                        source=source,
                        control=control,
                        protected=protected,
                    )
                )
    return edits, scanned


@pytest.mark.parametrize("block", range(10))
def test_honest_directories_raise_nothing_but_notes(block: int) -> None:
    for seed in range(50 * block, 50 * block + 50):
        edits, scanned = honest(seed)
        found = look(edits, scanned, {})
        assert [f.text for f in found if f.level is not Level.NOTE] == []


def test_what_was_found_is_known_until_a_picture_or_a_row_changes(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isr.files.SETTLED_NS", 0)  # also files that were written just now are kept
    looks = []
    monkeypatch.setattr(directory, "look", lambda *args: (looks.append(args), look(*args))[1])
    root = changed(
        base, tmp_path, lambda r, rows: copied(r, rows, "file_name", lambda i: Image.new("RGB", i.size), 18)
    )
    cache = tmp_path / "cache.db"
    first = load_edits(root, cache=cache).findings
    assert load_edits(root, cache=cache).findings == first
    assert [(f.kind, f.n) for f in first] == [("edit-one-colour", 2)]
    assert len(looks) == 1
    rows = rows_of(root)
    Image.new("RGB", (96, 72)).save(root / rows[1]["file_name"])
    assert load_edits(root, cache=cache).findings[0].n == 3
    write(root, rows[1:])
    assert load_edits(root, cache=cache).findings[0].n == 2
    assert len(looks) == 3
    with sqlite3.connect(cache) as kept:
        kept.execute("UPDATE found SET body = '[{}]'")
    assert load_edits(root, cache=cache).findings[0].n == 2
    assert len(looks) == 4
