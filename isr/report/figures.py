"""Figures as standalone SVG files and their data as CSV. Colours are those of the light theme, so that they print."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from isr.report.forest import Block, Judge, Row
from isr.report.placed import shape
from isr.tables import csv_table

INK, SOFT, LINE, ACCENT = "#1b1b1a", "#6b6a66", "#d9d7d0", "#1f5f8b"
TONES = {
    "semantic only": "#1f5f8b",
    "perceptual only": "#7fa8c4",
    "both": "#123a55",
    "neither": "#e3e1da",
    "undecided": "#b9892f",
}
FONT = "font-family='system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif'"
WIDTH = 960


@dataclass(frozen=True)
class Figure:
    """A figure that can be taken out of the report: ``svg`` stands alone, ``csv`` holds every number in it."""

    name: str
    title: str
    svg: str
    csv: str


def words(x: float, y: float, text: str, size: int = 13, **kw: str) -> str:
    """A text whose left end (or what ``text_anchor`` says) is at a place; its other attributes with underscores."""
    attributes = "".join(f" {k.replace('_', '-')}='{v}'" for k, v in kw.items())
    return f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size}'{attributes}>{escape(text)}</text>"


def document(height: float, title: str, parts: Iterable[str], width: int = WIDTH) -> str:
    """The parts as an SVG file of that size in pixels."""
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height:.0f}' width='{width}' "
        f"height='{height:.0f}' role='img' {FONT} fill='{INK}'><title>{escape(title)}</title>"
        f"<rect width='100%' height='100%' fill='#fff'/>{''.join(parts)}</svg>"
    )


def cut(text: str, most: int) -> str:
    """A text of at most so many letters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def forest(blocks: Sequence[Block], judges: Sequence[Judge], level: float, signature: str) -> Figure:
    """The forest plot: the line is the interval, the pale band the bounds with undecided edits, the dotted line the interval
    that holds whatever they are; a hollow band stands where there are too many of them for a value, dashed for control edits;
    left of it is the mark of its judge, where there are several."""
    left, right = 250.0, 545.0

    def x(value: float) -> float:
        return left + value * (right - left)

    def parts() -> Iterator[str]:
        y = 40.0
        for number, judge in enumerate(judges if len(judges) > 1 else ()):
            yield mark(number, 22, y - 4, 4.5)
            yield words(36, y, cut(f"judge {judge.said}", 120), 12, fill=SOFT)
            y += 20
        y += 12 if len(judges) > 1 else 0
        for block in blocks:
            if len(blocks) > 1:
                yield words(16, y, cut(block.title, 90), 13, font_weight="600")
                y += 24
            foot = y + 26 * len(block.rows)
            for tick in (0, 0.25, 0.5, 0.75, 1):
                yield f"<line x1='{x(tick):.1f}' x2='{x(tick):.1f}' y1='{y - 16:.1f}' y2='{foot - 12:.1f}' stroke='{LINE}' stroke-width='1' opacity='.7'/>"
                yield words(x(tick), foot + 4, f"{tick:.0%}", 12, text_anchor="middle", fill=SOFT)
            for line in block.lines:
                yield words(
                    16 + 14 * line.depth, y, cut(line.label, 32), 13, fill=SOFT if line.depth else INK
                )
                for row in line.rows:
                    yield from _forest_row(row, x, y, several=len(judges) > 1)
                    y += 26
            y += 40
        yield words(16, y, cut(f"{level:.0%} intervals. {signature}", 150), 9, fill=SOFT)

    drawn = list(parts())
    tall = 40 + (20 * len(judges) + 12 if len(judges) > 1 else 0)
    tall += sum(40 + 24 * (len(blocks) > 1) + 26 * len(b.rows) for b in blocks) + 16
    header = (
        "block", "row", "kind", "value", "low", "high", "level", "bound_low", "bound_high", "identified_low", "identified_high", "n",
        "images", "shown", "edits", "judge",
    )  # fmt: skip
    data = [
        (
            b.title, r.label, r.kind, r.value, r.low, r.high, level, *(r.bounds or (None, None)), *(r.identified or (None, None)),
            r.n, r.clusters, r.shown.kind, r.shown.of, judges[r.series].said,
        )
        for b in blocks
        for r in b.rows
    ]  # fmt: skip
    title = "Immunization Success Rate with intervals"
    return Figure("forest", title, document(tall, "Forest plot", drawn), csv_table(header, data))


