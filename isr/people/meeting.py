"""Labels meet edits by ``edit_id``; what meets nothing is counted and named, and never lost without a word."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

from isr.errors import InputError, Problem
from isr.people.labels import Labels

NAMED = 5
"""Ids that a message names."""
_WHOLE = re.compile(r"(-?\d+)\.0+\Z")
_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")


def plain_number(text: str) -> str:
    """The text, and of a whole number the same text whatever wrote it: ``7`` of ``7.0``.

    >>> plain_number("7.0"), plain_number("7"), plain_number("1.5"), plain_number("v1.0")
    ('7', '7', '1.5', 'v1.0')
    """
    found = _WHOLE.match(text)
    return found[1] if found else text


def meet(labels: Labels, known: Collection[str]) -> Labels:
    """The labels with each ``edit_id`` spelled as in ``known``, where 7 and 7.0 are one id.

    Raises ``InputError`` where two known ids are one in this sense and a label is neither, and where one rater then
    has two labels of an edit.
    """
    ids, spelled = set(known), dict[str, list[str]]()
    for one in sorted(ids):
        spelled.setdefault(plain_number(one), []).append(one)
    renamed: dict[str, str] = {}
    problems: list[Problem] = []
    for edit in labels.edits:
        others = [] if edit in ids else spelled.get(plain_number(edit), [])
        if len(others) > 1:
            found = " and ".join(map(repr, others))
            problems.append(
                Problem(repr(edit), "edit_id", "one edit of that id", found, "write it as the run does")
            )
        elif others:
            renamed[edit] = others[0]
    if renamed:
        rows = tuple(replace(r, edit_id=renamed.get(r.edit_id, r.edit_id)) for r in labels.rows)
        labels = replace(labels, rows=rows)
        problems += _twice(labels)
    if problems:
        raise InputError("labels and edits do not meet", problems)
    return labels


def _twice(labels: Labels) -> Iterator[Problem]:
    seen: set[tuple[str, ...]] = set()
    for row in labels.rows:
        key = (row.edit_id, row.rater, row.arm, row.edit_sha256)
        if key in seen:
            found = f"two, of one edit under two spellings ({row.edit_id!r})"
            yield Problem(row.rater, "rater", "one label per rater and edit", found, "drop one of them")
        seen.add(key)


def unmet(labels: Labels, known: Collection[str]) -> list[str]:
    """The labelled edits that are not among ``known``, in order."""
    return sorted(set(labels.edits) - set(known))


def named(ids: Sequence[str], most: int = NAMED) -> str:
    """The first few ids, for a message."""
    return ", ".join(ids[:most]) + (", ..." if len(ids) > most else "")


def unmet_told(lost: Sequence[str], labels: Labels, known: Iterable[str]) -> str:
    """That labelled edits met nothing: how many, five of them, and what may have become of their ids."""
    text = f"{len(lost)} of {len(labels.edits)} labelled edits are none of the judged ones: {named(lost)}"
    stripped: dict[str, list[str]] = {}
    for one in sorted(known):
        stripped.setdefault(_ZEROS.sub("", one), []).append(one)
    eaten = [(e, o[0]) for e in lost if len(o := stripped.get(_ZEROS.sub("", e), [])) == 1]
    if eaten:
        short, whole = eaten[0]
        text += f" (did a spreadsheet eat leading zeros? {len(eaten)} of them would meet an edit, as {short!r} would {whole!r})"
    return text
