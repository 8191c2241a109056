"""Several files of labels as one: sheets of several raters, exports of several servers, whose user 1 is not one person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from isr.errors import InputError, Problem, UsageError
from isr.people.declared import Columns, Words
from isr.people.labels import Labels, Scale
from isr.people.labels_file import read_labels
from isr.people.meeting import named, plain_number
from isr.people.sheet_key import key_of, meaning, unblinded


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How files of labels are read. ``prefixes``: by a file's path or name, what stands before its raters' names.

    ``key``: of blinded sheets; by default the one that lies beside them, or above.
    """

    scales: Mapping[str, Scale] = field(default_factory=dict)
    words: Words = field(default_factory=dict)
    columns: Columns = field(default_factory=dict)
    guideline: str = ""
    prefixes: Mapping[str, str] = field(default_factory=dict)
    key: Path | None = None


def load_labels(files: Path | Sequence[Path], reading: Reading | None = None) -> Labels:
    """The labels of one file or several; a file that is named twice counts once. Raises ``InputError``.

    A rater who is known by a number only, in several files, may be several people: each file then needs a prefix, which
    may be empty.
    """
    how, places = reading or Reading(), [files] if isinstance(files, Path) else files
    paths = [p for n, p in enumerate(places) if p.resolve() not in [q.resolve() for q in places[:n]]]
    given = dict(how.prefixes)
    prefixes = [given.pop(str(p), given.pop(p.name, None)) for p in paths]
    if given:
        raise UsageError(
            f"--rater-prefix: expected FILE=PREFIX of a file of --labels; found {named(sorted(given))}; correct the name"
        )
    found = []
    for path, prefix in zip(paths, prefixes, strict=True):
        key = key_of(path, how.key)
        words = meaning(how.words, key)
        one = read_labels(path, scales=how.scales, words=words, columns=how.columns, guideline=how.guideline)
        one = one if key is None else unblinded(one, key, path)
        rows = tuple(replace(r, rater=f"{prefix}{r.rater}") for r in one.rows) if prefix else one.rows
        found.append(replace(one, rows=rows))
    if len(found) == 1:
        return found[0]
    _check_numbers(paths, prefixes, found)
    _check_once(paths, found)
    rows = tuple(r for one in found for r in one.rows)
    return Labels(rows, dict(how.scales), tuple(dict.fromkeys(n for one in found for n in one.notes)))


def _check_numbers(paths: Sequence[Path], prefixes: Sequence[str | None], found: Sequence[Labels]) -> None:
    places: dict[str, list[int]] = {}
    for number, one in enumerate(found):
        for rater in one.raters:
            if rater.isdigit() and prefixes[number] is None:
                places.setdefault(rater, []).append(number)
    several = {r: at for r, at in places.items() if len(at) > 1}
    if several:
        rater, at = next(iter(sorted(several.items())))
        files = [paths[i].name for i in at]
        problem = Problem(
            f"rater {rater}", "rater", "one person", f"this number in {' and '.join(files)}, perhaps of two servers",
            f"say whose they are: --rater-prefix {files[0]}=lab1- --rater-prefix {files[1]}=lab2- "
            f"(or {files[0]}= and {files[1]}= if they are one person)",
        )  # fmt: skip
        raise InputError("raters known by numbers only", [problem])


def _check_once(paths: Sequence[Path], found: Sequence[Labels]) -> None:
    """One rater has one label of an edit; what stands in two files is told once for each pair of files."""
    seen: dict[tuple[str, ...], str] = {}
    twice: dict[tuple[str, str], list[str]] = {}
    for path, one in zip(paths, found, strict=True):
        for row in one.rows:
            key = (plain_number(row.edit_id), row.rater, row.arm, row.edit_sha256)
            if seen.setdefault(key, str(path)) != str(path):
                twice.setdefault((str(path), seen[key]), []).append(f"{row.rater} on {row.edit_id}")
    problems = [
        Problem(
            later, "rater", "one label per rater and edit", f"{len(rows)} also in {first}: {named(rows)}",
            "drop them from one file, or say whose they are: --rater-prefix FILE=PREFIX",
        )
        for (later, first), rows in twice.items()
    ]  # fmt: skip
    if problems:
        raise InputError("labels of several files", problems)


def parse_prefixes(given: Sequence[str]) -> dict[str, str]:
    """The prefixes of ``--rater-prefix FILE=PREFIX``. Raises ``UsageError``."""
    out: dict[str, str] = {}
    for text in given:
        file, equals, prefix = text.rpartition("=")
        if not equals or not file:
            raise UsageError(f"--rater-prefix: expected FILE=PREFIX; found {text!r}; such as: b.json=lab2-")
        out[file] = prefix
    return out