def mark(series: int, x: float, y: float, r: float, *, hollow: bool = False, tone: str = ACCENT) -> str:
    """A mark of a series at a place; each has a shape of its own."""
    fill = f"fill='{'#fff' if hollow else tone}' stroke='{tone}' stroke-width='2'"
    path = shape(series)
    if path == "circle":
        return f"<circle cx='{x:.1f}' cy='{y:.1f}' r='{r}' {fill}/>"
    return f"<path d='{path}' transform='translate({x:.1f} {y:.1f}) scale({0.9 * r:.2f})' vector-effect='non-scaling-stroke' {fill}/>"


def _forest_row(row: Row, x: Callable[[float], float], y: float, *, several: bool) -> Iterator[str]:
    one = row.shown
    control = row.kind.startswith("control")
    dashes = " stroke-dasharray='4 3'" if control else ""
    if one.band is not None:
        a, b = map(x, one.band)
        look = (
            f"fill='none' stroke='{ACCENT}' stroke-width='1.5'{dashes}"
            if one.is_range
            else f"fill='{ACCENT}' opacity='.14'"
        )
        yield f"<rect x='{a:.1f}' y='{y - 10:.1f}' width='{b - a:.1f}' height='12' {look}/>"
    if one.held is not None:
        a, b = map(x, one.held)
        yield f"<line x1='{a:.1f}' x2='{b:.1f}' y1='{y - 4:.1f}' y2='{y - 4:.1f}' stroke='{ACCENT}' stroke-width='1.5' stroke-dasharray='2 3'/>"
    if one.kind == "point" and one.interval is not None:
        a, b = map(x, one.interval)
        yield f"<line x1='{a:.1f}' x2='{b:.1f}' y1='{y - 4:.1f}' y2='{y - 4:.1f}' stroke='{ACCENT}' stroke-width='{2 if row.depth == 0 else 1.5}'/>"
    if one.point is not None:
        yield mark(
            row.series,
            x(one.point),
            y - 4,
            5 if row.depth == 0 else 3.5,
            hollow=control,
        )
    if several and one.is_range and one.band is not None:
        yield mark(row.series, x((one.held or one.band)[0]) - 9, y - 4, 2.5, hollow=control)
    if several:
        yield mark(row.series, 566, y - 4, 3.5)
    yield words(702, y, one.value, 13, text_anchor="end", font_weight="600" if row.depth == 0 else "400")
    yield words(714, y, one.span or cut(one.reason, 24), 12, fill=SOFT)
    yield words(944, y, f"n {one.size}", 12, text_anchor="end", fill=SOFT)


def decomposition(rows: Sequence[tuple[str, Mapping[str, int]]]) -> Figure:
    """Stacked bars: edits by which question fails. rows: (label, edits by part)."""

    def parts() -> Iterator[str]:
        y = 24.0
        at = 16.0
        for name, tone in TONES.items():
            yield f"<rect x='{at}' y='{y - 10}' width='11' height='11' fill='{tone}'/>"
            yield words(at + 17, y, name, 12)
            at += 40 + 7.2 * len(name)
        y += 34
        for label, shares in rows:
            total = sum(shares.values()) or 1
            yield words(16, y, cut(label, 34))
            at = 270.0
            for name, tone in TONES.items():
                wide = 570.0 * shares.get(name, 0) / total
                if wide:
                    yield f"<rect x='{at:.1f}' y='{y - 14:.1f}' width='{wide:.1f}' height='20' fill='{tone}'/>"
                    if wide > 34:
                        dark = name in ("neither", "perceptual only", "undecided")
                        yield words(
                            at + wide / 2,
                            y,
                            str(shares[name]),
                            11,
                            text_anchor="middle",
                            fill=INK if dark else "#fff",
                        )
                at += wide
            y += 32

    data = [(label, *(s.get(n, 0) for n in TONES), sum(s.values())) for label, s in rows]
    return Figure(
        "decomposition",
        "Which question fails",
        document(48 + 32 * len(rows), "Decomposition", parts()),
        csv_table(("edits", *TONES, "all"), data),
    )
