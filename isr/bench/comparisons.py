"""Our methods against every baseline and against no protection: one declared family of paired differences.

A pair is two methods at one budget on one surrogate, on the same units (image, prompt, seed) of one editor and one
purifier. The family is everything that the study declares, over all budgets, editors and purifiers; Holm adjusts over
the whole of it, also over members that came to no p-value. Ablations are a family of their own. All purifiers together are no member: they would repeat the rest.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from isr import text
from isr.bench.cells import Editing, Immunization, Plan
from isr.bench.study import NONE
from isr.bench.study_labels import Labelled, corrected
from isr.people.confirm_text import banner, details, swapped_told
from isr.scoring.compare import in_words, paired_signature, with_undecided
from isr.scoring.comparison import Confirmed
from isr.scoring.finished import EditRow, FinishedRun
from isr.scoring.sampling import ALL_THERE_IS, Sampling
from isr.scoring.shown import UNDECIDED_SHARE, shown_pair
from isr.signature import Signature
from isr.stats.paired import PairedComparison, compare_methods
from isr.types import Treatment, Unit

MAIN, ABLATIONS = "main", "ablations"
VERDICTS = "differences of verdicts: a judge that errs differently on two methods can make them; [labels] in the study corrects them"
BOUNDS = "bounds"
Held = Mapping[Unit, EditRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One declared comparison: ``first`` minus ``second``, which is a method's label or ``none``."""

    editor: str
    purifier: str
    eps: float
    surrogate: str
    first: str
    second: str

    @property
    def place(self) -> str:
        """Where it is made, in words."""
        return f"{self.editor}, {self.purifier or NONE}, eps {self.eps:g}, on {self.surrogate}"


