"""Writes an edit directory from what was matched, or adds to one: whole, or not at all."""

from __future__ import annotations

import filecmp
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from isr.edits.crop import last_part
from isr.edits.matching import Match, Picture, Row, cell_of
from isr.edits.metadata import KNOWN, NAMES, PATHS, read_rows
from isr.errors import EditDirectoryError, Problem, UsageError
from isr.files import put_bytes, write_text
from isr.image_file import ImageProblem, open_image, read_file
from isr.reading import read_text

FOLDERS = {
    "file_name": "edits",
    "source_file_name": "sources",
    "control_file_name": "controls",
    "protected_file_name": "protected",
}
_CROPPED = ("file_name", "control_file_name")  # what the editor wrote
_MADE = ("file_name", "protected_file_name")  # of one treatment alone


def expand(pattern: str, what: str) -> list[Path]:
    """The files that a pattern names, in order of name. Raises ``UsageError`` if there are none."""
    import glob

    files = sorted(Path(p) for p in glob.glob(pattern, recursive=True) if Path(p).is_file())
    if not files:
        raise UsageError(f"{what} {pattern}: expected files; found none; check the pattern and quote it")
    stems: dict[str, Path] = {}
    for file in files:
        if file.stem in stems:
            raise UsageError(
                f"{what} {pattern}: expected names that differ; found {stems[file.stem]} and {file}; for files of one "
                "name in several folders say which folder is what: a template such as 'out/seed{seed}/{image}.png'"
            )
        stems[file.stem] = file
    return files


def write_directory(
    target: Path, found: Match, columns: Mapping[str, str], *, add: bool = False, crop: bool = False
) -> Path:
    """The metadata file of ``target``, into which the files are copied before it is written or, to ``add``, extended.

    ``crop``: of edits and control edits that are strips of pictures the last is kept. Raises
    ``EditDirectoryError`` where metadata, or other files, are there already; what was copied is removed again.
    """
    file = target / "metadata.jsonl"
    before = _before(target, add)
    matched = [_strips(row) if crop else row for row in found.rows]
    places = _places(target, matched, columns, before if add else None)
    rows = [_row(row, columns, places) for row in matched]
    _require_new(before, rows)
    with _undone_on_failure() as made:
        problems = [
            Problem(str(picture), column, p.expected, p.found, p.fix)
            for (column, picture), relative in places.items()
            if (p := _put(target, relative, picture, made)) is not None
        ]
        if problems:
            raise EditDirectoryError("nothing was written", problems)
        old = read_text(file) if add else ""
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        write_text(file, old + ("\n" if old and not old.endswith("\n") else "") + "\n".join(lines) + "\n")
    return file


def _before(target: Path, add: bool) -> list[Mapping[str, str]]:
    """The rows to which others are added."""
    present = [name for name in NAMES if (target / name).exists()]
    if not add:
        if present:
            raise EditDirectoryError(
                f"{target}: expected no edit directory there; found {present[0]}; choose another, or pass --add"
            )
        return []
    if present != ["metadata.jsonl"]:
        raise EditDirectoryError(
            f"{target}: expected an edit directory with a metadata.jsonl to add to; found {' and '.join(present) or 'none'}; "
            "make one without --add, or write its rows as JSON lines"
        )
    return [row.values for row in read_rows(target / "metadata.jsonl")]


def _strips(row: Row) -> Row:
    """A row whose edits are strips of pictures of its source's shape."""
    source = row.get("source_file_name")
    shape = source if isinstance(source, Picture) else None
    strips = {
        column: replace(picture, place=str(Path(picture.place).with_suffix(".png")), strip=True, source=shape)
        for column, picture in row.items()
        if column in _CROPPED and isinstance(picture, Picture)
    }
    return {**row, **strips}


def _row(row: Row, columns: Mapping[str, str], places: Mapping[tuple[str, Picture], Path]) -> dict[str, str]:
    out: dict[str, str] = {}
    for column in (*PATHS, *(c for c in row if c not in PATHS)):
        value = row.get(column)
        if isinstance(value, Picture):
            out[column] = places[column, value].as_posix()
        elif value:
            out[column] = value
    return {**out, **columns}


