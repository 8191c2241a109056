"""What is to be asked: edits, judges, rubrics, and the requests that follow from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

from isr.canonical import sha256_json
from isr.judging.cards import Card, Panel
from isr.judging.parsing import PARSER_VERSION
from isr.judging.requests import Request, Template, requests_for
from isr.judging.rubrics import Rubric
from isr.judging.store import Store
from isr.judging.thresholds import Recalibration
from isr.types import Arm, Edit, Question

CHUNK = 256  # arms of edits looked up in the store at a time


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be asked: edits in their order, by all members of the panel, with the rubrics."""

    root: Path
    edits: Sequence[Edit]
    rubrics: Mapping[Question, Rubric]
    panel: Panel
    repeats: int = 1
    reask: frozenset[str] = frozenset()
    recalibrations: tuple[Recalibration, ...] = ()
    parser: int = PARSER_VERSION
    allow_retired: bool = False
    accepted: frozenset[str] = frozenset()  # kinds of findings about the pictures that are meant
    order_seed: int | None = (
        None  # the edits stand image by image, in an order by this seed, and are asked so
    )

    in_turn: bool = (
        False  # of a directory with more edits, these were taken image by image in turn, not the first
    )

    @cached_property
    def templates(self) -> dict[str, list[Template]]:
        """The rubrics in the dialect of each judge, by the judge's name."""
        return {c.name: [Template(r, c) for r in self.rubrics.values()] for c in self.panel.members}

    def requests(self, card: Card, judged: Iterable[tuple[Edit, Arm]]) -> Iterator[Request]:
        """The requests of one judge for these edits and arms; the questions of an edit stand together."""
        templates = self.templates[card.name]
        for edit, arm in judged:
            for template in templates:
                yield from requests_for(edit, arm, template, self.repeats)

    @cached_property
    def size(self) -> int:
        """Number of different requests of the whole run, those that the store has included.

        Questions about the same pixels by the same instruction are one request.
        """
        different = 0
        for rubric in self.rubrics.values():
            seen = set()
            for edit, arm in arms_of(self.edits):
                judged = edit.edited if arm is Arm.PROTECTED else edit.control
                shown = {"edit": judged, "source": edit.source}
                seen.add((edit.prompt, *(ref and ref.sha256 for ref in map(shown.get, rubric.images))))
            different += len(seen)
        return different * len(self.panel.members) * self.repeats


def arms_of(edits: Iterable[Edit]) -> Iterator[tuple[Edit, Arm]]:
    """What is judged: every protected edit, and the control edit of every unit once.

    The edits of a unit must stand together, as in ``EditDirectory.edits``.
    """
    controlled = None
    for edit in edits:
        yield edit, Arm.PROTECTED
        if edit.control is not None and edit.unit != controlled:
            controlled = edit.unit
            yield edit, Arm.CONTROL


def in_order(edits: Sequence[Edit], seed: int | None) -> Sequence[Edit]:
    """The edits image by image, the images in an order that a seed gives: the same wherever and however the data lie.

    Without a seed they stay as they are.
    """
    if seed is None:
        return edits
    places = {image: sha256_json([seed, image]) for image in {e.cluster for e in edits}}
    return sorted(edits, key=lambda e: places[e.cluster])


def missing_requests(plan: Plan, store: Store) -> Iterator[tuple[Card, Request]]:
    """What a run would ask, for the dry run: each request once, those that the store has left out."""
    for card in plan.panel.members:
        judged = arms_of(plan.edits)
        seen: set[bytes] = set()
        while chunk := list(islice(judged, CHUNK)):
            requests = {r.key: r for r in plan.requests(card, chunk) if r.key not in seen}
            seen.update(requests)
            known = store.asks(list(requests))
            yield from ((card, request) for key, request in requests.items() if key not in known)
