"""A judge beside single raters: where raters differ there is no majority, and a comparison with it alone flatters the judge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from isr.calibration.agreement.alpha import MISSING
from isr.calibration.agreement.summary import two_rater_agreement
from isr.people.agreement_study import Pair
from isr.types import Ints


def left_open(votes: Ints, truth: Ints, raters: int) -> str:
    """What it does to a judge's figures that labelled edits have no consensus; ``""`` where all have one.

    votes: codes (edits, raters); truth: the consensus (edits,). With two raters a consensus exists only where they agree.
    """
    labelled = (votes != MISSING).any(axis=1)
    lost = int((truth[labelled] == MISSING).sum())
    if not lost:
        return ""
    why = "the two raters differ, or one cannot tell" if raters == 2 else "a tie, or cannot tell"
    return (
        f"{lost} of {int(labelled.sum())} labelled edits have no consensus ({why}): the judge is compared with the consensus on "
        "the others alone, which are likely the easier ones; read it against each rater, and beside the human ceiling"
    )


def with_each(
    judge: str, said: Ints, raters: Sequence[str], votes: Ints, image: Ints, level: float
) -> Iterator[Pair]:
    """A judge with each of several raters, on all edits that both decide. said: codes (edits,); votes: (edits, raters)."""
    for column, rater in enumerate(raters if len(raters) > 1 else ()):
        both = (said != MISSING) & (votes[:, column] != MISSING)
        if both.any():
            found = two_rater_agreement(said[both], votes[both, column], image[both], level=level)
            yield Pair(judge, rater, found)
