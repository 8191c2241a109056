"""Names that look like others: columns that are nearly ours, methods that differ by a capital, words that ``datasets`` knows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from isr.edits.metadata import DIGESTS, KNOWN
from isr.types import Edit, Treatment, Unit

SHOWN = 3  # examples that are named
OURS = KNOWN | {*DIGESTS.values(), "editor_checkpoint", "surrogate_checkpoint", "prompt_truncated"}
LONG = 5
"""Letters from which a name with one other letter is taken for ours: ``speed`` is not ``seed``."""
_GROUPS = (*Treatment._fields, *Unit._fields[2:], "split")
_DROPPED = str.maketrans("", "", "_- ")
_WORDS = "train|training|validation|valid|dev|val|test|testing|eval|evaluation"
_FOLDER = re.compile(rf"(?:.*[-._ 0-9])?(?:{_WORDS})(?:[-._ 0-9].*)?")
_FILE = re.compile(rf"(?:.*[-._ 0-9])?(?:{_WORDS})[-._ 0-9].*")


def look_alikes(edits: Sequence[Edit]) -> Iterator[str]:
    """A sentence for columns that are nearly ours, and one for each column of ours with values that differ by a capital."""
    unknown = sorted({column for edit in edits for column in edit.extra})
    near = [(name, known) for name in unknown if (known := nearest(name))]
    if near:
        some = ", ".join(f"{name!r} (for {known!r}?)" for name, known in near[:SHOWN])
        more = f" and {len(near) - SHOWN} more" if len(near) > SHOWN else ""
        yield (
            f"columns that are nearly ours and count as your own: {some}{more}; rename them if they are: a method, an image or "
            "a control edit that they name is not seen"
        )
    groups = Counter((*edit.treatment, *edit.unit[2:], edit.split) for edit in edits)
    for place, column in enumerate(_GROUPS):
        times: Counter[str] = Counter()
        for values, n in groups.items():
            times[values[place]] += n
        yield from _alike(column, times)


def _alike(column: str, times: Counter[str]) -> Iterator[str]:
    written: dict[str, list[str]] = {}
    for value in sorted(times):
        written.setdefault("".join(value.casefold().split()), []).append(value)
    several = [values for values in written.values() if len(values) > 1]
    if several:
        some = "; ".join(
            " and ".join(f"{v!r} ({times[v]} edits)" for v in values) for values in several[:SHOWN]
        )
        more = f"; and {len(several) - SHOWN} more" if len(several) > SHOWN else ""
        yield (
            f"{column}: names that differ by capitals and spaces alone count as different ones: {some}{more}; write them "
            "alike if they are one"
        )


def nearest(name: str) -> str | None:
    """The column of ours that a name is but for case, ``_``, ``-`` and spaces, or but for one letter; none for ours."""
    if name in OURS:
        return None
    bare = name.casefold().translate(_DROPPED)
    bares = {known.translate(_DROPPED): known for known in sorted(OURS)}
    if bare in bares:
        return bares[bare]
    return next((k for b, k in bares.items() if len(b) >= LONG and _one_letter(bare, b)), None)


def _one_letter(one: str, two: str) -> bool:
    """Whether one letter was left out, put in, changed, or swapped with the next."""
    start = next(
        (i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two))
    )
    first, second = one[start:], two[start:]
    swapped = first[:2] == second[:2][::-1] and first[2:] == second[2:]
    return swapped or first[1:] == second or first == second[1:] or first[1:] == second[1:]


def splits(paths: Iterable[str]) -> Iterator[str]:
    """A sentence where ``datasets`` takes a word in a path for the name of a split: it then loads only a part, or nothing."""
    found = sorted({path for path in paths if names_a_split(path)})
    if found:
        some = ", ".join(found[:SHOWN]) + (f" and {len(found) - SHOWN} more" if len(found) > SHOWN else "")
        yield (
            f"names that load_dataset takes for splits (train, test, val, dev, ...): {some}; isr reads the directory whole, "
            "load_dataset only a part of it, or nothing: rename them to load it there too"
        )


def names_a_split(path: str) -> bool:
    """Whether a folder's or the file's name has a word that ``datasets`` knows for a split, apart from the rest of it."""
    *folders, file = path.split("/")
    return any(map(_FOLDER.fullmatch, folders)) or _FILE.fullmatch(file) is not None
