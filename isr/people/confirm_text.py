"""What labels say of a pair of methods, in words."""

from __future__ import annotations

from collections.abc import Iterator

from isr import text
from isr.calibration.correction.quality import SHARED_WITHIN, Quality
from isr.people.chance import ASK, swapped
from isr.scoring.comparison import Confirmed
from isr.stats.paired import PairedComparison
from isr.stats.rows import Interval


def lines(one: PairedComparison, pair: Confirmed, level: float) -> Iterator[str]:
    """The corrected difference, what speaks against it, and how good the judge is on both sides."""
    if said := banner(one, pair):
        yield f"WARNING: {said}"
    if pair.corrected is None:
        yield f"corrected by people's labels: refused: {pair.refused}"
    else:
        joint = (
            "" if pair.simultaneous is None else f"; all hold: {text.difference_interval(pair.simultaneous)}"
        )
        yield (
            f"corrected by {pair.labels} labelled units: {text.difference(pair.corrected.value)} "
            f"({text.difference_interval(pair.corrected)}{joint}), p {text.p_value(pair.p_value)}, Holm {text.p_value(pair.p_holm)}; "
            f"{pair.corrected.method}"
        )
    yield from details(pair, level)


def details(pair: Confirmed, level: float) -> Iterator[str]:
    """What stands beside a corrected difference: what it leaves open, notes, the judge on both sides and the difference in J."""
    if pair.identified is not None:
        low, high = map(text.points, pair.identified)
        yield (
            f"whatever people would say of the units that the judge left undecided: {low} to {high} pp (from the {level:.0%} "
            "interval, at the upper limit of their share)"
        )
    if pair.corrected is not None:
        yield from (n for n in pair.corrected.notes if "few labels" in n or "no interval" in n)
    yield from pair.notes
    for name, quality in ((pair.first, pair.first_quality), (pair.second, pair.second_quality)):
        if quality is not None:
            yield f"judge on {name}: {quality_in_words(quality)}"
    gap = pair.quality_difference
    if gap is not None:
        why = f" ({'; '.join(gap.notes)})" if gap.low is None and gap.notes else ""
        yield f"difference in J {_span(gap)}{why}: " + (
            f"within +-{SHARED_WITHIN:g}: one calibration may serve both"
            if pair.shared
            else f"not shown to lie within +-{SHARED_WITHIN:g}: do not use one calibration of the judge for both; label edits of "
            "each method"
        )


def swapped_told(pair: Confirmed) -> Iterator[str]:
    """That labels contradict verdicts more often than chance, as swapped words do."""
    for name, quality in ((pair.first, pair.first_quality), (pair.second, pair.second_quality)):
        if quality is not None:
            said = swapped(f"{name}: labels and judge", quality.sensitivity, quality.specificity)
            if said:
                yield said


def banner(one: PairedComparison, pair: Confirmed) -> str:
    """Where verdicts and people do not say the same of a pair; ``""`` where they do, or where labels say nothing.

    In capitals where one of the intervals excludes 0. Labels that contradict the judge more than chance would are no word of people.
    """
    raw, people = one.difference, pair.corrected
    if people is None or people.value is None or raw.value is None:
        return ""
    shown = [_excludes_none(raw), _excludes_none(people)]
    who = f"{one.first} - {one.second}"
    if pair.turned and next(swapped_told(pair), ""):
        return f"{who}: labels and judge contradict each other on a side: {ASK} the corrected difference is no word of people"
    if pair.turned:
        better = [one.first if v > 0 else one.second for v in (raw.value, people.value)]
        said = (
            "VERDICTS AND PEOPLE DISAGREE ON WHICH IS BETTER"
            if any(shown)
            else "verdicts and people lean to different sides"
        )
        rests = (
            "both intervals exclude 0" if all(shown)
            else "no interval excludes 0" if not any(shown)
            else f"only the interval of {'verdicts' if shown[0] else 'people'} excludes 0"
        )  # fmt: skip
        return (
            f"{said} ({who}): {better[0]} by verdicts ({text.difference(raw.value)}), {better[1]} to people "
            f"({text.difference(people.value)}); {rests}"
        )
    if shown == [True, False]:
        return f"{who}: verdicts show a difference, people's labels show none: do not claim it"
    return f"{who}: people's labels show a difference that verdicts do not" if shown == [False, True] else ""


def _excludes_none(found: Interval) -> bool:
    return found.low is not None and found.high is not None and (found.low > 0 or found.high < 0)


def quality_in_words(q: Quality) -> str:
    """J, sensitivity and specificity with their intervals, or why there are none."""
    reasons = dict.fromkeys(n for i in (q.j, q.sensitivity, q.specificity) for n in i.notes if i.low is None)
    said = f"J {_span(q.j)}, sensitivity {_span(q.sensitivity)}, specificity {_span(q.specificity)}, {q.labels} labels"
    return said + (f" ({'; '.join(reasons)})" if reasons else "")


def _span(i: Interval) -> str:
    if i.value is None:
        return "-"
    return f"{i.value:.2f}" + ("" if i.low is None or i.high is None else f" ({i.low:.2f} to {i.high:.2f})")
