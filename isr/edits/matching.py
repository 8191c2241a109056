"""What belongs together by the names of files alone: exact rules, and a refusal wherever two could apply."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from isr.edits.metadata import PATHS
from isr.edits.prompt_tables import SEPARATORS, Embedded, PromptRow
from isr.errors import MOST, InputError, Problem
from isr.types import Treatment, Unit

T = TypeVar("T")
SAMPLES = 3
TEMPLATES = (
    "say which part of a name is what with a template, e.g. --edits 'out/{image}_{prompt_id}-sifm.png'"
)


@dataclass(frozen=True, slots=True)
class Picture:
    """A file for one column: where it lies in the edit directory, and where it is to be had from."""

    place: str  # below the column's folder
    file: Path | None
    embedded: Embedded | None = None
    strip: bool = False  # of pictures, the last of which is meant; each of the shape of ``source``
    source: Picture | None = None

    def __str__(self) -> str:
        return str(self.file) if self.file is not None else f"{self.place} (in the table)"


Row = Mapping[str, str | Picture]


@dataclass(frozen=True)
class Match:
    """What belongs together, and what did not find its other half."""

    rows: tuple[Row, ...]
    unmatched: Mapping[str, tuple[str, ...]]

    def report(self) -> str:
        """What matched, how often each file was used, three rows, and the first ``MOST`` names that matched nothing."""
        lines = [f"{len(self.rows)} edits matched", *self._used(), *self._samples()]
        for what, names in self.unmatched.items():
            if names:
                lines.append(f"{what}: {len(names)}")
                lines += [f"  {name}" for name in names[:MOST]]
                lines += [f"  and {len(names) - MOST:,} more"] if len(names) > MOST else []
        return "\n".join(lines)

    def _used(self) -> Iterable[str]:
        for column in PATHS[1:]:
            times = Counter(str(row[column]) for row in self.rows if column in row)
            if times:
                least, most = min(times.values()), max(times.values())
                often = f"{least}" if least == most else f"{least} to {most}"
                yield f"{column}: {len(times)} file(s), each used {often} times".replace(
                    "used 1 times", "used once"
                )

    def _samples(self) -> Iterable[str]:
        step = max(1, len(self.rows) // SAMPLES)
        for row in self.rows[::step][:SAMPLES]:
            said = [f"{k}={v}" for k, v in row.items() if k != "file_name"]
            yield f"  {row['file_name']}: {', '.join(said)}"


def match(edits: Sequence[Path], prompts: Sequence[PromptRow], others: Mapping[str, Sequence[Path]]) -> Match:
    """Rows of an edit directory, by names. Raises ``InputError`` where two files, or two prompts, could be meant.

    Either all edits bear the names of their partners and all partners are used, or the name of a partner is the beginning
    of the edit's before a separator (``cat_3.png`` for ``cat_3-sifm.png``); prompts likewise, and by ``name`` + separator
    + ``prompt_id``. A control edit's name lacks the same ending in all edits: it is one prompt's.
    """
    of_prompt: dict[str, list[PromptRow]] = {}
    for prompt in prompts:
        for name in prompt.names:
            of_prompt.setdefault(unicodedata.normalize("NFC", name), []).append(prompt)
    by_stem = {column: {stem_of(f): [f] for f in files} for column, files in others.items()}
    problems: list[Problem] = []
    chosen = {
        column: _choose(edits, stems, _NAMES[column], lambda some: str(some[0]), problems)
        for column, stems in by_stem.items()
    }
    first = _choose(edits, of_prompt, "--prompts", lambda some: f"{some[0].name}: {some[0].prompt}", problems)
    problems += _endings(edits, chosen.get("control_file_name", {}))
    if problems:
        raise InputError("names that can be read in several ways; nothing was written", problems)
    rows: list[Row] = []
    bare: dict[str, list[str]] = {"edits without a prompt": [], "edits with several prompts": []}
    bare |= {f"edits without a file for {column}": [] for column in others}
    used_prompts: set[int] = set()
    for edit in edits:
        found = of_prompt[first[edit]] if edit in first else []
        if len(found) != 1:
            bare["edits without a prompt" if not found else "edits with several prompts"].append(str(edit))
            continue
        used_prompts.add(id(found[0]))
        row: dict[str, str | Picture] = {"file_name": Picture(edit.name, edit), "prompt": found[0].prompt}
        row |= found[0].columns
        for column, stems in by_stem.items():
            if edit in chosen[column]:
                (file,) = stems[chosen[column][edit]]
                row[column] = Picture(file.name, file)
            else:
                bare[f"edits without a file for {column}"].append(str(edit))
        rows.append(row)
    for column in by_stem:
        taken = {str(row[column]) for row in rows if column in row}
        bare[f"files for {column} without an edit"] = [str(f) for f in others[column] if str(f) not in taken]
    bare["prompts without an edit"] = [f"{p.name}: {p.prompt}" for p in prompts if id(p) not in used_prompts]
    return Match(tuple(rows), {k: tuple(v) for k, v in bare.items()})


def stem_of(path: Path) -> str:
    """A file's name without its ending, letters put together: macOS takes them apart."""
    return unicodedata.normalize("NFC", path.stem)


