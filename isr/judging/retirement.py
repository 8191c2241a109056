"""The day from which a hosted model's name may be answered by another model.

Today's date forbids new calls and does nothing else: what was recorded can be scored for ever, and no result depends on
the day on which it is made.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from isr.errors import RetiredError

if TYPE_CHECKING:
    from isr.judging.cards import Card


def utc_today() -> date:
    """Today, in UTC, as answers are dated."""
    return datetime.now(UTC).date()


def is_past(card: Card, day: str) -> bool:
    """Whether the card's model is retired on a day (``YYYY-MM-DD``): on the card's date and ever after."""
    return bool(card.retires_on) and day[:10] >= card.retires_on


def require_served(card: Card, today: date, missing: str = "") -> None:
    """Raises ``RetiredError`` from the card's ``retires_on`` on. missing: what cannot be asked, as a sentence."""
    if is_past(card, today.isoformat()):
        raise RetiredError(
            f"{card.name}: expected a model that is still served; found {card.model}, which retires on {card.retires_on} by "
            f"its card (today is {today}): the host may answer under its name with another model. {missing}Score recorded "
            f"answers (isr store import, or --judge replay), choose another judge, or ask all the same with isr score --allow-retired, which then "
            f"stands in the signature and the report"
        )
