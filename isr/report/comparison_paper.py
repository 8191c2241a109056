"""A comparison for a paper: a LaTeX table, rows of the CSV, and sentences of the methods section."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from isr import text
from isr.report.comparison import Compared, PairRow
from isr.signature import Signature
from isr.tables import tex, tex_cell, tex_points
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
        f"% {text.plain(found.signature)}",
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


def _note(found: Compared) -> str:
    said = "Won, lost: units immunized under the first only, under the second only."
    if found.several:
        said += f" All hold: these intervals hold together at {found.level:.0%}. Holm: adjusted over {found.family}."
    return tex_note(said)


def tex_note(said: str) -> str:
    """A note under a tabular, as wide as the page."""
    return rf"\par\smallskip\parbox{{\linewidth}}{{\footnotesize {tex(said)}}}"


def pair_rows(found: Compared) -> Iterator[tuple[Estimate, PairRow, str]]:
    """Each pair as an estimate for the CSV, with the words of its test."""
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
        yield made, row, "difference"


def sentences(found: Sequence[Compared]) -> str:
    """What a methods section says of the comparisons: test, correction, family, every difference; or why there is none."""
    return " ".join(filter(None, (_told(one) for one in found)))


def _told(found: Compared) -> str:
    where = f" ({found.runs})" if found.runs else ""
    if found.reason:
        return f"Methods are not compared{where}: {found.reason}."
    kinds = " and ".join(dict.fromkeys(row.found.difference.method for row in found.rows))
    parts = Signature.parse(found.signature)
    test = "t-tests" if parts.get("test") == "t" else f"sign-flip tests of whole {found.clusters}"
    prompts = "prompts taken as a sample" if parts.get("prompts") == "random" else "about these prompts"
    return (
        f"Methods were compared{where} on the same units (image, prompt, editor, seed, purifier), first minus second, {prompts}, with "
        f"{found.level:.0%} intervals ({kinds}) and p-values by {test}, adjusted by Holm's method over a family of "
        f"{found.family}: {'; '.join(map(_pair, found.rows))}. These are differences of the judge's verdicts."
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
        f"{text.p_value(row.found.p_holm)}; n = {d.n} units of {counted(d.clusters, 'image')}{won}{undecided})"
    )


def counted(count: int, word: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{count} {word}{'' if count == 1 else 's'}"
