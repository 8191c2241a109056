"""People's labels are no judge of people's labels."""

from __future__ import annotations

from collections.abc import Sequence

from isr.errors import UsageError
from isr.people.judgements import Judgements


def require_no_people(judges: Sequence[Judgements]) -> None:
    """Raises ``UsageError`` for a run of people's labels where a judge is held against labels: it would agree with itself."""
    if own := [j.name for j in judges if j.is_people]:
        raise UsageError(
            f"expected a judge that is held against people; found {', '.join(own)}, a run of people's own labels (isr score --labels): "
            "give the run of a judge (isr runs lists them); isr agree --labels compares raters with each other"
        )
