"""The first step: every image at the working size and every prompt by its image, in the bench's own folder."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from isr.bench.material.dataset import unprintable
from isr.bench.study import ImagesPart
from isr.canonical import sha256_json
from isr.edits.prompt_tables import read_prompts
from isr.errors import InputError, Problem
from isr.files import file_digest
from isr.reading import read_json, why
from isr.spreadsheet import Writer
from sifm_ref.pictures import Resize, find_pictures, read_rgb, write_png, write_whole
from sifm_ref.units import Prompt, check_columns, meant_for, unmatched

FOLDER = "images"
RECORD = "images.json"
WRITTEN = "written_sha256"  # of an image at the working size; an earlier version kept none
SEEN = "seen"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One image of the study as it was found: its name, its file, its size there, the digest of its bytes."""

    image_id: str
    path: Path
    size: tuple[int, int]
    sha256: str


@dataclass(frozen=True, slots=True)
class Instruction:
    """One prompt of one image. ``columns``: the others of the table; ``split`` is among them."""

    image_id: str
    prompt: str
    prompt_id: str
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Material:
    """The images and prompts of a study. ``notes``: what a reader of the results must know of them."""

    images: tuple[Wanted, ...]
    prompts: tuple[Instruction, ...]
    notes: tuple[str, ...] = ()

    @property
    def seen(self) -> dict[str, str]:
        """The text that methods are given, by image."""
        return {name: p.prompt for name, p in _seen(self.prompts)}

    def given(self, column: str) -> dict[str, str]:
        """The text that methods are given, by image: of ``column`` of the seen prompt, or the prompt where it is empty."""
        self.require(column)
        return {name: p.columns.get(column) or p.prompt for name, p in _seen(self.prompts)}

    def require(self, column: str) -> None:
        """Raises ``InputError`` where no prompt has a text in ``column``; ``""``: the prompt itself."""
        if column and not any(p.columns.get(column) for p in self.prompts):
            there = ", ".join(sorted({c for p in self.prompts for c in p.columns}))
            raise InputError(
                f"prompts: expected a column {column}, which an editor or a method of the study is given; found {there}; "
                "add it to the table, or to images.dataset.texts"
            )

    def without(self, column: str) -> int:
        """How many prompts have no text in ``column``, so that the prompt itself is given."""
        return sum(not p.columns.get(column) for p in self.prompts) if column else 0

    @property
    def digest(self) -> str:
        return sha256_json([[[i.image_id, i.sha256] for i in self.images], [asdict(p) for p in self.prompts]])


def _seen(prompts: Sequence[Instruction]) -> Iterator[tuple[str, Instruction]]:
    split = any("split" in p.columns for p in prompts)
    given: set[str] = set()
    for p in prompts:
        if p.image_id not in given and (not split or p.columns.get("split") == SEEN):
            given.add(p.image_id)
            yield p.image_id, p


def find(folder: Path, prompts: Path, without: Path | None = None) -> Material:
    """What a folder and its table hold, but for what lies in ``without``. Raises ``InputError`` with everything that does not match."""
    images = tuple(
        Wanted(p.image_id, p.path, p.size, file_digest(p.path)) for p in find_pictures(folder, without)
    )
    rows = [
        Prompt(r.name, r.prompt, r.columns.get("prompt_id", ""), {k: v for k, v in r.columns.items() if k != "prompt_id"})
        for r in read_prompts(prompts)
    ]  # fmt: skip
    check_columns(rows)
    stems = {i.image_id: {i.image_id, i.path.stem} for i in images}
    problems = [*unmatched(rows, stems), *_unprintable(rows, prompts.name)]
    found: dict[tuple[str, str], Instruction] = {}
    for image_id, some in meant_for(rows, stems):
        for row in some:
            one = Instruction(image_id, row.text, row.id, dict(row.columns))
            if found.setdefault((image_id, row.id), one) != one:
                where = f"{prompts.name}: prompt {row.id} for {image_id}"
                problems.append(Problem(where, "prompt_id", "one text and one split", "two", "rename one"))
    material = Material(images, tuple(found.values()))
    problems += [
        Problem(f"{prompts.name}: {i}", "split", f"one prompt with split {SEEN!r}", "none", "add it: methods are given it")
        for i in stems
        if i not in material.seen and any(p.image_id == i for p in material.prompts)
    ]  # fmt: skip
    problems += _several(material.prompts, prompts.name)
    if problems:
        raise InputError("prompts and images: nothing was done", problems)
    return material


