"""A comparison for a paper: a LaTeX table, rows of the CSV, and sentences of the methods section."""

from __future__ import annotations

from collections.abc import Iterator

from isr import text
from isr.report.comparison import Compared, PairRow
from isr.scoring.comparison import Confirmed
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
        lines.append(" & ".join(_cells(row, joint=found.several)) + r" \\")
        if row.people is not None and row.people.corrected is not None:
            lines.append(" & ".join(_people_cells(row.people, joint=found.several)) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    return "\n".join([*lines, _note(found)]) + "\n"


def _cells(row: PairRow, *, joint: bool) -> Iterator[str]:
    d, every = row.found.difference, row.found.simultaneous
    yield f"{tex_cell(row.first)} $-$ {tex(row.second)}"
    yield tex_points(d.value, d.low, d.high)
    if joint:
        yield tex_points(None, every.low, every.high)
    yield from (str(d.n), str(d.clusters))
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


Tested = tuple[Estimate, PairRow, str, tuple[object, ...]]
"""An estimate of the CSV, its pair, its name, and the cells p, p_holm, wins, losses."""


def pair_rows(found: Compared) -> Iterator[Tested]:
    """Each pair as an estimate for the CSV, and as people would see it where labels correct it."""
    for row in found.rows:
        one = row.found
        made = Estimate(
            value=one.difference.value,
            low=one.difference.low,
            high=one.difference.high,
            level=found.level,
            method=f"{one.difference.method}; p: {one.p_method}",
            n=one.difference.n,
            clusters=one.difference.clusters,
            bounds=None if one.open is None else one.open.bounds,
            identified=None if one.open is None else one.open.identified,
            notes=tuple(dict.fromkeys([*one.difference.notes, *one.notes])),
        )
        yield made, row, "difference", (one.p_value, one.p_holm, row.wins, row.losses)
        people = row.people
        if people is not None and people.corrected is not None:
            yield (
                _estimate(people, found.level), row, "difference_corrected", (people.p_value, people.p_holm, None, None),
            )  # fmt: skip


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
        f"{found.family}: {'; '.join(map(_pair, found.rows))}. {basis}"
    )


def _pair(row: PairRow) -> str:
    d = row.found.difference
    name = f"{row.place}: {row.first} minus {row.second}" if row.place else f"{row.first} minus {row.second}"
    if d.value is None:
        return f"{name}: no difference ({'; '.join(d.notes)})"
    won = "" if row.wins is None else f", {row.wins} won and {row.losses} lost"
    undecided = f", {row.found.undecided} undecided" if row.found.undecided else ""
    return (
        f"{name}: {text.difference(d.value)} ({text.difference_interval(d)}; p = {text.p_value(row.found.p_value)}, Holm "
        f"{text.p_value(row.found.p_holm)}; n = {d.n} units of {counted(d.clusters, 'image')}{won}{undecided}){_people(row.people)}"
    )


def _people(people: Confirmed | None) -> str:
    if people is None or people.corrected is None:
        return ""
    d = people.corrected
    return (
        f", corrected by {counted(people.labels, 'labelled unit')} {text.difference(d.value)} ({text.difference_interval(d)}; "
        f"p = {text.p_value(people.p_value)}, Holm {text.p_value(people.p_holm)})"
    )
