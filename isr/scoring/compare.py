"""Methods compared on the same units, and the table for those who must choose one.

Pairs are formed on units (image_id, prompt_id, editor, seed, purifier), never on file names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from isr.errors import UsageError
from isr.scoring.comparison import Choice, Comparison, Left, Slice, Unpaired
from isr.scoring.estimates import RULES
from isr.scoring.finished import COSTS, Contender, EditRow
from isr.scoring.sampling import ALL_THERE_IS, Sampling
from isr.scoring.surrogates import SAMPLED, Sight, sight
from isr.signature import Signature
from isr.stats.difference import open_difference
from isr.stats.multiplicity import HOLM, benjamini_hochberg, simultaneous_level
from isr.stats.paired import LEFT_OUT, PairedComparison, compare_methods
from isr.stats.rate import rate_interval
from isr.stats.rows import Interval, Prompts
from isr.text import did_you_mean
from isr.types import Floats, Unit

PSNR_GAP_DB = 1.0  # above it methods count as compared at different distortion
LINF_GAP = 1.5 / 255


def compare(
    found: Sequence[Contender],
    instrument: dict[str, str],
    *,
    baseline: str = "",
    by: Sequence[str] = (),
    choose: bool = False,
    level: float = 0.95,
    seed: int = 0,
    prompts: Prompts = "fixed",
    cluster: str = "",
    margin: float | None = None,
    told: Sequence[str] = (),
) -> Comparison:
    """Every contender against every other, or against ``baseline``, as one declared family (Holm).

    prompts: whether they are a sample of prompts. cluster: a column that groups images. margin: of
    non-inferiority and equivalence. ``told``: warnings that come first. Raises ``UsageError`` if there are fewer than two contenders, or if no pair
    shares a unit.
    """
    pairs = _pairs(found, baseline)
    by_name = {c.name: c for c in found}
    assert len(by_name) == len(found), "contenders are told apart by their names"
    unpaired = tuple(_unpaired(by_name[a], by_name[b]) for a, b in pairs)
    if not any(u.shared for u in unpaired):
        example = next(iter(found[0].edits), None)
        raise UsageError(
            "isr compare: expected edits of the same units (image_id, prompt_id, editor, seed, purifier); found no "
            f"unit that two contenders share (the first of {found[0].name}: {tuple(example) if example else 'none'}); "
            "give the same image_id, prompt_id, editor, seed and purifier to rows that belong together"
        )
    drawn = Sampling.of(found, prompts, cluster, margin)
    family = _family(found, pairs, sorted({u for c in found for u in c.edits}), level, seed, drawn)
    slices = tuple(_slices(found, pairs, by, level, seed, drawn))
    choices = tuple(_choices(found, level, drawn)) if choose else ()
    return Comparison(
        signature=str(paired_signature(instrument, str(len(pairs)), seed, level, drawn)),
        family=family,
        unpaired=unpaired,
        slices=slices,
        choices=choices,
        warnings=(*told, *drawn.told(), *_warnings(found), *(_surrogate_warnings(found) if choose else ())),
    )


def paired_signature(
    instrument: Mapping[str, str], family: str, seed: int, level: float, drawn: Sampling = ALL_THERE_IS
) -> Signature:
    """What a family of paired comparisons rests on. family: its size, with its name where it has one."""
    return Signature.of(
        *instrument.items(),
        ("prompts", drawn.prompts),
        ("cluster", drawn.column) if drawn.cluster else None,
        ("prompt-cluster", drawn.column) if drawn.templates else None,
        ("estimand", "edit-mean"),
        ("pairs", "units"),
        ("family", f"{family}:{HOLM}"),
        ("test", "t" if drawn.prompts == "random" else f"image-sign-flip:seed={seed}"),
        ("level", f"{level:g}"),
        ("margin", f"{drawn.margin:g}") if drawn.margin else None,
        ("estimates", RULES),
    )


def _pairs(found: Sequence[Contender], baseline: str) -> list[tuple[str, str]]:
    names = [c.name for c in found]
    if len(names) < 2:
        raise UsageError(
            f"isr compare: expected at least two treatments (methods) in the runs; found {', '.join(names) or 'none'}"
        )
    if not baseline:
        return [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    if baseline not in names:
        raise UsageError(
            f"--baseline {baseline}: expected one of {'; '.join(names)}; {did_you_mean(baseline, names, 'choose one')}"
        )
    return [(a, baseline) for a in names if a != baseline]


def _unpaired(a: Contender, b: Contender) -> Unpaired:
    shared = len(a.edits.keys() & b.edits.keys())
    return Unpaired(a.name, b.name, shared, len(a.edits) - shared, len(b.edits) - shared)


def _family(
    found: Sequence[Contender],
    pairs: Sequence[tuple[str, str]],
    units: Sequence[Unit],
    level: float,
    seed: int,
    drawn: Sampling,
) -> tuple[PairedComparison, ...]:
    identical = [
        (a.name, b.name)
        for i, a in enumerate(found)
        for b in found[i + 1 :]
        if a.run == b.run and a.treatment == b.treatment
    ]
    table = {c.name: np.array([_outcome(c, u) for u in units], np.float64) for c in found}
    compared = compare_methods(
        table, drawn.images(units), pairs=list(pairs), identical=identical, seed=seed, level=level,
        prompt=drawn.asked(units), prompts=drawn.prompts, margin=drawn.margin,
    )  # fmt: skip
    wanted = frozenset(units)
    sides = {c.name: {u: row for u, row in c.edits.items() if u in wanted} for c in found}
    told = (with_undecided(one, sides[one.first], sides[one.second], level, drawn) for one in compared)
    return tuple(in_words(one, drawn) for one in told)


def in_words(one: PairedComparison, drawn: Sampling) -> PairedComparison:
    """The comparison, with its clusters called what they are."""
    return replace(
        one,
        difference=drawn.in_words(one.difference),
        simultaneous=drawn.in_words(one.simultaneous),
        p_method=drawn.named(one.p_method),
        notes=tuple(map(drawn.named, one.notes)),
    )


def with_undecided(
    one: PairedComparison,
    first: Mapping[Unit, EditRow],
    second: Mapping[Unit, EditRow],
    level: float,
    drawn: Sampling = ALL_THERE_IS,
) -> PairedComparison:
    """The comparison with its undecided pairs told apart from units that one side does not have, and what they leave open."""
    shared = sorted(first.keys() & second.keys())
    undecided = sum(math.isnan(first[u].outcome) or math.isnan(second[u].outcome) for u in shared)
    notes = tuple(n for n in one.notes if LEFT_OUT not in n)
    if not undecided:
        return replace(one, undecided=0, notes=notes)
    notes += (f"{undecided} of {len(shared)} shared units are undecided on a side and left out",)
    low, high = ([first[u].ends[end] - second[u].ends[1 - end] for u in shared] for end in (0, 1))
    left = open_difference(
        low,
        high,
        drawn.images(shared),
        one.difference.value,
        level=level,
        prompt=drawn.asked(shared),
        prompts=drawn.prompts,
    )
    return replace(one, undecided=undecided, notes=notes, open=left)


def _outcome(contender: Contender, unit: Unit) -> float:
    row = contender.edits.get(unit)
    return math.nan if row is None else row.outcome


def _slices(
    found: Sequence[Contender],
    pairs: Sequence[tuple[str, str]],
    by: Sequence[str],
    level: float,
    seed: int,
    drawn: Sampling,
) -> Iterator[Slice]:
    if not by:
        return
    groups: dict[tuple[str, ...], set[Unit]] = {}
    for contender in found:
        for unit, row in contender.edits.items():
            if missing := [c for c in by if c not in row.columns]:
                there = f"it has {', '.join(row.columns)}"
                raise UsageError(
                    f"--by: expected columns of edits.csv; found {', '.join(missing)}; "
                    f"{did_you_mean(missing, row.columns, there)}"
                )
            groups.setdefault(tuple(row.columns[c] for c in by), set()).add(unit)
    parts: list[tuple[dict[str, str], PairedComparison]] = []
    for values in sorted(groups):
        named = dict(zip(by, values, strict=True))
        parts += [(named, one) for one in _family(found, pairs, sorted(groups[values]), level, seed, drawn)]
    tested = [i for i, (_, one) in enumerate(parts) if one.p_value is not None]
    adjusted = benjamini_hochberg([p for _, one in parts if (p := one.p_value) is not None])
    p_bh = dict(zip(tested, adjusted.tolist(), strict=True))
    yield from (Slice(named, one, p_bh.get(i)) for i, (named, one) in enumerate(parts))


def _choices(found: Sequence[Contender], level: float, drawn: Sampling) -> Iterator[Choice]:
    """Rates on the units that all contenders share, each interval at the level at which all hold together."""
    shared = set.intersection(*({*c.edits} for c in found))
    each = simultaneous_level(level, 3 * len(found))
    for contender in found:
        notes = [] if shared else ["the contenders share no unit: rates are on different units"]
        units = sorted(shared or contender.edits)
        worst = _worst(contender, units, each, drawn)
        if worst is None:
            notes.append("worst attack: no unit was attacked in several ways (purifiers, seeds)")
        elsewhere, reason = _elsewhere(contender, units)
        if reason:
            notes.append(f"other editors: {reason}")
        open_ = dict(_open_rates(contender, units, elsewhere, each, drawn))
        notes += (_open_told(name, left) for name, left in open_.items() if name != "transfer")
        costs = {name: float(np.mean(values)) for name in COSTS if (values := contender.measured(name))}
        linf, psnr = contender.measured("protected_linf"), contender.measured("protected_psnr")
        yield Choice(
            name=contender.name,
            isr=_rate(contender, units, each, drawn),
            worst=worst,
            transfer=_rate(contender, elsewhere, each, drawn) if elsewhere else None,
            undecided=sum(math.isnan(contender.edits[u].outcome) for u in units),
            linf=max(linf) if linf else None,
            psnr=float(np.median(psnr)) if psnr else None,
            costs=costs,
            notes=tuple(notes),
            open=open_,
        )


def _open_rates(
    contender: Contender, units: Sequence[Unit], elsewhere: Sequence[Unit], level: float, drawn: Sampling
) -> Iterator[tuple[str, Left]]:
    """How far undecided edits leave a contender's rates open, with the interval that holds whatever they are."""
    attacks: dict[tuple[str, str, str], list[Unit]] = {}
    for unit in units:
        attacks.setdefault((unit.image_id, unit.prompt_id, unit.editor), []).append(unit)
    ends = {u: contender.edits[u].ends for u in units}
    first = [group[0] for group in attacks.values()]
    worst = [tuple(min(ends[u][k] for u in group) for k in (0, 1)) for group in attacks.values()]
    cases = (
        ("isr", units, list(ends.values())),
        ("worst", first if len(first) < len(units) else [], worst),
        ("transfer", elsewhere, [ends[u] for u in elsewhere]),
    )
    for name, held, values in cases:
        if not held or all(low == high for low, high in values):
            continue
        least, most = (
            _interval(np.array([e[k] for e in values], np.float64), held, level, drawn) for k in (0, 1)
        )
        held_by = None if least.low is None or most.high is None else (least.low, most.high)
        assert least.value is not None
        assert most.value is not None
        yield name, Left((least.value, most.value), held_by, len(held))


