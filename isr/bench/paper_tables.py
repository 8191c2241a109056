"""The paper's tables II, VI and VII from rows of ours, the published figures beside them.

Every figure of ours stands with its interval and n. A published rate comes without an interval; the one shown is
Wilson's at the paper's n, and is marked as computed here. What the paper's figures are not known to be is said to be
not known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from isr.bench.published import Published, PublishedRow, same_name
from isr.bench.rows import Row, number
from isr.scoring.metrics_csv import EARLIER
from isr.scoring.surrogates import SAMPLED
from isr.tables import COMPUTED, UNVERIFIED, Cell, Known, Line, Table
from isr.types import Estimate

SEEN, UNSEEN = "seen", "unseen"
NO_PURIFIER = ("", "none")
WORST = "all, worst"
PAPER = "paper, by its panel"
DIGITS = {"psnr": 2}
PAPERS = (
    "psnr",
    "ssim",
    "vifp",
    "fsim",
    "lpips",
)  # which SSIM the paper has is not known; the pooled one is the field's
LPIPS = (
    "lpips_vgg",
    "lpips",
    "lpips_alex",
)  # ours beside the paper's, whose network is not known: the first that there is


def table_ii(rows: Sequence[Row], published: Published | None = None) -> Table:
    """Methods by editor: conventional metrics, ISR on the original and on unseen prompts (the paper's Table II)."""
    columns = {"": "method"} | {m: EARLIER[m].heading for m in PAPERS}
    columns |= {"isr_seen": "ISR orig. prompt", "isr_unseen": "ISR unseen"}
    ours = [r for r in _white_box(rows) if r.role != "ablation"]
    found = _lines("II", ours, columns, published, label=_method_label(ours), matches=_same_method)
    title = "Table II: immunization of each editor"
    return _table("II", title, columns, found, published, [*_told_by_name(rows), *_lpips_told(ours)])


def table_vi(rows: Sequence[Row], published: Published | None = None) -> Table:
    """The ablation of the loss (the paper's Table VI)."""
    columns = {"": "loss", "isr_seen": "ISR orig. prompt", "isr_unseen": "ISR unseen"}
    every = [r for r in _white_box(rows) if r.ablation]
    ours = _ablated(every)
    found = _lines(
        "VI", ours, columns, published,
        label=_told_apart(ours, lambda r: r.ablation), matches=lambda r, p: same_name(r.ablation, p.ablation),
    )  # fmt: skip
    title = "Table VI: what each term of the loss contributes"
    return _table("VI", title, columns, found, published, [*_budgets(ours, every), *_told_by_name(rows)])


def table_vii(rows: Sequence[Row], published: Published | None = None) -> Table:
    """The sweep of lambda (the paper's Table VII)."""
    columns = {"": "λ"} | {m: EARLIER[m].heading for m in ("psnr", "ssim", "lpips")}
    columns |= {"isr_seen": "ISR orig. prompt"}
    every = sorted((r for r in _white_box(rows) if r.lam is not None), key=lambda r: r.lam or 0.0)
    ours = _ablated(every)
    found = _lines(
        "VII", ours, columns, published,
        label=_told_apart(ours, lambda r: f"{r.lam:g}"), matches=lambda r, p: r.lam == p.lam,
    )  # fmt: skip
    title = "Table VII: the weight of the divergence"
    return _table(
        "VII",
        title,
        columns,
        found,
        published,
        [*_budgets(ours, every), *_told_by_name(rows), *_lpips_told(ours)],
    )


LAYOUTS: Mapping[str, Callable[[Sequence[Row], Published | None], Table]] = {
    "II": table_ii,
    "VI": table_vi,
    "VII": table_vii,
}


def _white_box(rows: Iterable[Row]) -> list[Row]:
    """What the paper's tables speak of: no purifier, the editor that the method was optimised on."""
    return [r for r in rows if r.purifier in NO_PURIFIER and r.sight.white_box is not False]


def _told_by_name(rows: Iterable[Row]) -> Iterator[str]:
    """That names decided what is in the table, where they did."""
    seen = [r.sight for r in rows]
    if any(s.sampled for s in seen):
        yield f"edits by the editor that a method was optimised on: told by names, not by checkpoints: {SAMPLED}"
    if any(s.by_name and not s.sampled for s in seen):
        yield (
            "edits by the editor that a method was optimised on: told by names, not by checkpoints (the edits have no "
            "editor_checkpoint and surrogate_checkpoint)"
        )


def _ablated(rows: Iterable[Row]) -> list[Row]:
    """The rows of editors and budgets at which an ablation was run."""
    found = list(rows)
    places = {(r.editor, r.eps) for r in found if r.role == "ablation"}
    return [r for r in found if (r.editor, r.eps) in places]


def _budgets(shown: Sequence[Row], rows: Sequence[Row]) -> Iterator[str]:
    """At which budgets the ablations were run, and which others have none."""
    by = ((editor, [r.eps for r in some]) for editor, some in _by_editor(shown).items())
    told = [f"{editor} {', '.join(sorted(set(eps), key=number))}" for editor, eps in by]
    if told:
        yield f"only budgets (eps) at which an ablation was run: {'; '.join(told)}"
    left = sorted({r.eps for r in rows} - {r.eps for r in shown}, key=number)
    if left:
        yield f"no ablation was run at eps {', '.join(left)}: see the general table"


def _same_method(row: Row, known: PublishedRow) -> bool:
    return not row.is_control and same_name(row.label, known.method)


def _method_label(rows: Sequence[Row]) -> Callable[[Row], str]:
    """The method's name, with its budget where the same name stands for several."""
    return _told_apart(rows, lambda r: "no protection" if r.is_control else r.label)


def _told_apart(rows: Sequence[Row], name: Callable[[Row], str]) -> Callable[[Row], str]:
    """A row's name with, where it stands for several treatments, what tells them apart: budget, method, config,
    surrogate (one checkpoint under several settings)."""
    parts: tuple[Callable[[Row], str], ...] = (
        lambda r: f"eps {r.eps}",
        lambda r: r.label,
        lambda r: r.config,
        lambda r: f"on {r.surrogate}",
    )
    held: dict[tuple[str, str], list[Row]] = {}
    for r in rows:
        held.setdefault((r.editor, name(r)), []).append(r)

    def told(row: Row) -> str:
        said, some = [name(row)], held[row.editor, name(row)]
        for part in parts:
            if len({part(r) for r in some}) > 1:
                said.append(part(row))
                some = [r for r in some if part(r) == part(row)]
        return ", ".join(said)

    return told


def _lines(
    table: str,
    rows: Sequence[Row],
    columns: Mapping[str, str],
    published: Published | None,
    *,
    label: Callable[[Row], str],
    matches: Callable[[Row, PublishedRow], bool],
) -> list[Line]:
    """The lines of each editor: controls first, the paper's methods in its order, then those of ours alone."""
    known = list(published.lines(table)) if published else []
    found: list[tuple[tuple[bool, int], Line]] = []
    for (editor, judge), some in _by_judged(rows).items():
        section = section_of(editor, judge)
        groups: dict[tuple[str, ...], list[Row]] = {}
        for r in some:
            groups.setdefault((r.label, r.method, r.config, r.eps, r.surrogate), []).append(r)
        missing = {i for i, p in enumerate(known) if same_name(p.editor, editor)}
        for group in groups.values():
            first, level = group[0], group[0].rate.level
            same = (i for i in range(len(known)) if same_name(known[i].editor, editor))
            at = next((i for i in same if _budget(first, published) and matches(first, known[i])), None)
            missing.discard(-1 if at is None else at)
            side = (
                {} if first.is_control or published is None else _known(at, table, columns, published, level)
            )
            line = Line(label(first), _cells(group, columns), section, side, first.signature)
            found.append(((not first.is_control, len(known) if at is None else at), line))
        if published:
            for i in missing:
                line = _only_published(i, table, columns, published, section, some[0].rate.level)
                found.append(((True, i), line))
    places = _by_section([line for _, line in found])
    return [line for _, line in sorted(found, key=lambda pair: (places(pair[1]), pair[0]))]


def section_of(editor: str, judge: str) -> str:
    """An editor's edits and whose verdicts their rates rest on."""
    return f"{editor or 'edits'}, judged by {judge}"


def _by_judged(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    found: dict[tuple[str, str], list[Row]] = {}
    for r in rows:
        found.setdefault((r.editor, r.judge), []).append(r)
    return found


def _budget(row: Row, published: Published | None) -> bool:
    """Whether a row of ours has the paper's budget, as far as the paper's is known."""
    return published is None or published.eps is None or number(row.eps) == published.eps


def _by_section(lines: Sequence[Line]) -> Callable[[Line], int]:
    """Sections stay together, in the order in which they first come."""
    order = {s: i for i, s in enumerate(dict.fromkeys(line.section for line in lines))}
    return lambda line: order[line.section]


def _by_editor(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for r in rows:
        found.setdefault(r.editor, []).append(r)
    return found


def _only_published(
    at: int, table: str, columns: Mapping[str, str], published: Published, section: str, level: float
) -> Line:
    """A line of the paper's that this study has none for: it says so, and why where that is known."""
    known = published.lines(table)[at]
    name = known.ablation or (f"{known.lam:g}" if known.lam is not None else known.method)
    missing = any(same_name(m, known.method) for m in published.not_implemented)
    first = next(k for k in columns if k)
    cell = Cell(text="not implemented" if missing else "not run")
    return Line(name, {first: cell}, section, _known(at, table, columns, published, level))


def _known(
    at: int | None, table: str, columns: Mapping[str, str], published: Published, level: float
) -> dict[str, Known]:
    """The published figures of one line by column; of no line, that none is known."""
    row = None if at is None else published.lines(table)[at]
    out = {}
    for key in columns:
        if key:
            rate = key.startswith("isr_")
            n = published.n.get(key.removeprefix("isr_")) if rate else None
            doubtful = row is not None and key in row.unverified
            out[key] = Known(
                value=getattr(row, key, None),
                rate=rate,
                n=n,
                digits=DIGITS.get(key, 4),
                unverified=doubtful,
                level=level,
            )
    return out


def _cells(rows: Sequence[Row], columns: Mapping[str, str]) -> dict[str, Cell]:
    """The cells of one treatment from its rows over all splits and over each."""
    by_split, level = {r.split: r for r in rows}, rows[0].rate.level
    seen = by_split.get(SEEN)
    metric_row = seen or by_split.get("", rows[0])
    cells: dict[str, Cell] = {}
    for key in columns:
        if key.startswith("isr_"):
            split = key.removeprefix("isr_")
            row = by_split.get(split)
            cells[key] = Cell(row.rate, "rate", headline=row.headline) if row else _absent(split, level)
        elif key:
            cells[key] = metric_of(metric_row, _ours(metric_row, key), EARLIER[key].title)
    return cells


def _absent(split: str, level: float) -> Cell:
    reason = f"no edit is of the split {split}"
    return Cell(
        Estimate(
            value=None,
            low=None,
            high=None,
            level=level,
            method="",
            n=0,
            clusters=0,
            bounds=None,
            notes=(reason,),
        ),
        "rate",
    )


def _ours(row: Row, name: str) -> str:
    """The metric of ours that stands in a column of the paper."""
    return next((m for m in LPIPS if f"edit:{m}" in row.metrics), name) if name == "lpips" else name


def _lpips_told(rows: Sequence[Row]) -> Iterator[str]:
    """Which LPIPS of ours stands in the paper's column."""
    for name in sorted({_ours(r, "lpips") for r in rows if not r.is_control} - {"lpips"}):
        title = next(r.shown[name].title for r in rows if name in r.shown)
        yield f"LPIPS: ours is {title}; which network the paper has is not known"


def metric_of(row: Row, name: str, title: str) -> Cell:
    if row.is_control:
        return Cell()  # a control edit has no other edit to be compared with
    found = row.metrics.get(f"edit:{name}")
    if found is None:
        reason = f"{title} was not measured"
        found = Estimate(
            value=None,
            low=None,
            high=None,
            level=row.rate.level,
            method="",
            n=0,
            clusters=0,
            bounds=None,
            notes=(reason,),
        )
    return Cell(found, "number", DIGITS.get(name, 4))


def _table(
    name: str,
    title: str,
    columns: Mapping[str, str],
    lines: Sequence[Line],
    published: Published | None,
    also: Iterable[str] = (),
) -> Table:
    notes = [*notes_of(columns, lines), *also]
    if published:
        notes += _published_notes(name, lines, published)
        title = f"{title} (layout of {published.paper})"
    if not lines:
        notes.append("no edit of this study belongs in this table")
    return Table(
        name=name,
        title=title,
        columns=columns,
        rows=tuple(lines),
        notes=tuple(notes),
        paper=PAPER if published else "",
    )


def notes_of(columns: Mapping[str, str], lines: Sequence[Line]) -> Iterator[str]:
    """The intervals' level and kind, and every reason for which a figure or an interval is missing."""
    levels = sorted({c.estimate.level for ln in lines for c in ln.cells.values() if c.estimate})
    if levels:
        told = " and ".join(f"{level:.0%}" for level in levels)
        yield f"[low, high]: {told} intervals clustered by source image; n edits, im. source images"
    if any("isr_seen" in ln.cells for ln in lines):
        yield "conventional metrics: edit of the protected image against the control edit, original prompt"
    reasons: dict[tuple[str, str], int] = {}
    for line in lines:
        for key, cell in line.cells.items():
            if cell.reason:
                where = (columns[key], cell.reason)
                reasons[where] = reasons.get(where, 0) + 1
    for (column, reason), count in reasons.items():
        yield f"{column}: {reason}" + (f" ({count} lines)" if count > 1 else "")


def _published_notes(name: str, lines: Sequence[Line], published: Published) -> Iterator[str]:
    known = [k for ln in lines for k in ln.known.values()]
    yield f"paper: {published.paper}; figures from {published.source}"
    yield "the paper's ISR is by the paper's own panel of judges, in every section: no figure of the section's judge"
    if levels := sorted({k.level for k in known if k.span}):
        told = " and ".join(f"{level:.0%}" for level in levels)
        yield (
            f"{COMPUTED} computed by us: Wilson's {told} interval of the published rate at the paper's n, "
            "edits as independent"
        )
    if any(k.unverified for k in known):
        yield f"{UNVERIFIED} transcribed, not verified"
    used = {ln.label for ln in lines}
    yield from (f"{m}: not implemented, {why}" for m, why in published.not_implemented.items() if m in used)
    yield from published.notes(name)
