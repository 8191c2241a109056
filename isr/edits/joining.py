"""What belongs together by templates and a table: files whose columns agree, each found in one way or refused."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from isr.edits.matching import Match, Picture, Row, apart
from isr.edits.metadata import PATHS
from isr.edits.prompt_tables import Cell, Embedded, TableRow
from isr.edits.templates import Template
from isr.errors import InputError, Problem

OPTIONS = {
    "file_name": "--edits",
    "source_file_name": "--source",
    "control_file_name": "--control",
    "protected_file_name": "--protected",
}
Fields = Mapping[str, Cell]


@dataclass(frozen=True)
class Named:
    """A file, or a row of the table, and what one reading of it says."""

    what: str
    fields: Fields
    picture: Picture | None = None


@dataclass
class _Index:
    """Files of one kind, or the rows of a table, found by the columns that they share with an edit."""

    entries: Sequence[Named]
    by: dict[tuple[str, ...], dict[tuple[str, ...], list[Named]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.columns = {column for entry in self.entries for column in entry.fields}
        self.used: set[str] = set()

    def find(self, fields: Fields) -> list[Named]:
        """The entries that agree with ``fields`` in every column that both have."""
        shared = tuple(sorted(c for c in self.columns if c in fields))
        if shared not in self.by:
            self.by[shared] = {}
            for entry in self.entries:
                key = tuple(_said(entry.fields.get(c)) for c in shared)
                self.by[shared].setdefault(key, []).append(entry)
        return self.by[shared].get(tuple(_said(fields[c]) for c in shared), [])


def _said(value: Cell | None) -> str:
    text = value.name if isinstance(value, Embedded) else value or ""
    return unicodedata.normalize("NFC", text)


@dataclass(frozen=True)
class _Whole:
    """An edit with one choice of a row and of partners; ``missing``: what found none."""

    edit: Named
    row: Named | None
    partners: Mapping[str, Named]
    missing: tuple[str, ...]

    def is_other_than(self, other: _Whole) -> bool:
        """Whether the table has a row of its own for this reading of the name: then a missing file does not rule it out."""
        rows = {self.row.what if self.row else "", other.row.what if other.row else ""}
        return len(rows) > 1 and self.edit.fields != other.edit.fields

    def told(self, other: _Whole) -> str:
        """What this choice has that the other has not."""
        mine = [("read as", str(dict(self.edit.fields)), str(dict(other.edit.fields)))]
        mine.append(("with", self.row.what if self.row else "", other.row.what if other.row else ""))
        mine += [
            ("with", named.what, other.partners[c].what if c in other.partners else "")
            for c, named in self.partners.items()
        ]
        return ", ".join(f"{how} {text}" for how, text, its in mine if text != its)


def join(
    templates: Mapping[str, Sequence[Template]],
    table: Sequence[TableRow] | None,
    constants: Mapping[str, str],
) -> Match:
    """Rows of an edit directory from the files that fit ``templates`` (by column of a path) and the table's rows.

    A file belongs to an edit if both agree in every column that both have. Raises ``InputError`` where an edit can be
    read, or completed, in two ways: both are named.
    """
    named = _named(templates)
    rows = [Named(row.where, row.values) for row in table or ()]
    edits = named.pop("file_name", None)
    if edits is None:
        if not any("file_name" in row.fields for row in rows):
            raise InputError(
                "expected edits: name them with --edits, or give the table a column file_name (--map)"
            )
        edits = [[Named(row.what, row.fields)] for row in rows]
        rows = []
    spoken = dict(constants)
    index = _Index(rows) if rows else None
    partners = {
        column: _Index([one for readings in files for one in readings]) for column, files in named.items()
    }
    folders = {row.where: row.folder for row in table or ()}
    finished: list[Row] = []
    bare: dict[str, list[str]] = {"edits without a prompt": []}
    bare |= {f"edits without a file for {column}": [] for column in PATHS[1:]}
    problems: list[Problem] = []
    for readings in edits:
        choices = [whole for one in readings for whole in _completed(one, index, partners, spoken)]
        good = [c for c in choices if not c.missing] or choices
        good += [c for c in choices if good[0].missing != c.missing and c.is_other_than(good[0])]
        if len(good) > 1:
            problems.append(
                Problem(
                    good[0].edit.what,
                    "",
                    "one way to read and complete it",
                    f"{good[0].told(good[1])}; or {good[1].told(good[0])}",
                    "name more places, with one name for one thing in all templates and the table, or {place:d} for digits",
                )
            )
        elif not good:
            bare["edits without a prompt"].append(readings[0].what)
        else:
            _finish(good[0], spoken, folders, finished, bare)
            for column, one in good[0].partners.items():
                partners[column].used.add(one.what)
            if index and good[0].row:
                index.used.add(good[0].row.what)
    if problems:
        raise InputError("names that can be read in several ways; nothing was written", problems)
    for column, files in partners.items():
        left = dict.fromkeys(e.what for e in files.entries if e.what not in files.used)
        bare[f"files for {column} without an edit"] = list(left)
    bare["prompts without an edit"] = [r.what for r in rows if index and r.what not in index.used]
    return Match(tuple(finished), {k: tuple(v) for k, v in bare.items()})


def _completed(
    edit: Named, table: _Index | None, partners: Mapping[str, _Index], constants: Fields
) -> Iterator[_Whole]:
    """Every choice of a row and of partners for one reading of an edit; none where no row of the table fits."""
    rows = [None] if table is None else table.find(edit.fields)
    for row in _distinct(rows):
        fields = {**constants, **(row.fields if row else {}), **edit.fields}
        found = {column: index.find(fields) for column, index in partners.items()}
        there = [column for column, some in found.items() if some]
        missing = tuple(column for column in found if column not in there)
        for chosen in product(*(found[column] for column in there)):
            yield _Whole(edit, row, dict(zip(there, chosen, strict=True)), missing)


def _distinct(rows: Sequence[Named | None]) -> list[Named | None]:
    """Rows without those that say the same as one before."""
    out: list[Named | None] = []
    for row in rows:
        if row is None or not any(o is not None and o.fields == row.fields for o in out):
            out.append(row)
    return out


def _finish(
    whole: _Whole,
    constants: Mapping[str, str],
    folders: Mapping[str, Path],
    rows: list[Row],
    bare: Mapping[str, list[str]],
) -> None:
    """Adds the row of a completed edit, or says what it lacks."""
    protected = whole.partners.get("protected_file_name")
    fields: dict[str, Cell] = {
        **(protected.fields if protected else {}),
        **(whole.row.fields if whole.row else {}),
        **whole.edit.fields,
    }
    folder = folders.get(whole.row.what if whole.row else whole.edit.what, Path())
    for column in whole.missing:
        bare[f"edits without a file for {column}"].append(whole.edit.what)
    row: dict[str, str | Picture] = {}
    for column in PATHS:
        picture = whole.edit.picture if column == "file_name" else None
        if column in whole.partners:
            picture = whole.partners[column].picture
        elif column in fields and picture is None and column not in whole.missing:
            picture = _from_table(fields[column], folder)
            if picture is None:
                bare[f"edits without a file for {column}"].append(f"{whole.edit.what}: {fields[column]}")
        if picture is not None:
            row[column] = picture
    if "file_name" not in row:
        return
    if not str(fields.get("prompt", "")).strip():
        bare["edits without a prompt"].append(whole.edit.what)
        return
    said = {k: v for k, v in fields.items() if k not in PATHS and isinstance(v, str) and v}
    image = said.pop("image", "")
    if image and "source_file_name" not in row:
        said.setdefault("image_id", image)
    rows.append({**row, **{k: v for k, v in said.items() if k not in constants}})


def _from_table(cell: Cell, folder: Path) -> Picture | None:
    """The picture that a table names, from the table's folder, or holds; ``None`` where there is no such file."""
    if isinstance(cell, Embedded):
        return Picture(cell.name, None, cell)
    path = folder / cell
    inside = not Path(cell).is_absolute() and ".." not in Path(cell).parts
    return Picture(Path(cell).as_posix() if inside else path.name, path) if path.is_file() else None