def _open_told(name: str, left: Left) -> str:
    span = (
        "" if left.identified is None else f" (interval {left.identified[0]:.1%} to {left.identified[1]:.1%})"
    )
    what = {"isr": "ISR", "worst": "worst attack"}[name]
    return (
        f"{what} between {left.bounds[0]:.1%} and {left.bounds[1]:.1%} whatever the undecided edits are{span}"
    )


def _elsewhere(contender: Contender, units: Sequence[Unit]) -> tuple[list[Unit], str]:
    """The units edited by another editor than the one that the method was optimised on, or why there are none."""
    seen = {u: _sight(contender, u) for u in units}
    elsewhere = [u for u, s in seen.items() if s.white_box is False]
    if elsewhere:
        return elsewhere, ""
    if any(s.white_box for s in seen.values()):
        return [], "no editor but the surrogate"
    return [], "no editor is named" if contender.treatment.surrogate else "no surrogate is named"


def _sight(contender: Contender, unit: Unit) -> Sight:
    return sight(unit.editor, contender.treatment.surrogate, contender.edits[unit].columns)


def _surrogate_warnings(found: Sequence[Contender]) -> Iterator[str]:
    """Where only names told the surrogate's edits from other editors', and where names and checkpoints disagree."""
    by_name, sampled, disagreeing = [], [], []
    for c in found:
        seen = [(u, _sight(c, u)) for u in c.edits]
        if any(s.by_name and not s.sampled for _, s in seen):
            by_name.append(c.name)
        if any(s.sampled for _, s in seen):
            sampled.append(c.name)
        if any(s.white_box is False and u.editor and u.editor == c.treatment.surrogate for u, s in seen):
            disagreeing.append(c.name)
    if by_name:
        yield (
            f"other editors: told by names, not by checkpoints: {', '.join(by_name)}; these edits have no "
            "editor_checkpoint and surrogate_checkpoint"
        )
    if sampled:
        yield f"other editors: told by names, not by checkpoints: {', '.join(sampled)}; {SAMPLED}"
    if disagreeing:
        yield (
            f"other editors: one name, two checkpoints: {', '.join(disagreeing)}; editor and surrogate are called "
            "alike, and their checkpoints differ: these edits count as another editor's"
        )


