"""A result as tables of data and as a piece of HTML, for notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from html import escape
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, get_args

from isr.errors import MissingExtraError, UsageError
from isr.scoring import by_edit
from isr.scoring.shown import Shown, shown_in
from isr.types import Estimate

if TYPE_CHECKING:
    import pandas

    from isr.scoring.result import Part, Result, TreatmentPart

Table = Literal["estimates", "edits", "verdicts", "answers"]
TREATMENTS_IN_HTML = 20


def rows(result: Result) -> Iterator[dict[str, Any]]:
    """One row for each estimate (``interval`` says how it was made): of every treatment, of the control edits, and of every group of them."""
    for part in [*result.treatments, *([result.control] if result.control else [])]:
        treatment = getattr(part, "treatment", None)
        named = {"arm": "control"} if treatment is None else {"arm": "protected", **treatment._asdict()}
        for one in (part, *part.groups):
            for name, e in one.estimates.items():
                yield {**named, **{f"by:{k}": v for k, v in one.by.items()}, "estimate": name, **_cells(e)}


def _cells(e: Estimate) -> dict[str, Any]:
    low, high = e.bounds or (None, None)
    least, most = e.identified or (None, None)
    return {
        "value": e.value, "low": e.low, "high": e.high, "level": e.level, "n": e.n, "clusters": e.clusters,
        "bound_low": low, "bound_high": high, "identified_low": least, "identified_high": most, "interval": e.method, "notes": "; ".join(e.notes),
        "signature": str(e.signature or ""),
    }  # fmt: skip


def rows_of(result: Result, table: Table) -> Iterator[dict[str, Any]]:
    """The rows of one of the tables. Raises ``UsageError`` for another name, ``InputError`` where the run is not there."""
    if table not in get_args(Table):
        raise UsageError(f"table: expected one of {', '.join(get_args(Table))}; found {table!r}")
    if table == "estimates":
        return rows(result)
    of = {"edits": by_edit.edits, "verdicts": by_edit.verdicts, "answers": by_edit.answers}
    return of[table](by_edit.table_of(result))


def to_frame(result: Result, table: Table = "estimates") -> pandas.DataFrame:
    """``rows_of`` as a pandas table. Raises ``MissingExtraError`` where pandas is not installed."""
    return framed(rows_of(result, table), "Result.to_frame", "Result.to_dicts")


def framed(rows: Iterable[Mapping[str, Any]], who: str, instead: str) -> pandas.DataFrame:
    """Rows as a pandas table. Raises ``MissingExtraError`` where pandas is not installed. who, instead: for its text."""
    if find_spec("pandas") is None:
        raise MissingExtraError(
            f"{who}: expected pandas; found none; pip install pandas, or take {instead}, which needs none"
        )
    import pandas

    return pandas.DataFrame(list(rows))


def to_html(result: Result) -> str:
    """The estimates of every treatment and of the control edits with interval, n and bounds, and the signature."""
    shown = result.treatments[:TREATMENTS_IN_HTML]
    parts: list[tuple[str, Part]] = [(_title(t), t) for t in shown]
    if result.control is not None:
        parts.append(("control edits", result.control))
    lines = [
        f"<tr><th>{escape(title if not i else '')}</th><td>{escape(name)}</td>{_html(one)}</tr>"
        for title, part in parts
        for i, (name, one) in enumerate(shown_in(result, part).items())
    ]
    head = "".join(f"<th>{h}</th>" for h in ("", "estimate", "value", "interval", "n", "images", "bounds"))
    left = len(result.treatments) - len(shown)
    more = f"<p>and {left} more treatments: to_frame() has all</p>" if left else ""
    return (
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>{more}"
        f"<p><small>{escape(result.signature)}</small></p>"
    )


def _title(part: TreatmentPart) -> str:
    said = {k: v for k, v in part.treatment._asdict().items() if v}
    return ", ".join(f"{k} {v}" for k, v in said.items()) or "edits"


def _html(one: Shown) -> str:
    e = one.estimate
    why = f' title="{escape("; ".join(e.notes), quote=True)}"' if e.notes else ""
    span = one.span or "no interval"
    cells = (one.value, f"{span} ({e.level:.0%})", one.size, str(e.clusters), one.left_open)
    return "".join(f"<td{why if not i else ''}>{escape(c)}</td>" for i, c in enumerate(cells))
