"""Edits that a hosted editor refused to make: ``refusals.jsonl`` beside the metadata.

A refusal has no picture, so it is no row: the directory stays an ImageFolder. It names its unit, its treatment and its
arm, is counted by arm, and is never judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isr.canonical import sha256_bytes
from isr.errors import EditDirectoryError, Problem
from isr.reading import Unreadable, byte_lines, json_lines
from isr.types import Arm, Edit, Treatment, Unit

FILE = "refusals.jsonl"
_FIELDS = (*Unit._fields, *Treatment._fields, "arm", "prompt", "reason")


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


def read_refusals(root: Path, edits: Sequence[Edit]) -> tuple[Refusal, ...]:
    """The refusals of a directory, in an order that does not depend on the file's; none without the file.

    Raises ``EditDirectoryError`` with every line that names no unit, or one whose edit is there.
    """
    path = root / FILE
    if not path.exists():
        return ()
    found: list[Refusal] = []
    problems: list[Problem] = []
    try:
        for number, _, value in json_lines(byte_lines(path), once=True):
            read = parsed(value, f"{FILE}:{number}")
            (problems if isinstance(read, Problem) else found).append(read)  # type: ignore[arg-type]
    except Unreadable as error:
        raise EditDirectoryError(f"{path}: {error}") from error
    problems += _contradictions(found, edits)
    if problems:
        raise EditDirectoryError(f"{path}: {len(problems)} problem(s)", problems)
    return tuple(sorted(found, key=lambda r: (r.unit, r.treatment, r.arm)))


def parsed(value: Any, where: str) -> Refusal | Problem:
    """The refusal in a line, or what is wrong with it."""
    if isinstance(value, Unreadable) or not isinstance(value, dict):
        found = value.found if isinstance(value, Unreadable) else type(value).__name__
        return Problem(where, "", "a JSON object", found, "correct the line")
    unknown = sorted(set(value) - set(_FIELDS))
    if unknown:
        fix = "leave it out; a refusal has no picture and no other column"
        return Problem(where, unknown[0], f"one of {', '.join(_FIELDS)}", "another field", fix)
    texts = {
        k: str(v) for k, v in value.items() if isinstance(v, str | int | float) and not isinstance(v, bool)
    }
    if texts.get("arm") not in tuple(Arm):
        return Problem(where, "arm", " or ".join(Arm), repr(value.get("arm"))[:40], "name the arm")
    if not texts.get("image_id") or not (texts.get("prompt_id") or texts.get("prompt")):
        fix = "name the unit as the metadata do"
        return Problem(where, "image_id", "image_id, and prompt_id or prompt", "none", fix)
    prompt = texts.get("prompt_id") or f"tx-{sha256_bytes(texts['prompt'].encode())[7:23]}"
    unit = Unit(texts["image_id"], prompt, *(texts.get(n, "") for n in ("editor", "seed", "purifier")))
    arm = Arm(texts["arm"])
    treatment = Treatment(*(texts.get(n, "") if arm is Arm.PROTECTED else "" for n in Treatment._fields))
    return Refusal(unit=unit, treatment=treatment, arm=arm, reason=texts.get("reason", "")[:500])


def _contradictions(refusals: Iterable[Refusal], edits: Sequence[Edit]) -> Iterator[Problem]:
    """Refusals that stand there twice, or whose edit is there."""
    made: set[object] = {(e.unit, e.treatment, Arm.PROTECTED) for e in edits}
    made |= {(e.unit, Treatment("", "", "", ""), Arm.CONTROL) for e in edits if e.control is not None}
    seen: set[object] = set()
    for refusal in refusals:
        key = (refusal.unit, refusal.treatment, refusal.arm)
        at = f"{FILE}: {refusal.unit.image_id}, {refusal.unit.prompt_id} ({refusal.arm})"
        if key in made:
            yield Problem(
                at, "", "an edit that was refused", "one that is in the metadata", "drop one of the two"
            )
        if key in seen:
            yield Problem(at, "", "each refusal once", "it twice", "drop one")
        seen.add(key)


def counted(refusals: Iterable[Refusal]) -> Mapping[tuple[Arm, Treatment], int]:
    """Numbers of refusals by arm and treatment."""
    out: dict[tuple[Arm, Treatment], int] = {}
    for refusal in refusals:
        key = (refusal.arm, refusal.treatment)
        out[key] = out.get(key, 0) + 1
    return out