@dataclass(frozen=True, slots=True)
class Compared:
    """A declared comparison with what came of it; ``people``: what their labels say of it, where the study has some."""

    pair: Pair
    found: PairedComparison
    people: Confirmed | None = None

    def as_dict(self) -> dict[str, Any]:
        d, extra = self.found.difference, self.found.mcnemar
        return {
            **asdict(self.pair),
            "difference": asdict(d),
            "simultaneous": asdict(self.found.simultaneous),
            "p": self.found.p_value,
            "p_holm": self.found.p_holm,
            "p_method": self.found.p_method,
            "wins": extra.only_first if extra else None,
            "losses": extra.only_second if extra else None,
            "undecided": self.found.undecided,
            "notes": list(self.found.notes),
            **({} if self.found.within is None else {"within": self.found.within._asdict()}),
            **({} if self.people is None else {"people": self.people.as_dict()}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A family of comparisons, adjusted together; ``claim``: by the judge on whom the study's claims rest.

    ``told``: what is to be said of labels that correct it.
    """

    name: str
    judge: str
    signature: str
    members: tuple[Compared, ...]
    claim: bool = True
    told: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {
            **({"told": list(self.told)} if self.told else {}),
            "name": self.name,
            "judge": self.judge,
            "claim": self.claim,
            "signature": self.signature,
            "members": [m.as_dict() for m in self.members],
        }


def declared(plan: Plan, purifiers: Mapping[str, str]) -> dict[str, list[Pair]]:
    """All pairs of each family, in the order of the study. ``purifiers``: the canonical text of each spec."""
    found: dict[str, list[Pair]] = {MAIN: [], ABLATIONS: []}
    for editing in plan.editings:
        for spec in editing.purifiers:
            for one in editing.treatments:
                for family, second in _against(one, editing):
                    first, other = (one.label, second)
                    if family == ABLATIONS and second != NONE:
                        first, other = second, one.label
                    found[family].append(
                        Pair(
                            editor=editing.editor.name,
                            purifier=purifiers[spec],
                            eps=one.eps,
                            surrogate=one.surrogate.name,
                            first=first,
                            second=other,
                        )
                    )
    return {family: pairs for family, pairs in found.items() if pairs}


def _against(one: Immunization, editing: Editing) -> Iterator[tuple[str, str]]:
    """(family, label) of everything that a treatment is compared with."""
    beside = [
        o
        for o in editing.treatments
        if (o.eps, o.surrogate.name, o.method.norm) == (one.eps, one.surrogate.name, one.method.norm)
        and o != one
    ]
    if one.method.role == "ours":
        yield from ((MAIN, o.label) for o in beside if o.method.role == "baseline")
        yield MAIN, NONE
    if one.method.role == "ablation":
        yield from ((ABLATIONS, o.label) for o in beside if o.method.role == "ours")
        yield ABLATIONS, NONE


def compared(
    name: str,
    judge: str,
    pairs: Sequence[Pair],
    runs: Sequence[FinishedRun],
    labels: Mapping[Treatment, str],
    *,
    level: float,
    seed: int = 0,
    claim: bool = True,
    labelled: Labelled | None = None,
    drawn: Sampling = ALL_THERE_IS,
) -> Family:
    """The family ``pairs`` by one judge's runs over the editors. ``labels``: what the study calls each treatment.

    labelled: people's labels, by which each difference is corrected too. drawn: of what the units are a sample.
    """
    held = _held(runs, labels)
    units = sorted({u for some in held.values() for u in some})
    sides = {k: held.get(k, {}) for p in pairs for k in (_side(p, p.first), _side(p, p.second))}
    table = {
        _key(k): np.array([o[u].outcome if u in o else math.nan for u in units], np.float64)
        for k, o in sides.items()
    }
    family = compare_methods(
        table,
        drawn.images(units),
        pairs=[(_key(_side(p, p.first)), _key(_side(p, p.second))) for p in pairs],
        seed=seed,
        level=level,
        prompt=drawn.asked(units),
        prompts=drawn.prompts,
        margin=drawn.margin,
    )
    members = tuple(
        Compared(p, _told(one, p, sides[_side(p, p.first)], sides[_side(p, p.second)], level, drawn))
        for p, one in zip(pairs, family, strict=True)
    )
    made = paired_signature(runs[0].instrument, f"{name}:{len(pairs)}", seed, level, drawn)
    told: tuple[str, ...] = ()
    if labelled is not None:
        every = {_key(k): rows for k, rows in held.items()}
        unprotected = frozenset(_key(k) for k in {*held, *sides} if k[2] == NONE)
        people = corrected(
            family,
            {_key(k): rows for k, rows in sides.items()},
            every,
            unprotected,
            labelled,
            drawn=drawn,
            level=level,
        )
        members = tuple(
            replace(m, people=replace(one, first=m.pair.first, second=m.pair.second))
            for m, one in zip(members, people.members, strict=True)
        )
        swaps = (w for m in members if m.people for w in swapped_told(m.people))
        made, told = made.plus(*people.signature), tuple(dict.fromkeys([*people.warnings, *swaps]))
    return Family(name=name, judge=judge, signature=str(made), members=members, claim=claim, told=told)


Side = tuple[
    str, str, str, str, str
]  # editor, purifier, label, eps, surrogate; no eps and surrogate for controls


def _side(pair: Pair, label: str) -> Side:
    if label == NONE:
        return (pair.editor, pair.purifier, NONE, "", "")
    return (pair.editor, pair.purifier, label, repr(pair.eps), pair.surrogate)


def _key(side: Side) -> str:
    return "\0".join(side)


def _held(runs: Sequence[FinishedRun], labels: Mapping[Treatment, str]) -> dict[Side, dict[Unit, EditRow]]:
    """Edits by side: treatments under their labels, control edits as ``none``."""
    found: dict[Side, dict[Unit, EditRow]] = {}

    def add(rows: Mapping[Unit, EditRow], label: str, eps: str, surrogate: str) -> None:
        for unit, row in rows.items():
            found.setdefault((unit.editor, unit.purifier, label, eps, surrogate), {})[unit] = row

    for run in runs:
        add(run.controls, NONE, "", "")
        for treatment, rows in run.treatments.items():
            if treatment in labels:
                add(rows, labels[treatment], repr(float(treatment.eps)), treatment.surrogate)
    return found


def _told(
    one: PairedComparison, pair: Pair, first: Held, second: Held, level: float, drawn: Sampling
) -> PairedComparison:
    """The comparison under the study's names, its undecided pairs told apart from units that a side has not."""
    told = in_words(with_undecided(one, first, second, level, drawn), drawn)
    apart = len(first.keys() ^ second.keys())
    more = (f"{apart} units are on one side only",) if apart else ()
    notes = (n.replace(one.first, pair.first).replace(one.second, pair.second) for n in told.notes)
    return replace(told, first=pair.first, second=pair.second, notes=(*notes, *more))


def lines(family: Family) -> Iterator[str]:
    """The family as plain text."""
    level = _level(family)
    claim = "the study's claims" if family.claim else "no claims: what rests on the judge"
    yield (
        f"{family.name} family of {len(family.members)} comparisons by {family.judge} ({claim}): "
        "first minus second, paired on units"
    )
    clusters = "clusters" if "|cluster=" in family.signature else "images"
    width = max(len(f"{m.pair.first} - {m.pair.second}") for m in family.members) + 2
    heads = (f"all hold at {level:.0%}", "wins/losses")
    yield (
        f"  {'':{width}}{'difference':>11}{f'{level:.0%} interval':>20}{heads[0]:>22}{'n':>6}{clusters:>9}{heads[1]:>13}"
        f"{'p':>8}{'Holm':>8}"
    )
    place = ""
    for m in family.members:
        if m.pair.place != place:
            place = m.pair.place
            yield f"  {place}"
        yield _line(m, width, level)
        if m.people is not None:
            yield _people_line(m.people, width)
    if any(shown_pair(m.found, level).is_range for m in family.members):
        yield (
            f"  {BOUNDS}: more than {UNDECIDED_SHARE:.0%} of the pairs are undecided; the range is that of all that they may be"
        )
    if any(m.people is None or m.people.corrected is None for m in family.members):
        yield f"  {VERDICTS}"
    if untested := sum(m.found.p_value is None for m in family.members):
        yield f"  Holm: over all {len(family.members)} declared; {untested} of them without a p-value count as p = 1"
    yield from (
        f"  {n}"
        for n in text.footnotes(
            (n for m in family.members for n in m.found.notes), level, len(family.members)
        )
    )
    yield from _notes(family)


def _level(family: Family) -> float:
    return float(Signature.parse(family.signature)["level"])


def _notes(family: Family) -> Iterator[str]:
    """Every note once, with the comparison that it is about or how many there are."""
    found: dict[str, list[Pair]] = {}
    margin = float(Signature.parse(family.signature).get("margin", "0"))
    for m in family.members:
        for note in filter(_matters, m.found.notes):
            found.setdefault(note, []).append(m.pair)
        if margin:
            found.setdefault(_margin(m, margin), []).append(m.pair)
        if m.found.open is not None:
            note = text.left_open(m.found.open, _level(family))
            found.setdefault(note, []).append(m.pair)
        for note in _of_people(m, _level(family)):
            found.setdefault(note, []).append(m.pair)
    yield from (f"  warning: {t}" for t in family.told)
    for note, pairs in found.items():
        one = pairs[0]
        about = (
            f"{one.first} - {one.second} ({one.place})" if len(pairs) == 1 else f"{len(pairs)} comparisons"
        )
        yield f"  {about}: {note}"


def _margin(m: Compared, margin: float) -> str:
    """What a margin says of a member: of people's difference where labels correct it, else of verdicts."""
    if m.people is not None and m.people.corrected is not None:
        return text.within_margin(m.people.within, margin, "corrected")
    return text.within_margin(m.found.within, margin, "by verdicts")


def _of_people(m: Compared, level: float) -> Iterator[str]:
    """What labels say of a member beside its corrected difference."""
    if m.people is None:
        return
    one = replace(m.found, first=m.pair.first, second=m.pair.second)
    if said := banner(one, m.people):
        yield f"WARNING: {said}"
    if m.people.refused:
        yield f"corrected: refused: {m.people.refused}"
    yield from details(m.people, level)


def _matters(note: str) -> bool:
    """Notes about what is missing; the design effect stands in results.json."""
    return not note.startswith("design effect")


def _line(m: Compared, width: int, level: float) -> str:
    """One row; where too many pairs are undecided for a point, the bounds stand in the place of its interval."""
    d, s, extra = m.found.difference, m.found.simultaneous, m.found.mcnemar
    name = f"{m.pair.first} - {m.pair.second}"
    counts = f"{extra.only_first}/{extra.only_second}" if extra else "-"
    as_it_is = shown_pair(m.found, level)
    value, own = text.difference(d.value), text.difference_interval(d, unit=False)
    every = text.difference_interval(s, unit=False)
    if as_it_is.is_range:
        value, own, every = BOUNDS, as_it_is.written(text.points), text.NOTHING
    elif as_it_is.kind == "nothing" and d.value is not None:
        value, own, every = text.NOTHING, text.NOTHING, text.NOTHING
    return (
        f"    {name:{width - 2}}{value:>11}{own:>20}{every:>22}{d.n:>6}{d.clusters:>9}{counts:>13}"
        f"{text.p_value(m.found.p_value):>8}{text.p_value(m.found.p_holm):>8}"
    )


def _people_line(people: Confirmed, width: int) -> str:
    """The corrected difference, in the columns of that of verdicts."""
    head = f"    {'  to people':{width - 2}}"
    d, s = people.corrected, people.simultaneous
    if d is None or s is None:
        return f"{head}{'refused':>11}"
    labels = f"{people.labels} labels"
    return (
        f"{head}{text.difference(d.value):>11}{text.difference_interval(d, unit=False):>20}{text.difference_interval(s, unit=False):>22}"
        f"{d.n:>6}{d.clusters:>9}{labels:>13}{text.p_value(people.p_value):>8}{text.p_value(people.p_holm):>8}"
    )
