"""A judge's card on record, in full: what it said and the identity that it had, whatever became of its files.

A card never holds a key, only the name of the variable that does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from pydantic import Field, ValidationError

from isr.errors import InputError, Problem
from isr.judging.backends import Traits, by_path
from isr.judging.cards import Card, Panel


class RecordedCard(Card):
    """A card whose identity is the one on record, since the files behind it need not be here.

    Nothing on record is ever run: a backend that was a file has no code here, and says only which fields were files.
    """

    recorded: Mapping[str, Any] = Field(exclude=True)

    @cached_property
    def traits(self) -> Traits:
        if by_path(self.backend) or ":" in self.backend:
            return Traits(files=tuple(sorted(digested(self.recorded))))
        return super().traits

    @cached_property
    def identity(self) -> dict[str, Any]:
        return dict(self.recorded)


def recorded_card(card: Mapping[str, Any], identity: Mapping[str, Any]) -> RecordedCard:
    """The card with these fields and this identity. Raises pydantic's ``ValidationError``, which is a ``ValueError``.

    It lies in no folder, whatever is on record: what a card names by a path is looked for nowhere.
    """
    return RecordedCard.model_validate_json(
        json.dumps({**card, "folder": "", "recorded": identity}), strict=True
    )


def digested(identity: Mapping[str, Any]) -> frozenset[str]:
    """The engine fields in whose place an identity holds the digest of a file."""
    engine = identity["engine"]
    return frozenset(k for k, v in engine.items() if re.fullmatch(r"sha256:[0-9a-f]{64}", str(v)))


def panel_record(panel: Panel) -> dict[str, Any]:
    """A panel as ``run.json`` holds it: every member's card and identity."""
    members = [{"card": c.model_dump(mode="json"), "identity": c.identity} for c in panel.members]
    return {"name": panel.name, "rule": panel.rule, "members": members}


def recorded_panel(record: Mapping[str, Any], where: str) -> Panel:
    """The panel in ``panel_record``. Raises ``InputError`` if it is none."""
    try:
        members: Sequence[Mapping[str, Any]] = record["members"]
        cards = tuple(recorded_card(m["card"], m["identity"]) for m in members)
        return Panel(str(record["name"]), cards, str(record["rule"]))
    except (KeyError, TypeError, ValidationError) as error:
        problem = Problem(
            where, "panel", "the judges of a run", repr(error)[:120], "give the card: --judge CARD"
        )
        raise InputError("a run cannot be read", [problem]) from error