def _require_new(before: Sequence[Mapping[str, str]], rows: Sequence[Row]) -> None:
    """Raises if a row to be added is there already, by its file or by its unit and treatment."""
    names = {row.get("file_name", ""): row.get("file_name", "") for row in before}
    cells = {cell_of(row): row.get("file_name", "") for row in before}
    problems = []
    for row in rows:
        first = names.get(str(row["file_name"])) or cells.get(cell_of(row))
        if first:
            problems.append(
                Problem(
                    str(row["file_name"]),
                    "",
                    "an edit of its own",
                    f"{first}, which is in the directory already with this image, prompt, seed and method",
                    "name the new method: --column method=NAME, or {method} in a template",
                )
            )
    if problems:
        raise EditDirectoryError("nothing was added", problems)


def _places(
    target: Path, rows: Sequence[Row], columns: Mapping[str, str], before: Sequence[Mapping[str, str]] | None
) -> dict[tuple[str, Picture], Path]:
    """Where each picture goes, below ``target``. Raises if another file stands there; one of the same bytes stays.

    To a directory with the rows ``before``, edits and protected pictures go into a folder of their method where names collide.
    """
    taken = {row.get("file_name") for row in before or ()}  # an edit's file is its id
    places: dict[tuple[str, Picture], Path] = {}
    owners: dict[Path, Picture] = {}
    there: list[Problem] = []
    for row in rows:
        method = re.sub(r"[^\w.-]+", "-", str(columns.get("method") or row.get("method") or "")).strip("-.")
        for column in PATHS:
            picture = row.get(column)
            if not isinstance(picture, Picture) or (column, picture) in places:
                continue
            folders = [Path(FOLDERS[column])]
            if before is not None and column in _MADE and method:
                folders.append(folders[0] / method)
            tried = [folder / picture.place for folder in folders]
            open_ = [p for p in tried if column != "file_name" or p.as_posix() not in taken]
            free = [p for p in open_ if _is_free(target / p, picture, owners.get(p))]
            places[column, picture] = (free or tried)[0]
            owners.setdefault((free or tried)[0], picture)
            if not free:
                found = f"another file, and {picture} was to be copied there"
                there.append(
                    Problem(str(target / tried[0]), column, "no file there", found, "choose another folder")
                )
    if there:
        raise EditDirectoryError(f"{target}: nothing was written", list(dict.fromkeys(there)))
    return places


def _is_free(path: Path, picture: Picture, owner: Picture | None) -> bool:
    """Whether a picture can stand at a path: nothing else is there, or is to be."""
    if owner is not None:
        return owner == picture or _bytes_of(owner) == _bytes_of(picture)
    if not path.exists():
        return True
    if picture.file is not None and not picture.strip:
        return path.samefile(picture.file) or filecmp.cmp(path, picture.file, shallow=False)
    return read_file(path) == _bytes_of(picture)


def _bytes_of(picture: Picture) -> bytes:
    """A picture's file as it is to be written."""
    if picture.embedded is not None:
        data = picture.embedded.data
    else:
        data = read_file(picture.file) if picture.file is not None else b""
    if not picture.strip:
        return data
    return last_part(data, _bytes_of(picture.source) if picture.source else None, str(picture))


def _put(target: Path, relative: Path, picture: Picture, made: list[Path]) -> ImageProblem | None:
    """Copies a picture, whole or not at all, and notes what it made; one that is there already stays.

    What begins as no image is not copied, whatever it is called: a table, or a link in a folder that somebody else
    made, may name any file of this machine, and the directory is for others.
    """
    path = target / relative
    if path.exists():
        return None
    try:
        data = _bytes_of(picture)
        open_image(data)
    except ImageProblem as problem:
        return problem
    missing = [f for f in (path.parent, *path.parent.parents) if not f.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    made += reversed(missing)
    put_bytes(path, data)
    made.append(path)
    return None


@contextmanager
def _undone_on_failure() -> Iterator[list[Path]]:
    """What was made, in order; where the block fails it is removed, and nothing that stood there before."""
    made: list[Path] = []
    try:
        yield made
    except BaseException:
        for path in reversed(made):
            with suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
        raise


def parse_columns(texts: Sequence[str]) -> dict[str, str]:
    """``name=value`` pairs of known columns, or of one's own."""
    out: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name or name in PATHS or name == "prompt":
            known = ", ".join(sorted(KNOWN - {*PATHS, "prompt"}))
            raise UsageError(
                f"--column {text}: expected name=value, e.g. method=sifm (known columns: {known})"
            )
        out[name] = value
    return out