def _rate(contender: Contender, units: Sequence[Unit], level: float, drawn: Sampling) -> Interval:
    return _interval(np.array([contender.edits[u].outcome for u in units], np.float64), units, level, drawn)


def _worst(contender: Contender, units: Sequence[Unit], level: float, drawn: Sampling) -> Interval | None:
    """Immunized under every purifier and seed on the same image, prompt and editor."""
    attacks: dict[tuple[str, str, str], list[Unit]] = {}
    for unit in units:
        attacks.setdefault((unit.image_id, unit.prompt_id, unit.editor), []).append(unit)
    if len(attacks) == len(units):
        return None
    said = [[contender.edits[u].outcome for u in group] for group in attacks.values()]
    outcome = np.array([math.nan if any(map(math.isnan, o)) else min(o) for o in said], np.float64)
    return _interval(outcome, [group[0] for group in attacks.values()], level, drawn)


def _interval(outcome: Floats, units: Sequence[Unit], level: float, drawn: Sampling) -> Interval:
    decided = ~np.isnan(outcome)
    image, prompt = drawn.images(units)[decided], drawn.asked(units)[decided]
    return drawn.in_words(
        rate_interval(outcome[decided], image, prompt=prompt, prompts=drawn.prompts, level=level)
    )


def _warnings(found: Sequence[Contender]) -> Iterator[str]:
    measures: tuple[tuple[str, str, Callable[[list[float]], float], float, str], ...] = (
        ("protected_psnr", "median PSNR", lambda v: float(np.median(v)), PSNR_GAP_DB, "dB"),
        ("protected_linf", "largest L-inf", max, LINF_GAP, "in [0, 1] units"),
    )
    for column, label, summary, gap, unit in measures:
        values = {
            c.name: summary(v) for c in found if (v := [x for x in c.measured(column) if math.isfinite(x)])
        }
        if len(values) > 1 and max(values.values()) - min(values.values()) > gap:
            said = ", ".join(f"{name} {v:.3g}" for name, v in values.items())
            yield f"compared at different measured distortion: {label} {unit}: {said}; rankings can change at equal distortion"
    unmeasured = [c.name for c in found if not c.measured("protected_psnr")]
    if unmeasured:
        yield f"distortion not measured (no protected_file_name): {', '.join(unmeasured)}"
