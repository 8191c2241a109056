"""Differences of two methods pooled over editors, or over the values of another column: does one transfer to a new editor?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from isr import text
from isr.scoring.finished import Contender, EditRow
from isr.scoring.identities import EDITOR, editors
from isr.signature import Signature
from isr.stats.pooling import (
    AWAY_FROM_ZERO,
    LEAST_GROUPS,
    PooledGroups,
    common_correlation,
    group_differences,
    pool_groups,
)
from isr.types import Unit

if TYPE_CHECKING:
    from isr.scoring.comparison import Comparison
    from isr.scoring.sampling import Sampling

METHOD = f"equal-weights:reml:away={AWAY_FROM_ZERO:g}"
Namer = Callable[[Mapping[str, str]], str]


@dataclass(frozen=True, kw_only=True)
class PooledPair:
    """``first`` minus ``second`` over ``groups`` like these; ``found`` is ``None`` where ``refused`` says why.

    ``n``: decided pairs of each group. ``identified``, ``new_identified``: the mean's interval, and that of a new group, whatever the
    undecided outcomes are; ``None`` where none is undecided.
    """

    first: str
    second: str
    column: str
    groups: tuple[str, ...]
    n: tuple[int, ...]
    found: PooledGroups | None
    refused: str = ""
    identified: tuple[float, float] | None = None
    new_identified: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()


def pool(
    found: Comparison, contenders: Sequence[Contender], by: Sequence[str], drawn: Sampling, level: float
) -> Comparison:
    """The comparison with each pair of its family pooled over the groups of ``by``.

    Editors are told apart by content (:func:`isr.scoring.identities.editors`); what that joins or parts is a warning.
    """
    namer, told, by_name_only = _namer(contenders, by)
    by_name = {c.name: c for c in contenders}
    pairs = tuple(
        _pair(by_name[one.first], by_name[one.second], by, namer, drawn, level) for one in found.family
    )
    if any(p.found for p in pairs) and by_name_only:
        told = (*told, by_name_only)
    more = Signature.parse(found.signature).plus(
        ("by", ",".join(by)), ("pooled", METHOD) if any(p.found for p in pairs) else None
    )
    return replace(found, signature=str(more), pooled=pairs, warnings=(*found.warnings, *told))


def _namer(contenders: Sequence[Contender], by: Sequence[str]) -> tuple[Namer, tuple[str, ...], str]:
    """What names the group of an edit, what is to be said of it, and what is to be said where it is used."""
    (column, *_) = by
    if column != EDITOR:
        return lambda columns: columns[column] or "(empty)", (), ""
    known = editors(row.columns for c in contenders for row in c.edits.values())
    return known.__getitem__, known.notes, known.by_name


def _pair(
    a: Contender, b: Contender, by: Sequence[str], namer: Namer, drawn: Sampling, level: float
) -> PooledPair:
    column = ", ".join(by)
    none = PooledPair(first=a.name, second=b.name, column=column, groups=(), n=(), found=None)
    if len(by) > 1:
        return replace(none, refused=f"combinations of {column} are no sample of anything: give one column")
    if a.run == b.run and a.treatment == b.treatment:
        return replace(none, refused="both sides are the same edits")
    shared = sorted(a.edits.keys() & b.edits.keys())
    group = {u: namer(a.edits[u].columns) for u in shared}
    mixed = {u for u in shared if namer(b.edits[u].columns) != group[u]}
    notes = []
    if mixed:
        notes.append(
            f"{len(mixed)} units have edits of two different {_many(column)}, one on each side: they are left out here"
        )
    units = [u for u in shared if u not in mixed]
    decided = [u for u in units if _known(a.edits[u]) and _known(b.edits[u])]
    kept, lost = _wide_enough(decided, group, drawn)
    notes += [f"{name}: {reason}: left out here" for name, reason in lost]
    names = tuple(sorted({group[u] for u in kept}))
    n = Counter(group[u] for u in kept)
    one = replace(none, groups=names, n=tuple(n[g] for g in names), notes=tuple(notes))
    if len(names) < LEAST_GROUPS:
        claim = "'transfers' is a claim about editors and" if column == EDITOR else "a new one"
        return replace(
            one, refused=f"{len(names)} {_many(column, len(names))}: {claim} needs at least {LEAST_GROUPS}"
        )
    own = _pooled([a.edits[u].outcome - b.edits[u].outcome for u in kept], kept, group, drawn, level)
    if len(decided) == len(units):
        return replace(one, found=own)
    ends = _wide_enough(units, group, drawn)[0]
    least, most = (
        _pooled([a.edits[u].ends[e] - b.edits[u].ends[1 - e] for u in ends], ends, group, drawn, level)
        for e in (0, 1)
    )
    left = f"{len(units) - len(decided)} of {len(units)} shared units are undecided on a side and left out"
    assert least is not None and most is not None, "every group of decided pairs is one of all pairs"  # noqa: PT018
    return replace(
        one,
        found=own,
        identified=(least.low, most.high),
        new_identified=(least.new_low, most.new_high),
        notes=(*notes, left),
    )


def _known(row: EditRow) -> bool:
    return not math.isnan(row.outcome)


def _wide_enough(
    units: Sequence[Unit], group: Mapping[Unit, str], drawn: Sampling
) -> tuple[list[Unit], list[tuple[str, str]]]:
    """The units of groups that have an interval of their own, and the groups that have none, with the reason."""
    images, prompts = drawn.images(units).tolist(), drawn.asked(units).tolist()
    seen: dict[str, tuple[set[int], set[int]]] = {}
    for unit, image, prompt in zip(units, images, prompts, strict=True):
        held = seen.setdefault(group[unit], (set(), set()))
        held[0].add(image)
        held[1].add(prompt)
    lost = {g: "one image" for g, held in seen.items() if len(held[0]) < 2}
    if drawn.prompts == "random":
        lost |= {
            g: "one prompt of a sample" for g, held in seen.items() if len(held[1]) < 2 and g not in lost
        }
    return [u for u in units if group[u] not in lost], sorted(lost.items())


def _pooled(
    d: Sequence[float], units: Sequence[Unit], group: Mapping[Unit, str], drawn: Sampling, level: float
) -> PooledGroups | None:
    names = sorted({group[u] for u in units})
    place = {name: i for i, name in enumerate(names)}
    each = group_differences(
        d, drawn.images(units), [place[group[u]] for u in units], prompt=drawn.asked(units), prompts=drawn.prompts
    )  # fmt: skip
    return pool_groups(
        each.y, common_correlation(each.covariance), df=each.df, level=level, limits=(-1.0, 1.0)
    )


# --------------------------------------------------------------------------- in words


def _many(column: str, count: int = 2) -> str:
    if column == EDITOR:
        return "editor" if count == 1 else "editors"
    return f"value{'' if count == 1 else 's'} of {column}"


def lines(pairs: Sequence[PooledPair], level: float) -> Iterator[str]:
    """What is said of each pair over groups like these, and each group's value drawn towards the others."""
    if not pairs:
        return
    column = pairs[0].column
    yield ""
    yield (
        f"over {_many(column)}, taken as a sample of {_many(column)}, by verdicts (equal weights, REML between them; each {level:.0%} "
        "interval by itself, not adjusted over pairs)"
    )
    for one in pairs:
        yield f"{one.first} - {one.second}"
        if one.found is None:
            yield f"  {one.refused}"
        else:
            yield from _found(one, one.found)
        yield from (f"    {note}" for note in one.notes)


def _found(one: PooledPair, found: PooledGroups) -> Iterator[str]:
    new = f"a new {_many(one.column, 1)}"
    yield (
        f"  over {_many(one.column)} like these (k = {found.k}): {text.difference(found.value)} ({_span(found.low, found.high)}); "
        f"{new}: {_span(found.new_low, found.new_high)}; between {_many(one.column)} sd {100 * found.between:.1f} pp"
    )
    if one.identified is not None and one.new_identified is not None:
        yield (
            f"    whatever the undecided outcomes are: {_span(*one.identified)}; {new}: {_span(*one.new_identified)}"
        )
    width = max(map(len, one.groups)) + 2
    yield f"    {'':{width}}{'by itself':>10}  {'with the others':>15}{'interval':>22}{'n':>7}"
    for name, n, group in zip(one.groups, one.n, found.groups, strict=True):
        yield (
            f"    {name:{width}}{text.difference(group.own):>10}  {text.difference(group.value):>15}"
            f"{_span(group.low, group.high):>22}{n:>7}"
        )


def _span(low: float, high: float) -> str:
    return f"{text.points(low)} to {text.points(high)} pp"
