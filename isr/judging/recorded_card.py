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
from isr.judging.field_errors import field_errors


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
    """The card with these fields and this identity. Raises ``ValueError`` that says what is wrong in it.

    It lies in no folder, whatever is on record: what a card names by a path is looked for nowhere.
    """
    raw = {**card, "folder": "", "recorded": identity}
    try:
        return RecordedCard.model_validate_json(json.dumps(raw), strict=True)
    except ValidationError as error:
        problems = field_errors(error, raw, RecordedCard, "a card on record", "take another copy of it")
        raise ValueError("; ".join(map(str, problems))) from None


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
    except (KeyError, TypeError, ValueError) as error:
        found = str(error) if isinstance(error, ValueError) else repr(error)
        problem = Problem(where, "panel", "the judges of a run", found[:300], "give the card: --judge CARD")
        raise InputError("a run cannot be read", [problem]) from error
