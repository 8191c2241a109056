"""Judges: one file per backend (``.py``), one card per judge (``.toml``).

A backend is a module with a function ``open_judge(card) -> Judge``. It is found by its file's name here, or
through the entry point group ``isr.judge_backends`` of an installed package.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Protocol

from isr.errors import CardError

if TYPE_CHECKING:
    from isr.cards import Card
    from isr.images import Prepared
    from isr.requests import Request
    from isr.types import Answer

BACKEND_ENTRY_POINTS = "isr.judge_backends"


class Judge(Protocol):
    """Answers requests. One instance serves a whole run, from one event loop."""

    async def ask(self, request: Request, images: Prepared) -> Answer:
        """The completed reply. Raises ``TransportError`` if there was none, ``JudgeError`` if there can be none."""

    async def close(self) -> None:
        """Releases connections and memory."""


def open_judge(card: Card) -> Judge:
    """The judge of a card. Raises ``CardError`` if no such backend exists or it cannot take the card."""
    return backend_of(card)(card)


def backend_of(card: Card) -> Callable[[Card], Judge]:
    """The function that opens judges of the card's backend, its module imported. Raises ``CardError``."""
    name = card.backend
    for point in metadata.entry_points(group=BACKEND_ENTRY_POINTS, name=name):
        return point.load()  # type: ignore[no-any-return]
    module = f"isr.judges.{name}"
    try:
        backend = import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise CardError(
            f"{card.name}: 'backend' expected a module of isr.judges or an installed entry point; found {name!r}"
        ) from None
    if not hasattr(backend, "open_judge"):
        raise CardError(f"{card.name}: 'backend' expected a judge backend; {name!r} is none")
    return backend.open_judge  # type: ignore[no-any-return]
