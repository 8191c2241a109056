"""What a table for choosing comes to: which method is best and told from which others, or how many images that would take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from isr import text
from isr.errors import IsrError
from isr.scoring.comparison import Comparison, Conclusion, Needed
from isr.scoring.finished import Contender
from isr.scoring.planned import Wanted
from isr.scoring.planning import plan_pair
from isr.signature import Signature

POWER = 0.8
MOST_PLANNED = 5  # rivals for which images are planned, the closest first


@dataclass(frozen=True, slots=True)
class _Pair:
    """A tested pair: its difference and its p-value adjusted over the family; by people where labels correct all of them.

    ``open``: the interval that holds whatever the undecided edits are has both signs: which is better is not known.
    """

    first: str
    second: str
    value: float | None
    p: float | None
    open: bool = False

    def apart(self, level: float) -> bool:
        """Whether the decided edits alone tell them apart."""
        return bool(self.value) and self.p is not None and self.p <= 1 - level

    def told(self, level: float) -> bool:
        return self.apart(level) and not self.open

    @property
    def better(self) -> tuple[str, str]:
        """The better one, then the other."""
        return (self.first, self.second) if (self.value or 0) > 0 else (self.second, self.first)


def conclude(found: Comparison, contenders: Sequence[Contender], level: float) -> Conclusion:
    """The conclusion of a comparison with choices, at its family's level; planned images rest on these runs as pilot.

    The best is the one with the highest rate on the units that all share: to people where labels correct every rate. A number of
    images is planned for each rival that it cannot be told from, if the difference is truly the one seen; where planning gives
    none, its reason stands there.
    """
    by_people = _is_by_people(found)
    pairs = list(_pairs(found, by_people=by_people))
    rates = _rates(found, by_people=by_people)
    highest = max((r for r in rates.values() if r is not None), default=None)
    best = tuple(name for name, rate in rates.items() if rate is not None and rate == highest)
    told = tuple(p.better for p in pairs if p.told(level))
    lead = best[0] if best else ""
    tested = {p.second if p.first == lead else p.first: p for p in pairs if lead in (p.first, p.second)}
    beaten = tuple(name for name in tested if (lead, name) in told)
    open_ = tuple(name for name in tested if name not in beaten)
    by_name = {c.name: c for c in contenders}
    closest = sorted(open_, key=lambda name: abs(tested[name].value or 0))[:MOST_PLANNED]
    unknown = tuple(p.better for p in pairs if p.apart(level) and p.open)
    closest = [name for name in closest if not tested[name].open]
    needed = tuple(
        _needed(found, by_name[lead], by_name[name], tested[name], level, by_people=by_people)
        for name in closest
    )
    made = Conclusion(
        best=best,
        told_from=beaten,
        not_told_from=open_,
        told=told,
        images=max((one.difference.clusters for one in found.family), default=0),
        needed=needed,
        by_people=by_people,
        left_open=unknown,
    )
    others = [name for name in rates if name not in tested and name != lead]
    return _in_words(made, found, others, level)


def _is_by_people(found: Comparison) -> bool:
    """Whether labels correct every pair and every rate: a conclusion rests on people or on verdicts, never on some of each."""
    whole = [c for c in found.confirmed if not c.by]
    corrected = len(whole) == len(found.family) and all(c.corrected is not None for c in whole)
    return bool(whole) and corrected and all(c.corrected is not None for c in found.choices)


def _pairs(found: Comparison, *, by_people: bool) -> Iterator[_Pair]:
    people = {(c.first, c.second): c for c in found.confirmed if not c.by}
    for one in found.family:
        if not by_people:
            held = None if one.open is None else one.open.identified or one.open.bounds
            yield _Pair(one.first, one.second, one.difference.value, one.p_holm, _has_both_signs(held))
            continue
        said = people[one.first, one.second]
        value = said.corrected.value if said.corrected is not None else None
        yield _Pair(one.first, one.second, value, said.p_holm, _has_both_signs(said.identified))


def _has_both_signs(held: tuple[float, float] | None) -> bool:
    return held is not None and held[0] <= 0 <= held[1]


def _rates(found: Comparison, *, by_people: bool) -> Mapping[str, float | None]:
    if by_people:
        return {c.name: c.corrected.value if c.corrected else None for c in found.choices}
    return {c.name: c.isr.value for c in found.choices}


def _needed(
    found: Comparison, one: Contender, other: Contender, pair: _Pair, level: float, *, by_people: bool
) -> Needed:
    parts = Signature.parse(found.signature)
    made = Needed(first=one.name, second=other.name, difference=pair.value)
    if by_people:
        return made.without("this rests on people's labels, which isr plan --label-difference plans")
    if parts.get("prompts") == "random" or parts.get("cluster") or parts.get("prompt-cluster"):
        return made.without(
            "isr plan counts images under the same prompts; here prompts are a sample, or images are in clusters"
        )
    if not pair.value:
        return made.without("no difference was seen that could be planned for")
    wanted = Wanted(difference=abs(pair.value), family=len(found.family), level=level, power=POWER)
    try:
        answer = plan_pair(one, other, wanted)
    except IsrError as error:
        return made.without(str(error))
    if answer.images is None:
        return made.without("no number of images is enough")
    return Needed(
        first=one.name, second=other.name, difference=pair.value, images=answer.images, per_image=answer.per_image,
        assumes=(f"power {POWER:.0%}", *_as_one_of(found), *answer.notes),
    )  # fmt: skip


def _as_one_of(found: Comparison) -> tuple[str, ...]:
    return (f"as one of {len(found.family)} comparisons",) if len(found.family) > 1 else ()


def _in_words(made: Conclusion, found: Comparison, others: Sequence[str], level: float) -> Conclusion:
    return replace(made, text=tuple(_sentences(made, found, others, level)))


def _sentences(made: Conclusion, found: Comparison, others: Sequence[str], level: float) -> Iterator[str]:
    clusters = "cluster" if "cluster" in Signature.parse(found.signature) else "image"
    images = text.counted(made.images, clusters)
    at = f"at the family's {level:.0%} (Holm, {text.counted(len(found.family), 'comparison')})"
    basis = "to people" if made.by_people else "by verdicts"
    if not made.best:
        yield "no method has a rate: nothing can be chosen"
        return
    lead = made.best[0]
    if found.confirmed and not made.by_people:
        yield "people's labels do not correct every comparison and every rate: what follows is by verdicts"
    for better, worse in made.left_open:
        yield (
            f"{better} and {worse}: the decided edits tell them apart, and the undecided ones leave open which is better: nothing can be "
            "concluded of them"
        )
    if not made.told:
        yield f"no method can be told from another with {images}, {basis}, {at}"
    elif made.told_from and not made.not_told_from and not others:
        yield f"{lead} is best, {basis}: told from every other ({', '.join(made.told_from)}) {at}"
    else:
        tied = f" (as {', '.join(made.best[1:])})" if len(made.best) > 1 else ""
        yield f"{lead} has the highest rate{tied}, {basis}"
        if made.told_from:
            yield f"it is told from {', '.join(made.told_from)} {at}"
        if made.not_told_from:
            yield f"it cannot be told from {', '.join(made.not_told_from)} with {images}"
        more = [f"{a} is better than {b}" for a, b in made.told if a != lead]
        if more:
            yield f"also told apart: {'; '.join(more)}"
    if others and made.told_from + made.not_told_from:
        yield f"{lead} was not compared with {', '.join(others)}"
    for one in made.needed:
        yield _plan_in_words(one)


def _plan_in_words(one: Needed) -> str:
    who = f"to tell {one.first} from {one.second}"
    if one.images is None:
        return f"isr plan gives no number of images {who}: {one.reason}"
    seen = text.difference(one.difference)
    return (
        f"isr plan says {one.images} images with {one.per_image:g} edits each {who}, if the difference is truly the {seen} seen here, "
        f"which few images overstate ({'; '.join(one.assumes)})"
    )
