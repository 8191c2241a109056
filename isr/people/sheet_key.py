"""The key of blinded sheets: which edit each opaque name stands for. Raters never get it; their labels are read through it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from isr.errors import InputError, Problem
from isr.files import write_text
from isr.people.declared import Words, parse_words
from isr.people.labels import SHA256, Label, Labels
from isr.people.meeting import named
from isr.reading import MAX_TABLE, Unreadable, read_bytes, read_json

NAME = "key-do-not-give-to-raters.json"
SCHEMA = "isr.key/1"
MEANING = "semantic: Yes=fine, No=fails; perceptual: Yes=fails, No=fine"
"""What the raters' answers to the two questions of a sheet mean, as on the labelling page."""
_OPAQUE = re.compile(rb"rated-[0-9a-f]{20}")
_TEXTS = ("edit_id", "edit_sha256", "image_id", "stratum", "plan", "guideline")
_SHOWN = ("before", "after", "prompt", "source", "edit")  # what a rater saw: no column of an edit


@dataclass(frozen=True, kw_only=True)
class Key:
    """``edits``: opaque name -> the label that it stands for, without a rater and without answers."""

    path: Path
    edits: Mapping[str, Label]

    @property
    def words(self) -> Words:
        return parse_words([MEANING])


def write_key(path: Path, edits: Mapping[str, Label]) -> None:
    """Writes the key of sheets."""
    rows = {
        name: {**{k: getattr(e, k) for k in _TEXTS}, **({} if e.pi is None else {"pi": e.pi})}
        for name, e in sorted(edits.items())
    }
    said = {"schema": SCHEMA, "about": "Do not give this file to raters.", "edits": rows}
    write_text(path, json.dumps(said, indent=1, ensure_ascii=False) + "\n")


def read_key(path: Path) -> Key:
    """The key in a file. Raises ``InputError`` if it is none."""
    try:
        raw = read_json(path, MAX_TABLE)
        if raw["schema"] != SCHEMA:
            raise ValueError(f"schema {raw['schema']}")
        return Key(path=path, edits={str(name): _edit(fields) for name, fields in raw["edits"].items()})
    except Unreadable as error:
        found = error.found
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        found = repr(error)[:120]
    fix = "give the key that was written with the sheets"
    raise InputError("a key of sheets", [Problem(str(path), "", f"a key of version {SCHEMA}", found, fix)])


def _edit(fields: Mapping[str, Any]) -> Label:
    texts = {name: fields[name] for name in _TEXTS}
    pi = fields.get("pi")
    if not all(isinstance(t, str) for t in texts.values()) or not texts["edit_id"]:
        raise ValueError("an edit without texts for its columns")
    if texts["edit_sha256"] and not SHA256.match(texts["edit_sha256"]):
        raise ValueError(f"edit_sha256 {texts['edit_sha256'][:20]!r}")
    if pi is not None and not (isinstance(pi, int | float) and 0 < pi <= 1):
        raise ValueError(f"pi {pi!r}")
    return Label(rater="", pi=None if pi is None else float(pi), **texts)


def key_of(labels: Path, given: Path | None = None) -> Key | None:
    """The key of a file of labels: the one that is given, else one beside it or above that knows a name in it.

    Raises ``InputError`` where the file holds opaque names and no key is found.
    """
    try:
        names = {name.decode() for name in _OPAQUE.findall(read_bytes(labels, MAX_TABLE))}
    except Unreadable:
        return None  # its reader says why
    if not names:
        return None
    if given is not None:
        return read_key(given)
    for folder in (labels.parent, labels.absolute().parent.parent):
        if (folder / NAME).is_file() and names & set((key := read_key(folder / NAME)).edits):
            return key
    problem = Problem(
        str(labels), "edit_id", f"the key of these blinded sheets ({NAME}) beside them, or above", "none",
        "give it with --key FILE",
    )  # fmt: skip
    raise InputError("labels cannot be read", [problem])


def unblinded(labels: Labels, key: Key, file: Path) -> Labels:
    """The labels with the edits that their opaque names stand for. Raises ``InputError`` for names that the key has not."""
    unknown = sorted({r.edit_id for r in labels.rows} - set(key.edits))
    if unknown:
        found = f"{len(unknown)} that it has not: {named(unknown)}"
        fix = "give the key that was written with these sheets: --key FILE"
        problem = Problem(str(file), "edit_id", f"names of {key.path}", found, fix)
        raise InputError("labels cannot be read", [problem])
    return replace(labels, rows=tuple(_seen(r, key.edits[r.edit_id]) for r in labels.rows))


def _seen(row: Label, edit: Label) -> Label:
    extra = {k: v for k, v in row.extra.items() if k not in _SHOWN}
    return replace(
        edit,
        rater=row.rater,
        semantic=row.semantic,
        perceptual=row.perceptual,
        time=row.time,
        guideline=edit.guideline or row.guideline,
        extra=extra,
    )


def meaning(words: Words, key: Key | None) -> Words:
    """What words mean in a file: those of the sheets, where it is one, and above them what was declared."""
    if key is None:
        return words
    questions: Sequence[str] = tuple(dict.fromkeys((*key.words, *words)))
    return {q: {**key.words.get(q, {}), **words.get(q, {})} for q in questions}
