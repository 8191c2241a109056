"""The pictures of an edit directory against the roles and ids that its metadata gives them.

A name decides nothing: which picture is the source, the edit, the control edit or the protected image is what a row says,
and whether that can be is seen from digests of pixels, sizes, colours and a small grey thumbnail. One pass over what the
scan of the files has read already. Some of it can be honest in a few rows (an editor that does nothing), and never in all.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np

from isr.edits.scan import THUMB, Scanned
from isr.errors import EditDirectoryError, Problem, UsageError
from isr.types import Edit, Floats, ImageRef, Treatment

COMPARED = ("source_file_name", "protected_file_name")  # columns whose pictures are compared by thumbnails
PASS_VERSION = 2  # raised whenever the same pictures could be told otherwise
WARNED_FROM = 0.2  # share of rows
REFUSED_FROM = 3  # rows, where it is all of them
EXAMPLES = 3
ASPECT = 0.02  # of the ratio of the sides, from which on a picture is another shape
ALIKE, SAME = (
    0.9,
    0.999,
)  # correlation of thumbnails: of a picture and its protected version; of one saved twice
FLAT, CLOSE, FAR = (
    4.0,
    3.0,
    30.0,
)  # grey levels of 255: spread of a thumbnail without content, and differences of two
MOST_SOURCES = 8_000  # beyond which sources are not compared with each other
UNPROTECTED = frozenset({"none", "no", "clean", "unprotected", "identity", "original", "control"})
"""Methods that protect nothing by their name: their edit is the control edit, and their protected image the source."""


class Level(StrEnum):
    """How much a finding weighs: a few rows, a fifth of them, or all."""

    NOTE = "note"
    WARNING = "warning"
    REFUSAL = "refusal"


_ONE_COLOUR = "one colour all over: a failed computation, or the black square of a safety checker, may count as a failed edit"
MEANINGS = {
    "edit-is-source": "the edit is the source itself: the editor changed nothing, or the column names another file",
    "edit-is-protected": (
        "the edit is the protected image itself: the editor changed nothing, or the column names another file"
    ),
    "edit-shared": "one picture is the edit of several prompts or images",
    "edit-in-treatments": "one picture is the edit under several treatments",
    "edit-one-colour": _ONE_COLOUR,
    "edit-shape": "the edit has another shape than its source",
    "control-is-source": "the control edit is the source itself",
    "control-is-edit": "the control edit is the edit itself",
    "control-shared": "one picture is the control edit of several prompts or images",
    "control-one-colour": _ONE_COLOUR,
    "control-shape": "the control edit has another shape than its source",
    "protected-is-source": "the protected image is the source itself: no protection was applied",
    "protected-of-another": "the protected image does not look like its source",
    "arms-swapped": "by their paths the edit is the control edit and the control edit is the protected one's",
    "source-is-protected": "by its path the source is a protected image",
    "image-ids": "one source picture has several image_ids: its edits count as edits of several images",
    "sources-of-one-id": "one image_id has several source pictures: their edits count as edits of one image",
    "sources-alike": (
        "sources with other image_ids look the same, as one picture that was saved again: its edits count as edits of "
        "several images"
    ),
    "transparent-source": (
        "the source is transparent in places: the judge sees white there, and an editor saw the hidden colour"
    ),
}
"""What each kind of finding is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was seen in ``n`` of ``of`` pictures or rows. ``who``: which; ``examples``: rows (``metadata.jsonl:7``)."""

    kind: str
    level: Level
    who: str
    n: int
    of: int
    examples: tuple[str, ...] = ()
    more: str = ""

    @property
    def text(self) -> str:
        """One sentence with the count and where to look."""
        at = (
            f" ({', '.join(self.examples)}{', ...' if self.n > len(self.examples) else ''})"
            if self.examples
            else ""
        )
        more = f" ({self.more})" if self.more else ""
        return f"{self.n:,} of {self.of:,} {self.who}: {MEANINGS[self.kind]}{more}{at}"

    @classmethod
    def recorded(cls, fields: Mapping[str, Any]) -> Finding:
        """The finding with these fields. Raises ``KeyError``, ``ValueError`` or ``TypeError`` for what is none."""
        if fields["kind"] not in MEANINGS:
            raise ValueError(fields["kind"])
        return cls(
            kind=str(fields["kind"]),
            level=Level(fields["level"]),
            who=str(fields["who"]),
            n=int(fields["n"]),
            of=int(fields["of"]),
            examples=tuple(map(str, fields["examples"])),
            more=str(fields["more"]),
        )

    def as_dict(self) -> dict[str, Any]:
        """As it stands in ``result.json``."""
        named = {"kind": self.kind, "level": self.level.value, "who": self.who, "n": self.n, "of": self.of}
        return {**named, "examples": list(self.examples), "text": self.text}


def require(findings: Iterable[Finding], accepted: Collection[str], where: str) -> None:
    """Raises ``EditDirectoryError`` for what can never be meant, unless its kind was accepted."""
    refused = [f for f in findings if f.level is Level.REFUSAL and f.kind not in accepted]
    if not refused:
        return
    problems = [
        Problem(
            f.examples[0] if f.examples else where,
            f.kind,
            "pictures that can have the roles and ids of their columns",
            f.text,
            f"correct the table, or say that it is meant: --accept {f.kind}",
        )
        for f in refused
    ]
    raise EditDirectoryError(f"{where}: {len(problems)} thing(s) about its pictures cannot be", problems)


def look(
    edits: Sequence[Edit], scanned: Mapping[str, Scanned], places: Mapping[str, str]
) -> tuple[Finding, ...]:
    """Everything that the pictures of these edits say against their roles and ids.

    scanned: every file of them, by its path. places: by edit_id, the row of the metadata.
    """
    return tuple(_Look(edits, scanned, places).all())


class _Look:
    """One pass over the edits of a directory; rows are numbers of edits."""

    def __init__(
        self, edits: Sequence[Edit], scanned: Mapping[str, Scanned], places: Mapping[str, str]
    ) -> None:
        self.edits, self.scanned, self.places = edits, scanned, places
        codes: dict[str, int] = {}

        def coded(refs: Iterable[ImageRef | None]) -> list[int]:
            return [-1 if r is None else codes.setdefault(scanned[r.path].pixels, len(codes)) for r in refs]

        self.edited, self.source = coded(e.edited for e in edits), coded(e.source for e in edits)
        self.control, self.protected = coded(e.control for e in edits), coded(e.protected for e in edits)
        self.by_treatment: dict[Treatment, list[int]] = defaultdict(list)
        for i, edit in enumerate(edits):
            self.by_treatment[edit.treatment].append(i)
        self.plain = [e.treatment.method.lower() in UNPROTECTED for e in edits]
        units: dict[object, int] = {}
        self.controls = [
            i for i, e in enumerate(edits) if e.control is not None and units.setdefault(e.unit, i) == i
        ]  # the row in which a unit's control edit is counted

    def all(self) -> Iterator[Finding]:
        """The findings, kind by kind."""
        yield from self._edits()
        yield from self._controls()
        yield from self._protected()
        yield from self._paths()
        yield from self._ids()
        yield from self._transparent()

    # arms

    def _edits(self) -> Iterator[Finding]:
        flat = [bool(self.scanned[e.edited.path].colour) for e in self.edits]
        own = [a == b for a, b in zip(self.edited, self.source, strict=True)]
        usual = [i for i in range(len(self.edits)) if not (own[i] or flat[i])]
        shared = self._shared(usual, self.edited, lambda i: self.edits[i].treatment)
        twice = self._in_several_treatments([i for i in usual if not self.plain[i]])
        for treatment, rows in sorted(self.by_treatment.items()):
            who = f"edits of {treatment.method or 'no method named'}"
            of = sum(self.source[i] >= 0 for i in rows)
            yield from self._told("edit-is-source", who, [i for i in rows if own[i]], of)
            attacked = [i for i in rows if self.protected[i] >= 0 and not self.plain[i]]
            back = [i for i in attacked if self.edited[i] == self.protected[i] != self.source[i]]
            yield from self._told("edit-is-protected", who, back, len(attacked))
            yield from self._told("edit-shared", who, [i for i in rows if i in shared], len(rows))
            yield from self._told("edit-in-treatments", who, [i for i in rows if i in twice], len(rows))
            yield from self._told("edit-one-colour", who, [i for i in rows if flat[i]], len(rows))
            yield from self._shaped("edit-shape", who, [(i, self.edits[i].edited) for i in rows], of)

    def _controls(self) -> Iterator[Finding]:
        refs = [(i, ref) for i in self.controls if (ref := self.edits[i].control) is not None]
        flat = {i for i, ref in refs if self.scanned[ref.path].colour}
        own = [i for i in self.controls if self.control[i] == self.source[i]]
        usual = [i for i in self.controls if i not in flat and self.control[i] != self.source[i]]
        shared = self._shared(usual, self.control, lambda i: None)
        who, of = "control edits", len(self.controls)
        yield from self._told("control-is-source", who, own, of)
        yield from self._told("control-shared", who, sorted(shared), of)
        yield from self._told("control-one-colour", who, sorted(flat), of)
        yield from self._shaped("control-shape", who, refs, of)
        for treatment, rows in sorted(self.by_treatment.items()):
            some = [i for i in rows if self.control[i] >= 0 and not self.plain[i]]
            same = [i for i in some if self.control[i] == self.edited[i] != self.source[i]]
            same = [i for i in same if not self.scanned[self.edits[i].edited.path].colour]
            named = f"edits of {treatment.method or 'no method named'}"
            yield from self._told("control-is-edit", named, same, len(some))

    def _protected(self) -> Iterator[Finding]:
        unlike: dict[tuple[int, int], bool] = {}
        for i, pair in enumerate(zip(self.protected, self.source, strict=True)):
            if min(pair) >= 0 and pair not in unlike:
                unlike[pair] = pair[0] != pair[1] and self._differ(self.edits[i])
        for treatment, rows in sorted(self.by_treatment.items()):
            both = [i for i in rows if self.protected[i] >= 0 and self.source[i] >= 0 and not self.plain[i]]
            who = f"protected images of {treatment.method or 'no method named'}"
            same = [i for i in both if self.protected[i] == self.source[i]]
            other = [i for i in both if unlike[self.protected[i], self.source[i]]]
            yield from self._told("protected-is-source", who, same, len(both))
            yield from self._told("protected-of-another", who, other, len(both))

    def _shared(
        self, rows: Sequence[int], codes: Sequence[int], within: Callable[[int], Treatment | None]
    ) -> set[int]:
        """Rows whose picture is that of another prompt or image as well."""
        seen: dict[tuple[object, int], set[tuple[str, str]]] = defaultdict(set)
        rows = _repeated(rows, codes)
        for i in rows:
            seen[within(i), codes[i]].add((self.edits[i].unit.image_id, self.edits[i].unit.prompt_id))
        return {i for i in rows if len(seen[within(i), codes[i]]) > 1}

    def _in_several_treatments(self, rows: Sequence[int]) -> set[int]:
        if len(self.by_treatment) < 2:
            return set()
        seen: dict[tuple[object, int], set[Treatment]] = defaultdict(set)
        rows = _repeated(rows, self.edited)
        for i in rows:
            seen[self.edits[i].unit, self.edited[i]].add(self.edits[i].treatment)
        return {i for i in rows if len(seen[self.edits[i].unit, self.edited[i]]) > 1}

    # shapes

    def _shaped(
        self, kind: str, who: str, refs: Iterable[tuple[int, ImageRef]], of: int
    ) -> Iterator[Finding]:
        known: dict[tuple[int, int, int, int], str] = {}
        odd: dict[int, str] = {}
        for i, ref in refs:
            source = self.edits[i].source
            if source is None:
                continue
            one, other = self.scanned[ref.path], self.scanned[source.path]
            sizes = (one.width, one.height, other.width, other.height)
            if sizes not in known:
                known[sizes] = shape(*sizes)
            if known[sizes]:
                odd[i] = known[sizes]
        yield from self._told(kind, who, list(odd), of, "; ".join(sorted(set(odd.values()))[:2]))

    def _differ(self, edit: Edit) -> bool:
        """Whether a protected image does not look like its source."""
        assert edit.source is not None
        assert edit.protected is not None
        one, other = (thumb_of(self.scanned[r.path]) for r in (edit.protected, edit.source))
        if min(one.std(), other.std()) < FLAT:
            return float(abs(one - other).mean()) > FAR
        return float(np.corrcoef(one, other)[0, 1]) < ALIKE

    # names of files, which say what a picture cannot

    def _paths(self) -> Iterator[Finding]:
        swapped, protected = [], []
        odd: dict[str, bool] = {"": False}
        for i, edit in enumerate(self.edits):
            if (
                edit.control is not None
                and not self.plain[i]
                and _swapped(edit.edited.path, edit.control.path)
            ):
                swapped.append(i)
            source = edit.source.path if edit.source is not None else ""
            if source not in odd:
                odd[source] = bool(_ATTACKED.search(source)) and not _CLEAN.search(source)
            if odd[source]:
                protected.append(i)
        yield from self._told("arms-swapped", "rows", swapped, len(self.edits))
        yield from self._told("source-is-protected", "rows", protected, len(self.edits))

    # ids

    def _ids(self) -> Iterator[Finding]:
        rows = [i for i in range(len(self.edits)) if self.source[i] >= 0]
        ids_of: dict[int, set[str]] = defaultdict(set)
        sources_of: dict[str, set[int]] = defaultdict(set)
        for i in rows:
            ids_of[self.source[i]].add(self.edits[i].cluster)
            sources_of[self.edits[i].cluster].add(self.source[i])
        several = [i for i in rows if len(ids_of[self.source[i]]) > 1]
        ids, pictures = {self.edits[i].cluster for i in several}, {self.source[i] for i in several}
        count = f"{len(ids)} image_ids for {len(pictures)} pictures"
        yield from self._told("image-ids", "rows", several, len(rows), count)
        of_one = [i for i in rows if len(sources_of[self.edits[i].cluster]) > 1]
        yield from self._told("sources-of-one-id", "rows", of_one, len(rows))
        alike = self._alike(ids_of)
        again = [i for i in rows if self.source[i] in alike]
        yield from self._told("sources-alike", "rows", again, len(rows), f"{len(alike)} pictures")

    def _alike(self, ids_of: Mapping[int, set[str]]) -> set[int]:
        """Sources that look like another one with other image_ids."""
        first: dict[int, Floats] = {}
        for i, edit in enumerate(self.edits):
            if edit.source is not None and self.source[i] not in first:
                first[self.source[i]] = thumb_of(self.scanned[edit.source.path])
        codes = [c for c, thumb in first.items() if thumb.std() >= FLAT]
        if not 1 < len(codes) <= MOST_SOURCES:
            return set()
        grey = np.stack([first[c] for c in codes])
        unit = grey - grey.mean(axis=1, keepdims=True)
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        found: set[int] = set()
        for start in range(0, len(codes), 1000):
            for a, b in np.argwhere(unit[start : start + 1000] @ unit.T > SAME).tolist():
                one, other = codes[start + a], codes[b]
                near = one != other and abs(grey[start + a] - grey[b]).mean() < CLOSE
                if near and ids_of[one] != ids_of[other]:
                    found |= {one, other}
        return found

    def _transparent(self) -> Iterator[Finding]:
        odd = [i for i, e in enumerate(self.edits) if e.source and self.scanned[e.source.path].transparent]
        for found in self._told("transparent-source", "rows", odd, len(self.edits)):
            # a convention, not a mistake: told, and never refused
            yield replace(found, level=Level.NOTE if found.level is Level.NOTE else Level.WARNING)

    def _told(self, kind: str, who: str, rows: Sequence[int], of: int, more: str = "") -> Iterator[Finding]:
        if not rows:
            return
        places = sorted((self.places.get(self.edits[i].edit_id, "") for i in rows), key=_numbered)
        yield Finding(
            kind=kind,
            level=level_of(len(rows), of),
            who=who,
            n=len(rows),
            of=of,
            examples=tuple(p for p in places if p)[:EXAMPLES],
            more=more,
        )


_ATTACKED = re.compile(
    r"(?<![a-z])(?:adv|attacked|protected|immuni[sz]ed|perturbed|poisoned)(?![a-z])", re.IGNORECASE
)
_CLEAN = re.compile(
    r"(?<![a-z])(?:clean|controls?|orig(?:inals?)?|un-?protected|unattacked|no-?protection)(?![a-z])",
    re.IGNORECASE,
)
_CONTROL = re.compile(r"(?<![a-z])controls?(?![a-z])", re.IGNORECASE)


def _swapped(edited: str, control: str) -> bool:
    """Whether by their paths each is the other: a clean edit beside an attacked control, a control beside an edit."""
    if edited == control or not _CLEAN.search(edited):
        return False
    return bool(_ATTACKED.search(control) or (_CONTROL.search(edited) and not _CLEAN.search(control)))


def known_kinds(accepted: Iterable[str]) -> None:
    """Raises ``UsageError`` for a kind of finding that there is not."""
    if unknown := sorted(set(accepted) - set(MEANINGS)):
        raise UsageError(f"--accept: expected kinds out of {', '.join(MEANINGS)}; found {', '.join(unknown)}")


def level_of(n: int, of: int) -> Level:
    """All of at least ``REFUSED_FROM``: refused; from ``WARNED_FROM`` of them on a warning; fewer a note."""
    if n == of and of >= REFUSED_FROM:
        return Level.REFUSAL
    return Level.WARNING if n >= WARNED_FROM * of else Level.NOTE


def shape(width: int, height: int, source_width: int, source_height: int) -> str:
    """How a picture's shape differs from its source's: a strip of several, turned, squashed; ``""`` for the same."""
    one, other = width / height, source_width / source_height
    if abs(one / other - 1) <= ASPECT:
        return ""
    if abs(one * other - 1) <= ASPECT:
        return "turned by 90 degrees: orientation in EXIF, which the editor did not read?"
    for count in range(2, 9):
        if abs(one / other / count - 1) <= ASPECT:
            return f"as wide as {count} of its source: a strip of pictures?"
        if abs(one / other * count - 1) <= ASPECT:
            return f"as high as {count} of its source: a strip of pictures?"
    return f"{width} x {height} beside {source_width} x {source_height}"


def thumb_of(scanned: Scanned) -> Floats:
    """The grey thumbnail of a picture, ``THUMB`` x ``THUMB`` values of 0 to 255 in a row."""
    return np.frombuffer(scanned.thumb, np.uint8).astype(np.float64).reshape(THUMB * THUMB)


def _repeated(rows: Sequence[int], codes: Sequence[int]) -> list[int]:
    """The rows whose code is that of another of the rows: most pictures are there once, and need no further look."""
    some = np.array(rows, np.int64)
    if not some.size:
        return []
    found = np.array(codes, np.int64)[some]
    return [int(i) for i in some[np.bincount(found)[found] > 1]]


def _numbered(place: str) -> tuple[str, int]:
    file, _, row = place.rpartition(":")
    return file, int(row) if row.isdigit() else 0