def _several(prompts: Sequence[Instruction], where: str) -> Iterator[Problem]:
    """Images with more than one prompt that methods could be given."""
    count = Counter(p.image_id for p in prompts if p.columns.get("split") == SEEN)
    for image_id, number in count.items():
        if number > 1:
            one = f"one prompt with split {SEEN!r}: methods are given it"
            yield Problem(f"{where}: {image_id}", "split", one, str(number), "give the others another split")


def _unprintable(rows: Sequence[Prompt], where: str) -> Iterator[Problem]:
    for row in rows:
        for column, text in {"prompt": row.text, "prompt_id": row.id, **row.columns}.items():
            if odd := unprintable(text):
                yield Problem(
                    f"{where}: {row.name}", column, "a text on one line", f"{odd} in it", "remove it"
                )


def prepare(material: Material, part: ImagesPart, out: Path, on_image: Callable[[str], None]) -> list[str]:
    """Writes ``out/*.png`` at the working size, ``prompts.csv`` and ``images.json``; what was added or left since.

    Raises ``InputError`` where an image, a prompt or the size is another than the one that the bench was begun with.
    """
    record = out / RECORD
    now = _said(material, part)
    before = _before(record) if record.is_file() else None
    said = _changes(before, now, record) if before else []
    size, there = Resize(part.resolution, part.resize), before["images"] if before else {}
    for image in material.images:
        target = out / f"{image.image_id}.png"
        known = image.image_id in there and target.is_file()
        found = file_digest(target) if known else ""
        if not known or found != there[image.image_id].get(WRITTEN, found):
            if known:
                said.append(f"{target.name} was another than was written, and is written again")
            found = write_png(target, size.apply(read_rgb(image.path), part.sides))
        now["images"][image.image_id][WRITTEN] = found
        on_image(image.image_id)
    write_whole(out / "prompts.csv", table(material.prompts).encode())
    write_whole(record, (json.dumps(now, indent=1, ensure_ascii=False) + "\n").encode())
    return said


def _before(record: Path) -> dict[str, Any]:
    """What a bench was begun with. Raises ``InputError`` where that cannot be read."""
    try:
        before = read_json(record)
        kinds = [before[kind] for kind in ("size", "images", "prompts")]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _no_record(record, why(error)) from error
    if not all(isinstance(v, dict) for v in (*kinds, *kinds[1].values(), *kinds[2].values())):
        raise _no_record(record, "other values")
    return dict(before)


def _no_record(record: Path, found: str) -> InputError:
    fix = f"restore it, or remove {record.parent}: its images are made anew from the study's"
    return InputError(f"{record}: expected the record of a bench's images; found {found}; {fix}")


def _said(material: Material, part: ImagesPart) -> dict[str, Any]:
    return {
        "schema": "isr.bench-images/1",
        "size": {"resolution": part.resolution, "resize": part.resize, "multiple": part.sides},
        "images": {i.image_id: {"file": i.path.name, "sha256": i.sha256} for i in material.images},
        "prompts": {
            f"{p.image_id}: {p.prompt_id}": {"prompt": p.prompt, **p.columns} for p in material.prompts
        },
    }


def _changes(before: Mapping[str, Any], now: Mapping[str, Any], record: Path) -> list[str]:
    """What was added and what was left out, in words. Raises ``InputError`` for what was changed."""
    problems = [
        Problem(
            f"images.{key}", "", repr(before["size"].get(key)), repr(now["size"][key]), "give a new --out"
        )
        for key in now["size"]
        if before["size"].get(key) != now["size"][key]
    ]
    said = []
    for kind in ("images", "prompts"):
        old, new = before[kind], now[kind]
        problems += [
            Problem(k, "", _brief(old[k]), _brief(new[k]), "give a new --out, or another name to what is new")
            for k in new
            if k in old and {**old[k], WRITTEN: ""} != {**new[k], WRITTEN: ""}
        ]
        added, gone = sorted(set(new) - set(old)), sorted(set(old) - set(new))
        said += [f"{len(added)} {kind} added"] if added else []
        said += [f"{len(gone)} {kind} left out"] if gone else []
    if problems:
        raise InputError(
            f"{record}: {len(problems)} thing(s) are others than when this bench was begun", problems
        )
    return said


def _brief(value: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} {str(v)[:60]}" for k, v in value.items())


def table(prompts: Sequence[Instruction], **same: str) -> str:
    """The prompts as the CSV that they are read from. ``same``: columns that are equal in all rows."""
    columns = sorted({*same, *(c for p in prompts for c in p.columns)})
    held = io.StringIO()
    writer = Writer(held)
    writer.writerow(["name", "prompt", "prompt_id", *columns])
    for p in prompts:
        writer.writerow(
            [p.image_id, p.prompt, p.prompt_id, *({**p.columns, **same}.get(c, "") for c in columns)]
        )
    return held.getvalue()
