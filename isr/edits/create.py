"""Makes an edit directory from existing folders, matching files and prompts by name."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from isr.edits.metadata import KNOWN, NAMES, PATHS
from isr.errors import MOST, EditDirectoryError, InputError, Problem, UsageError
from isr.files import write_text
from isr.reading import MAX_FILE, Unreadable, csv_file

SEPARATORS = "_-. "
FOLDERS = {
    "file_name": "edits",
    "source_file_name": "sources",
    "control_file_name": "controls",
    "protected_file_name": "protected",
}


@dataclass(frozen=True, slots=True)
class PromptRow:
    """One line of the prompts' table: for the image or edit ``name``, and further columns."""

    name: str
    prompt: str
    columns: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        """Stems of edits that this prompt is for."""
        prompt_id = self.columns.get("prompt_id", "")
        return {f"{self.name}{s}{prompt_id}" for s in SEPARATORS} if prompt_id else {self.name}


@dataclass(frozen=True)
class Match:
    """What belongs together, and what did not find its other half."""

    rows: tuple[dict[str, str | Path], ...]
    unmatched: Mapping[str, tuple[str, ...]]

    def report(self) -> str:
        """What matched, and the first ``MOST`` names of each kind that did not."""
        lines = [f"{len(self.rows)} edits matched"]
        for what, names in self.unmatched.items():
            if names:
                lines.append(f"{what}: {len(names)}")
                lines += [f"  {name}" for name in names[:MOST]]
                lines += [f"  and {len(names) - MOST:,} more"] if len(names) > MOST else []
        return "\n".join(lines)


def read_prompts(path: Path) -> list[PromptRow]:
    """The prompts' table: columns ``name`` and ``prompt``; any other column goes into the metadata."""
    try:
        with csv_file(path, MAX_FILE) as file:
            table = list(csv.DictReader(file, strict=True))
    except Unreadable as error:
        raise InputError(
            f"{path}: expected a CSV with the columns name and prompt; found {error.found}"
        ) from error
    problems = [
        Problem(
            f"{path}:1", column, "no such column here", "one", "rename it: the files come from the patterns"
        )
        for column in PATHS
        if table and column in table[0]
    ]
    for number, row in enumerate(table, 2):
        if None in row:
            problems.append(
                Problem(f"{path}:{number}", "", "as many cells as columns", "more", "quote cells with commas")
            )
        for column in ("name", "prompt"):
            if not (row.get(column) or "").strip():
                problems.append(Problem(f"{path}:{number}", column, "a text", "none", "fill it in"))
    if problems or not table:
        raise InputError(
            f"{path}: {len(problems) or 'no'} row(s) " + ("lack a value" if problems else "in it"), problems
        )
    return [
        PromptRow(
            r["name"].strip(), r["prompt"], {k: v for k, v in r.items() if k not in ("name", "prompt") and v}
        )
        for r in table
    ]


def match(edits: Sequence[Path], prompts: Sequence[PromptRow], others: Mapping[str, Sequence[Path]]) -> Match:
    """Rows of an edit directory. A file belongs to an edit if it has the edit's stem, or the longest stem that
    the edit's stem begins with before a separator (``cat_3.png`` for ``cat_3-sifm.png``); prompts likewise, and
    by ``name`` + separator + ``prompt_id``."""
    by_stem = {column: {f.stem: f for f in files} for column, files in others.items()}
    prompt_of: dict[str, list[PromptRow]] = {}
    for prompt in prompts:
        for name in prompt.names:
            prompt_of.setdefault(name, []).append(prompt)
    rows: list[dict[str, str | Path]] = []
    used: dict[str, set[str]] = {column: set() for column in others}
    used_prompts: set[int] = set()
    bare: dict[str, list[str]] = {"edits without a prompt": [], "edits with several prompts": []}
    bare |= {f"edits without a file for {column}": [] for column in others}
    for edit in edits:
        found = prompt_of.get(_longest(edit.stem, prompt_of) or "", [])
        if len(found) != 1:
            bare["edits without a prompt" if not found else "edits with several prompts"].append(str(edit))
            continue
        used_prompts.add(id(found[0]))
        row: dict[str, str | Path] = {"file_name": edit, "prompt": found[0].prompt, **found[0].columns}
        for column, stems in by_stem.items():
            stem = _longest(edit.stem, stems)
            if stem is None:
                bare[f"edits without a file for {column}"].append(str(edit))
            else:
                row[column] = stems[stem]
                used[column].add(stem)
        rows.append(row)
    for column, stems in by_stem.items():
        bare[f"files for {column} without an edit"] = [
            str(f) for s, f in stems.items() if s not in used[column]
        ]
    bare["prompts without an edit"] = [f"{p.name}: {p.prompt}" for p in prompts if id(p) not in used_prompts]
    return Match(tuple(rows), {k: tuple(v) for k, v in bare.items()})


def _longest(stem: str, names: Iterable[str]) -> str | None:
    known = names if isinstance(names, dict) else set(names)
    if stem in known:
        return stem
    for end in range(len(stem) - 1, 0, -1):
        if stem[end] in SEPARATORS and stem[:end] in known:
            return stem[:end]
    return None


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
                f"{what} {pattern}: expected names that differ; found {stems[file.stem]} and {file}"
            )
        stems[file.stem] = file
    return files


def write_directory(target: Path, found: Match, columns: Mapping[str, str]) -> Path:
    """Copies the files into ``target`` and writes its ``metadata.jsonl``. Raises if it has metadata already."""
    present = [name for name in NAMES if (target / name).exists()]
    if present:
        raise EditDirectoryError(
            f"{target}: expected no edit directory there; found {present[0]}; choose another"
        )
    _refuse_overwriting(target, found)
    lines = []
    copied: set[Path] = set()
    for row in found.rows:
        out: dict[str, str] = {}
        for column in (*PATHS, *(c for c in row if c not in PATHS)):
            value = row.get(column)
            if isinstance(value, Path):
                relative = Path(FOLDERS[column]) / value.name
                if relative not in copied:
                    (target / relative.parent).mkdir(parents=True, exist_ok=True)
                    if not (target / relative).exists():
                        shutil.copyfile(value, target / relative)
                    copied.add(relative)
                out[column] = relative.as_posix()
            elif value:
                out[column] = value
        lines.append(json.dumps({**out, **columns}, ensure_ascii=False))
    file = target / "metadata.jsonl"
    write_text(file, "\n".join(lines) + "\n")
    return file


def _refuse_overwriting(target: Path, found: Match) -> None:
    """Raises if another file stands where one would be copied to; one that is there already may stay there."""
    there = []
    for row in found.rows:
        for column in PATHS:
            value = row.get(column)
            if isinstance(value, Path):
                copy = target / FOLDERS[column] / value.name
                if copy.exists() and not copy.samefile(value):
                    there.append(
                        Problem(str(copy), column, "no file there", "another file", "choose another folder")
                    )
    if there:
        raise EditDirectoryError(f"{target}: nothing was written", list(dict.fromkeys(there)))


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
