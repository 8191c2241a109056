"""A judge beside single raters: where raters differ there is no majority, and a comparison with it alone flatters the judge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from isr.calibration.agreement.alpha import MISSING
from isr.calibration.agreement.summary import two_rater_agreement
from isr.people.agreement_study import Pair
from isr.types import Ints


def left_open(votes: Ints, truth: Ints) -> int:
    """How many labelled edits have no consensus. votes: codes (edits, raters); truth: the consensus (edits,)."""
    return int(((votes != MISSING).any(axis=1) & (truth == MISSING)).sum())


def with_each(
    judge: str, said: Ints, raters: Sequence[str], votes: Ints, image: Ints, level: float
) -> Iterator[Pair]:
    """A judge with each of several raters, on all edits that both decide. said: codes (edits,); votes: (edits, raters)."""
    for column, rater in enumerate(raters if len(raters) > 1 else ()):
        both = (said != MISSING) & (votes[:, column] != MISSING)
        if both.any():
            found = two_rater_agreement(said[both], votes[both, column], image[both], level=level)
            yield Pair(judge, rater, found)
