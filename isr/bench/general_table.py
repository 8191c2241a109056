"""The general table: every treatment at every place, whatever the paper's tables show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from isr.bench.paper_tables import NO_PURIFIER, WORST, metric_of, notes_of, section_of
from isr.bench.rows import EVERY, Row, metric_names
from isr.scoring.metrics_csv import Shown
from isr.tables import Cell, Line, Table


def general(rows: Sequence[Row], split: str = "") -> Table:
    """Every method, surrogate, budget, editor and purifier: ISR, uplift, distortion and what the metrics say."""
    wanted = [r for r in rows if r.split == split and (r.purifier != EVERY or not r.is_control)]
    metrics = metric_names(wanted)
    columns = {"": "method", "surrogate": "surrogate", "eps": "eps", "purifier": "purifier"}
    columns |= {"isr": "ISR", "n": "n", "images": "im.", "uplift": "over control"}
    columns |= {"isr_conditional": "ISR, control fine"}
    columns |= {m: one.heading for m, one in metrics.items()}
    lines = [_general_line(r, metrics) for r in sorted(wanted, key=_place(wanted))]
    title = "ISR of every method, editor and purifier" + (f", {split} prompts" if split else "")
    notes = [n for n in notes_of(columns, lines) if not n.startswith("conventional")]
    if any(r.purifier == EVERY for r in wanted):
        notes.append(
            f"{WORST}: immunized under every purifier and seed; n counts images with prompt, not edits"
        )
    return Table(
        name="general", title=title, columns=columns, rows=tuple(lines), notes=tuple(notes), inline=True
    )


def _place(rows: Sequence[Row]) -> Callable[[Row], tuple[int, ...]]:
    """Editors and judges as they come; controls first in each purifier."""
    sections = {s: i for i, s in enumerate(dict.fromkeys((r.editor, r.judge) for r in rows))}
    purifiers = {
        p: i
        for i, p in enumerate(
            sorted({r.purifier for r in rows}, key=lambda p: (p == EVERY, p not in NO_PURIFIER, p))
        )
    }
    return lambda r: (sections[r.editor, r.judge], purifiers[r.purifier], not r.is_control)


def _general_line(row: Row, metrics: Mapping[str, Shown]) -> Line:
    worst = row.purifier == EVERY
    rate = row.estimates["isr_worst"] if worst else row.rate
    cells = {
        "surrogate": Cell(text=row.surrogate or "-"),
        "eps": Cell(text=row.eps or "-"),
        "purifier": Cell(text=WORST if worst else row.purifier or "none"),
        "isr": Cell(rate, "rate", headline=row.headline),
        "n": Cell(text=str(rate.n)),
        "images": Cell(text=str(rate.clusters)),
    }
    if not (row.is_control or worst):
        cells["uplift"] = Cell(row.estimates["uplift"], "points", headline=row.headline)
        cells["isr_conditional"] = Cell(row.estimates["isr_conditional"], "rate", headline=row.headline)
        cells |= {m: metric_of(row, m, one.title) for m, one in metrics.items()}
    name = "no protection" if row.is_control else row.label
    return Line(name, cells, section_of(row.editor, row.judge), {}, row.signature)
