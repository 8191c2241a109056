"""A comparison for a paper: a LaTeX table, rows of the CSV, and sentences of the methods section."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from isr import text
from isr.report.comparison import Compared, PairRow
from isr.scoring.comparison import Confirmed
from isr.scoring.shown import Shown
from isr.scoring.shown import shown as shown_estimate
from isr.signature import Signature
from isr.tables import tex, tex_cell, tex_points
from isr.text import counted
from isr.types import Estimate


def latex_pairs(found: Compared) -> str:
    """The pairs of one family with booktabs' rules: difference, interval, n, clusters, units won and lost, p, Holm."""
    if found.reason:
        return f"% no comparison: {text.plain(found.reason)}\n"
    level = tex(f"{found.level:.0%}")
    head = [
        "first $-$ second", f"difference (pp) [{level}]", *(["all hold"] if found.several else []), "$n$", found.clusters, "won", "lost", "$p$", "$p$ (Holm)",
    ]  # fmt: skip
    lines = [
        *([f"% {text.plain(found.runs)}"] if found.runs else []),
        f"% {text.plain(found.signature)}",
        *(f"% judged by {text.plain(judge)}" for judge in found.judges),
        *(f"% {text.plain(note)}" for note in (*found.warnings, *found.notes)),
        r"\begin{tabular}{l" + "r" * (len(head) - 1) + "}",
        r"\toprule",
        " & ".join(head) + r" \\",
        r"\midrule",
    ]
    place = ""
    for row in found.rows:
        if row.place != place:
            place = row.place
            lines.append(rf"\multicolumn{{{len(head)}}}{{l}}{{\textit{{{tex(place)}}}}} \\")
        lines.append(" & ".join(_cells(found, row)) + r" \\")
        if row.people is not None and row.people.corrected is not None:
            lines.append(" & ".join(_people_cells(row.people, joint=found.several)) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    return "\n".join([*lines, _note(found)]) + "\n"


def _cells(found: Compared, row: PairRow) -> Iterator[str]:
    every, one = row.found.simultaneous, found.shown(row)
    yield f"{tex_cell(row.first)} $-$ {tex(row.second)}"
    yield tex_shown(one)
    if found.several:
        yield "--" if one.is_range else tex_points(None, every.low, every.high)
    yield from (one.size, str(one.estimate.clusters))
    yield from ("--" if n is None else str(n) for n in (row.wins, row.losses))
    yield from (text.p_value(p).replace("<", "$<$") for p in (row.found.p_value, row.found.p_holm))


def _people_cells(people: Confirmed, *, joint: bool) -> Iterator[str]:
    d, every = people.corrected, people.simultaneous
    assert d is not None
    yield r"\quad to people"
    yield tex_points(d.value, d.low, d.high)
    if joint:
        yield "--" if every is None else tex_points(None, every.low, every.high)
    yield from (str(d.n), str(d.clusters), rf"\multicolumn{{2}}{{r}}{{{people.labels} labels}}")
    yield from (text.p_value(p).replace("<", "$<$") for p in (people.p_value, people.p_holm))


def _note(found: Compared) -> str:
    said = f"{found.runs}. " if found.runs else ""
    said += "Won, lost: units immunized under the first only, under the second only."
    if found.several:
        said += f" All hold: these intervals hold together at {found.level:.0%}. Holm: adjusted over {found.family}."
    if found.confirmed:
        said += " To people: corrected by their labels of these units."
    return tex_note(said)


def tex_note(said: str) -> str:
    """A note under a tabular, as wide as the page."""
    return rf"\par\smallskip\parbox{{\linewidth}}{{\footnotesize {tex(said)}}}"


Tested = tuple[Shown, PairRow, tuple[object, ...]]
"""An estimate of the CSV, its pair, and the cells p, p_holm, wins, losses."""


def tex_shown(one: Shown) -> str:
    """A difference in percentage points: the value with its interval, or the bounds with the interval of the set."""
    if not one.is_range:
        return tex_points(one.point, one.estimate.low, one.estimate.high)
    held = one.spanned(_tex_one, ", ")
    return f"between {one.written(_tex_one, ' and ')}" + (f" [{held}]" if held else "")


def _tex_one(value: float) -> str:
    return f"${text.points(value)}$"


def pair_rows(found: Compared) -> Iterator[Tested]:
    """Each pair as an estimate for the CSV, and as people would see it where labels correct it."""
    for row in found.rows:
        one = row.found
        shown = found.shown(row)
        made = replace(shown.estimate, method=f"{one.difference.method}; p: {one.p_method}")
        yield replace(shown, estimate=made), row, (one.p_value, one.p_holm, row.wins, row.losses)
        people = row.people
        if people is not None and people.corrected is not None:
            yield (
                shown_estimate("difference_corrected", _estimate(people, found.level)),
                row,
                (people.p_value, people.p_holm, None, None),
            )


def _estimate(people: Confirmed, level: float) -> Estimate:
    d = people.corrected
    assert d is not None
    return Estimate(
        value=d.value, low=d.low, high=d.high, level=level, method=f"{d.method}; {people.labels} labelled units", n=d.n,
        clusters=d.clusters, bounds=None, identified=people.identified, notes=(*d.notes, *people.notes),
    )  # fmt: skip


def sentences(found: Compared) -> str:
    """What a methods section says of a family: test, correction, size, every difference; or why there is none."""
    where = f" ({found.runs})" if found.runs else ""
    if found.reason:
        return f"Methods are not compared{where}: {found.reason}."
    kinds = " and ".join(dict.fromkeys(row.found.difference.method for row in found.rows))
    parts = Signature.parse(found.signature)
    test = "t-tests" if parts.get("test") == "t" else f"sign-flip tests of whole {found.clusters}"
    prompts = "prompts taken as a sample" if parts.get("prompts") == "random" else "about these prompts"
    design = parts.get("design")
    basis = (
        f"Corrected differences rest on people's labels of both methods' edits (design {design})."
        if found.confirmed
        else "These are differences of verdicts."
    )
    return (
        f"Methods were compared{where} on the same units (image, prompt, editor, seed, purifier), first minus second, {prompts}, with "
        f"{found.level:.0%} intervals ({kinds}) and p-values by {test}, adjusted by Holm's method over a family of "
        f"{found.family}: {'; '.join(_pair(found, row) for row in found.rows)}. {basis}"
    )


def _pair(found: Compared, row: PairRow) -> str:
    one = found.shown(row)
    d = one.estimate
    name = f"{row.place}: {row.first} minus {row.second}" if row.place else f"{row.first} minus {row.second}"
    if one.kind == "nothing":
        return f"{name}: no difference ({one.reason})"
    won = "" if row.wins is None else f", {row.wins} won and {row.losses} lost"
    undecided = f", {row.found.undecided} undecided" if row.found.undecided else ""
    return (
        f"{name}: {_told(one, found.level)}; p = {text.p_value(row.found.p_value)}, Holm "
        f"{text.p_value(row.found.p_holm)}; n = {d.n} units of {counted(d.clusters, 'image')}{won}{undecided}){_people(row.people)}"
    )


def _told(one: Shown, level: float) -> str:
    """The difference and the beginning of its parenthesis; of a range the interval that holds whatever the undecided are."""
    if one.is_range:
        span = one.spanned(text.points)
        held = f"{level:.0%} interval {span} pp whatever the undecided are" if span else "no interval"
        return f"between {one.written(text.points, ' and ')} pp ({held}"
    return f"{one.value} ({text.difference_interval(one.estimate)}"


def _people(people: Confirmed | None) -> str:
    if people is None or people.corrected is None:
        return ""
    d = people.corrected
    return (
        f", corrected by {counted(people.labels, 'labelled unit')} {text.difference(d.value)} ({text.difference_interval(d)}; "
        f"p = {text.p_value(people.p_value)}, Holm {text.p_value(people.p_holm)})"
    )
