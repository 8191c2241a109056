"""Path templates: ``out/{method}/seed{seed}/{image}.png`` says which parts of a file's name are which columns."""

from __future__ import annotations

import glob
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple

from isr.errors import UsageError

MOST_READINGS = 1000
"""Ways to read one name that are looked at; a sensible template has one or two."""
_PLACE = re.compile(r"\{([^{}]*)\}|(\*\*|\*)")
_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_ .-]*?)(:d)?")
_NUMBERS = ("seed",)  # columns that hold digits wherever they stand


class Part(NamedTuple):
    """A piece of a template: a text, or the place of the column ``name`` (of none, for ``*``)."""

    kind: str  # text; name (no slash), digits, or path (slashes too)
    name: str


@dataclass(frozen=True)
class Template:
    """A path, or the value of a table's cell, with places for columns."""

    text: str
    parts: tuple[Part, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the places, in their order."""
        return tuple(dict.fromkeys(p.name for p in self.parts if p.kind != "text" and p.name))

    @property
    def literal(self) -> int:
        """How many characters are said outright: of two templates that fit a file the one with more is its own."""
        return sum(len(p.name) for p in self.parts if p.kind == "text")

    @property
    def folder(self) -> str:
        """The folder below which all files lie: what stands before the first place, up to its last slash."""
        first = self.parts[0].name if self.parts and self.parts[0].kind == "text" else ""
        return first.rpartition("/")[0] or ("/" if first.startswith("/") else "")

    def readings(self, text: str) -> list[dict[str, str]]:
        """Every way to read a text: the value of each column; none if it does not fit. No value is empty."""
        found = islice(_readings(self.parts, unicodedata.normalize("NFC", text), {}), MOST_READINGS)
        return [dict(one) for one in dict.fromkeys(tuple(sorted(r.items())) for r in found)]

    def files(self) -> list[Path]:
        """The files that fit, in order of name."""
        pattern = "".join(
            glob.escape(p.name) if p.kind == "text" else "**" if p.kind == "path" else "*" for p in self.parts
        )
        return sorted(Path(p) for p in glob.glob(pattern, recursive=True) if Path(p).is_file())


def is_template(text: str) -> bool:
    """Whether a pattern names a column, and is no mere glob."""
    return "{" in text


def template(text: str, what: str) -> Template:
    """A template from its text. Raises ``UsageError`` for one that cannot be read; ``what``: the option."""
    parts: list[Part] = []
    end = 0
    text = text.replace(os.sep, "/").removeprefix("./")
    for found in _PLACE.finditer(text):
        if found.start() > end:
            parts.append(Part("text", text[end : found.start()]))
        parts.append(_place(found, text, what))
        end = found.end()
    if end < len(text):
        parts.append(Part("text", text[end:]))
    if any("{" in p.name or "}" in p.name for p in parts if p.kind == "text"):
        raise UsageError(
            f"{what} {text}: expected {{column}} places; found a single brace; close or remove it"
        )
    for one, two in pairwise(parts):
        if "text" not in (one.kind, two.kind):
            raise UsageError(
                f"{what} {text}: expected something between two places; found none between {one.name or '*'!r} and "
                f"{two.name or '*'!r}: where one ends cannot be told"
            )
    return Template(text, tuple(parts))


def _place(found: re.Match[str], text: str, what: str) -> Part:
    if found[2]:
        return Part("path" if found[2] == "**" else "name", "")
    named = _NAME.fullmatch(found[1])
    if named is None:
        raise UsageError(
            f"{what} {text}: expected a column's name in braces, e.g. {{image}}, {{prompt_id}}, or {{number:d}} for "
            f"digits; found {{{found[1]}}}"
        )
    if named[1].endswith("file_name"):
        alone = text[: found.start()].endswith("/") or found.start() == 0
        if not alone or found.end() != len(text):
            raise UsageError(
                f"{what} {text}: expected {{{named[1]}}} after a slash and at the end: it stands for a whole path"
            )
        return Part("path", named[1])
    return Part("digits" if named[2] or named[1] in _NUMBERS else "name", named[1])


def _readings(parts: tuple[Part, ...], text: str, known: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    if not parts:
        if not text:
            yield known
        return
    first, rest = parts[0], parts[1:]
    if first.kind == "text":
        if text.startswith(first.name):
            yield from _readings(rest, text[len(first.name) :], known)
        return
    for end in _ends(first.kind, rest, text):
        value = text[:end]
        if not first.name:
            yield from _readings(rest, text[end:], known)
        elif known.get(first.name, value) == value:
            yield from _readings(rest, text[end:], {**known, first.name: value})


def _ends(kind: str, rest: tuple[Part, ...], text: str) -> Iterator[int]:
    """Where a place can end: at the end of all, or where the text after it stands."""
    most = len(text)
    if kind == "digits":
        most = len(text) - len(text.lstrip("0123456789"))
    elif kind == "name":
        most = text.find("/") if "/" in text else len(text)
    if not rest:
        if most == len(text) > 0:
            yield most
        return
    end = text.find(rest[0].name, 1)
    while 0 < end <= most:
        yield end
        end = text.find(rest[0].name, end + 1)