def _named(templates: Mapping[str, Sequence[Template]]) -> dict[str, list[list[Named]]]:
    """The files of each column, each with all its readings. Raises ``InputError`` for a template that no file fits."""
    fitting: dict[str, dict[Path, int]] = {}
    readings: dict[str, dict[Path, list[Mapping[str, str]]]] = {}
    for column, some in templates.items():
        option = OPTIONS[column]
        fitting[option], readings[option] = {}, {}
        for one in some:
            there = {f: ways for f in one.files() if (ways := one.readings(f.as_posix()))}
            if not there:
                raise InputError(
                    f"{option} {one.text}: expected files that fit it; found none; check the template and quote it"
                )
            for file, ways in there.items():
                fitting[option][file] = max(one.literal, fitting[option].get(file, 0))
                readings[option].setdefault(file, []).extend(ways)
    owned = apart(fitting)
    out = {}
    for column, some in templates.items():
        option = OPTIONS[column]
        root = os.path.commonpath([os.path.abspath(t.folder or ".") for t in some])
        out[column] = [
            [
                Named(str(file), way, Picture(Path(os.path.relpath(file, root)).as_posix(), file))
                for way in readings[option][file]
            ]
            for file in owned[option]
        ]
        if not out[column]:
            raise InputError(
                f"{option}: expected files of its own; found only those of another option; narrow it"
            )
    return out
