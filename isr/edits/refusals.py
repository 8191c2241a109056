"""Edits that a hosted editor refused to make: ``refusals.jsonl`` beside the metadata.

A refusal has no picture, so it is no row: the directory stays an ImageFolder. It names its unit, its treatment and its
arm, is counted by arm, and is never judged.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from isr.edits.metadata import BY_PIXELS, NUMBERS, is_unicode, number_text, prompt_id_of, text_of
from isr.errors import EditDirectoryError, Problem
from isr.reading import Unreadable, byte_lines, json_lines
from isr.types import Arm, Edit, Treatment, Unit

FILE = "refusals.jsonl"
_FIELDS = (*Unit._fields, *Treatment._fields, "arm", "prompt", "source_file_name", "reason")
NOBODY = Treatment("", "", "", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One edit that was refused. ``treatment`` is empty in the control arm; ``reason``: the editor's own words."""

    unit: Unit
    treatment: Treatment
    arm: Arm
    reason: str = ""

    def as_dict(self) -> dict[str, str]:
        """As one line of the file."""
        named = {**self.unit._asdict(), **(self.treatment._asdict() if self.arm is Arm.PROTECTED else {})}
        return {k: v for k, v in {**named, "arm": self.arm.value, "reason": self.reason}.items() if v}


def read_refusals(
    root: Path,
    edits: Sequence[Edit],
    image_of: Callable[[str], str] = lambda path: "",
    by_pixels: bool = False,
) -> tuple[Refusal, ...]:
    """The refusals of a directory, in an order that does not depend on the file's; none without the file.

    image_of: the ``image_id`` of a source by its path, as the metadata have it where they name none. by_pixels: no row of
    the metadata names one. Raises ``EditDirectoryError`` with every line that names no unit, one whose edit is there, or
    one that cannot meet the metadata.
    """
    path = root / FILE
    if not os.path.lexists(path):
        return ()
    prompts = {e.prompt: e.unit.prompt_id for e in edits}
    found: list[tuple[str, Refusal]] = []
    problems: list[Problem] = []
    try:
        for number, _, value in json_lines(byte_lines(path), once=True):
            where = f"{FILE}:{number}"
            read = parsed(value, where, prompts, image_of)
            if isinstance(read, Problem):
                problems.append(read)
            else:
                found.append((where, read))
    except Unreadable as error:
        raise EditDirectoryError(f"{path}: {error}") from error
    problems += _contradictions(found, edits, by_pixels)
    if problems:
        raise EditDirectoryError(f"{path}: {len(problems)} problem(s)", problems)
    return tuple(sorted((r for _, r in found), key=lambda r: (r.unit, r.treatment, r.arm)))


def parsed(
    value: Any,
    where: str,
    prompts: Mapping[str, str] = MappingProxyType({}),
    image_of: Callable[[str], str] = lambda path: "",
) -> Refusal | Problem:
    """The refusal in a line, its values written as the metadata's are; or what is wrong with it.

    prompts: the ``prompt_id`` of each prompt of the metadata.
    """
    if isinstance(value, Unreadable) or not isinstance(value, dict):
        found = value.found if isinstance(value, Unreadable) else type(value).__name__
        return Problem(where, "", "a JSON object", found, "correct the line")
    unknown = sorted(set(value) - set(_FIELDS))
    if unknown:
        fix = "leave it out; a refusal has no picture and no other column"
        return Problem(where, ascii(unknown[0])[:60], f"one of {', '.join(_FIELDS)}", "another field", fix)
    texts = {k: text_of(v) for k, v in value.items()}
    for name, text in texts.items():
        if text is None or not is_unicode(text):
            return Problem(where, name, "a text or a number", ascii(value[name])[:60], "correct the value")
    said = {k: number_text(v) if k in NUMBERS else v for k, v in texts.items() if v}
    if said.get("arm") not in tuple(Arm):
        return Problem(where, "arm", " or ".join(Arm), repr(value.get("arm"))[:40], "name the arm")
    image = said.get("image_id") or (image_of(said["source_file_name"]) if "source_file_name" in said else "")
    if not image or not (said.get("prompt_id") or said.get("prompt")):
        fix = "name the unit as the metadata do"
        expected = "image_id, or source_file_name of a picture in the directory; and prompt_id or prompt"
        return Problem(where, "image_id", expected, "none", fix)
    prompt = said.get("prompt_id") or prompts.get(said["prompt"]) or prompt_id_of(said["prompt"])
    unit = Unit(image, prompt, *(said.get(n, "") for n in ("editor", "seed", "purifier")))
    arm = Arm(said["arm"])
    treatment = Treatment(*(said.get(n, "") if arm is Arm.PROTECTED else "" for n in Treatment._fields))
    return Refusal(unit=unit, treatment=treatment, arm=arm, reason=said.get("reason", "")[:500])


def _contradictions(
    refusals: Iterable[tuple[str, Refusal]], edits: Sequence[Edit], by_pixels: bool
) -> Iterator[Problem]:
    """Refusals that stand there twice, whose edit is there, or that name an image as no row of the metadata can."""
    made: set[object] = {(e.unit, e.treatment, Arm.PROTECTED) for e in edits}
    made |= {(e.unit, NOBODY, Arm.CONTROL) for e in edits if e.control is not None}
    seen: dict[object, str] = {}
    for where, refusal in refusals:
        key = (refusal.unit, refusal.treatment, refusal.arm)
        if key in made:
            yield Problem(
                where, "", "an edit that was refused", "one that is in the metadata", "drop one of the two"
            )
        if (first := seen.setdefault(key, where)) != where:
            yield Problem(where, "", "each refusal once", f"that of {first} again", "drop one")
        if by_pixels and not refusal.unit.image_id.startswith(BY_PIXELS):
            fix = "name the picture by source_file_name: the metadata have no image_id, and go by its pixels"
            yield Problem(
                where, "image_id", "an image of the metadata", repr(refusal.unit.image_id)[:60], fix
            )


def told(refusals: Iterable[Refusal]) -> str:
    """How many edits were refused, by arm and method: ``2 edits of pgd, 1 control edit``."""
    counted: dict[tuple[bool, str], int] = {}
    for refusal in refusals:
        key = (refusal.arm is Arm.CONTROL, refusal.treatment.method)
        counted[key] = counted.get(key, 0) + 1
    return ", ".join(
        f"{n:,} control edit{'s' * (n > 1)}"
        if control
        else f"{n:,} edit{'s' * (n > 1)} of {method or 'no method named'}"
        for (control, method), n in sorted(counted.items())
    )