_NAMES = {column: f"--{column.split('_')[0]}" for column in PATHS[1:]}


def _choose(
    edits: Sequence[Path],
    names: Mapping[str, Sequence[T]],
    option: str,
    say: Callable[[Sequence[T]], str],
    problems: list[Problem],
) -> dict[Path, str]:
    """The partner's name for every edit that has one; where there are two, a problem names both."""
    hit = {id(one) for edit in edits for one in names.get(stem_of(edit), ())}
    if all(stem_of(edit) in names for edit in edits) and hit == {
        id(one) for some in names.values() for one in some
    }:
        return {edit: stem_of(edit) for edit in edits}
    chosen = {}
    for edit in edits:
        stem = stem_of(edit)
        found = [
            stem[:end]
            for end in range(len(stem), 0, -1)
            if (end == len(stem) or stem[end] in SEPARATORS) and stem[:end] in names
        ]
        if len(found) > 1:
            both = " and ".join(say(names[name]) for name in found[:2])
            problems.append(Problem(str(edit), option, "one that its name begins with", both, TEMPLATES))
        elif found:
            chosen[edit] = found[0]
    return chosen


def _endings(edits: Sequence[Path], controls: Mapping[Path, str]) -> list[Problem]:
    """Control edits whose names lack one ending in one edit and another in another: which prompt's are they?"""
    first: dict[str, Path] = {}
    for edit in edits:
        if edit in controls:
            first.setdefault(stem_of(edit)[len(controls[edit]) :], edit)
    if len(first) < 2:
        return []
    (one, edit), (two, other) = list(first.items())[:2]
    return [
        Problem(
            str(edit),
            "--control",
            "control edits named as their edits but for one ending",
            f"{controls[edit]} for {stem_of(edit)} ({one or 'no ending'}), and {controls[other]} for {stem_of(other)} "
            f"({two or 'no ending'}): is it another prompt's?",
            TEMPLATES,
        )
    ]


def cell_of(row: Mapping[str, object]) -> tuple[str, ...]:
    """What makes a row's unit and treatment, as far as names tell: no two rows may share it."""
    return (*unit_of(row), *(str(row.get(name) or "") for name in Treatment._fields))


def unit_of(row: Mapping[str, object]) -> tuple[str, ...]:
    """What makes a row's unit, as far as names tell: a control edit belongs to one."""
    image = row.get("image_id") or row.get("source_file_name") or row.get("image") or row.get("file_name")
    prompt = row.get("prompt_id") or row.get("prompt")
    return tuple(str(v or "") for v in (image, prompt, *(row.get(name) for name in Unit._fields[2:])))


def require_units(rows: Sequence[Row], columns: Mapping[str, str]) -> None:
    """Raises ``InputError`` where one control edit serves several units, or two edits are one unit and treatment."""
    cells: dict[tuple[str, ...], str] = {}
    controls: dict[str, tuple[tuple[str, ...], str]] = {}
    problems = []
    for bare in rows:
        row = {**bare, **columns}
        name = str(row["file_name"])
        first = cells.setdefault(cell_of(row), name)
        if first != name:
            problems.append(
                Problem(
                    name,
                    "",
                    "an image, prompt, seed or method of its own",
                    f"all the same as those of {first}",
                    "tell them apart by a place in the template, or make a directory of each and --column",
                )
            )
        control = str(row.get("control_file_name") or "")
        unit, edit = controls.setdefault(control, (unit_of(row), name)) if control else (unit_of(row), name)
        if unit != unit_of(row):
            problems.append(
                Problem(
                    control,
                    "--control",
                    "a control edit for each image, prompt, seed and purifier",
                    f"one for {edit} and {name}",
                    "name its places, e.g. {prompt_id} and {seed}, in --control too",
                )
            )
    if problems:
        raise InputError("files that cannot belong together; nothing was written", problems)


def apart(fitting: Mapping[str, Mapping[Path, int]]) -> dict[str, list[Path]]:
    """The files of each option, where one that fits two is of the one that says more of its name outright.

    ``fitting``: by option, how much each file's template says. Raises ``InputError`` where two say as much.
    """
    owner: dict[Path, tuple[int, str]] = {}
    problems = []
    for option, files in fitting.items():
        for file, said in files.items():
            before = owner.get(file)
            if before is not None and before[0] == said:
                both = f"{before[1]} and {option}"
                problems.append(Problem(str(file), option, "files of one kind", both, "narrow one of them"))
            if before is None or before[0] < said:
                owner[file] = (said, option)
    if problems:
        raise InputError("files that two options name; nothing was written", problems)
    return {option: [file for file in files if owner[file][1] == option] for option, files in fitting.items()}
