"""Which edits a limited run takes: images in turn, so that a few edits are of as many images as there can be."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from isr.signature import Signature
from isr.types import Edit, Unit

IN_TURN = "in-turn"


def in_turn(edits: Sequence[Edit], most: int) -> tuple[Edit, ...]:
    """At most so many edits, in their order: a unit of each image, then another of each, and so on.

    A unit is taken with all its treatments, so that these are compared on the same units; only where the first unit has more
    edits than ``most`` is it cut. Each image begins at another of its units, so that prompts and seeds are spread. The edits of
    a unit must stand together. What is taken with a smaller ``most`` is taken with a larger one.
    """
    units = {unit: len(list(some)) for unit, some in groupby(edits, key=lambda e: e.unit)}
    of_image: dict[str, list[Unit]] = {}
    for unit in units:
        of_image.setdefault(unit.image_id, []).append(unit)
    started = [some[(i % len(some)) :] + some[: i % len(some)] for i, some in enumerate(of_image.values())]
    taken: set[Unit] = set()
    left = most
    for turn in range(max(map(len, started), default=0)):
        for unit in (some[turn] for some in started if turn < len(some)):
            if units[unit] > left:
                if not taken:
                    return tuple([e for e in edits if e.unit == unit][:most])
                return tuple(e for e in edits if e.unit in taken)
            taken.add(unit)
            left -= units[unit]
    return tuple(edits)


def part_of(limit: int, turns: bool) -> str:
    """The value of ``limit`` in a signature: how many edits, and by which rule they were taken."""
    return f"{limit}:{IN_TURN}" if turns else str(limit)


def is_in_turn(signature: Signature) -> bool:
    """Whether a limited run took images in turn; isr 0.1.0, and runs with a rule to stop by, took the first edits."""
    return signature.get("limit").endswith(f":{IN_TURN}")


def chosen(edits: Sequence[Edit], signature: Signature) -> tuple[Edit, ...]:
    """The edits of a directory that a run of this signature was of. Raises ``ValueError`` for a rule that is unknown."""
    if "limit" not in signature:
        return tuple(edits)
    number = int(signature["limit"].removesuffix(f":{IN_TURN}"))
    return in_turn(edits, number) if is_in_turn(signature) else tuple(edits[:number])
