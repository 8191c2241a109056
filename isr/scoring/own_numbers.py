"""Whether the numbers of a bundle's result are those of its own table: computed again from the verdicts in ``edits.csv``.

Whether the verdicts are those of the answers, ``isr verify`` finds out.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from isr.canonical import sha256_bytes
from isr.edits.metadata import number_text
from isr.edits.refusals import FILE as REFUSALS
from isr.edits.refusals import Refusal, parsed
from isr.errors import InputError, Problem, StatisticsError
from isr.scoring.bundle_file import EDITS, Bundle
from isr.scoring.edits_csv import OWN_COLUMNS, rows_of
from isr.scoring.estimates import (
    Frame,
    Settings,
    control_estimate,
    treatment_estimates,
    with_refusals,
)
from isr.scoring.means import mean_grade
from isr.scoring.outcomes import Outcomes, of_rows
from isr.scoring.sequenced import without_interval
from isr.scoring.shown import headline
from isr.signature import Signature
from isr.types import Arm, Bools, Edit, Estimate, ImageRef, Treatment, Unit

RESULT = "result.json"
TABLE = "edits.csv"
TOP = 4  # of a grade
CLOSE = 1e-9
SHOWN = 3  # edits that are missing, by name
_Row = Mapping[str, str]


def require_own_numbers(bundle: Bundle) -> None:
    """Raises ``InputError`` where a bundle's result is not what its table gives, or its table has edits that it lacks."""
    raw, table = bundle.json(RESULT), bundle.listed(TABLE)
    bundle.listed(RESULT)
    try:
        if raw.get("table", {}).get(TABLE, sha256_bytes(table)) != sha256_bytes(table):
            raise _refused(bundle, TABLE, "the table of its result.json", "another")
        rows = list(rows_of(table))
        told = next(_differences(bundle, raw, rows), None)
        missing = sorted({r["edit_id"] for r in rows} - {str(e["edit_id"]) for e in _edits(bundle)})
        short = int(raw["data"]["of"]) - sum(1 for _ in _edits(bundle))
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
        csv.Error,
        StatisticsError,
    ) as error:
        why = f"what cannot be computed again ({error!r:.120})"
        raise _refused(bundle, RESULT, "the result of a run, and its table", why) from error
    if told is not None:
        raise _refused(bundle, *told)
    if missing or short:
        names = f": {', '.join(missing[:SHOWN])}{', ...' if len(missing) > SHOWN else ''}" if missing else ""
        found = f"{int(raw['data']['of']) - short}; of those in {TABLE}, {len(missing)} are missing{names}"
        raise _refused(bundle, EDITS, f"the {raw['data']['of']} edits of its result", found)


def _refused(bundle: Bundle, where: str, expected: str, found: str) -> InputError:
    fix = f"isr verify {bundle.path} lists all; fetch the bundle again"
    return InputError("a bundle contradicts itself", [Problem(str(bundle.path), where, expected, found, fix)])


def _edits(bundle: Bundle) -> Iterator[Any]:
    return (fields for _, fields in bundle.lines(EDITS))


@dataclass(frozen=True, kw_only=True)
class _Arm:
    """The rows of one arm as a tally has them; ``grades``: the mean of every judge's, (n,), NaN without one."""

    rows: Sequence[_Row]
    edits: Sequence[Edit]
    outcomes: Outcomes
    grades: np.ndarray

    @classmethod
    def of(cls, rows: Iterable[_Row], judges: Sequence[str], rule: str) -> _Arm:
        kept = list(rows)
        grades = np.array([[_grade(r.get(f"{j}:source_kept") or "") for r in kept] for j in judges])
        mean = grades.mean(axis=0) if len(judges) else np.full(len(kept), math.nan)
        return cls(rows=kept, edits=list(map(_edit, kept)), outcomes=of_rows(kept, judges, rule), grades=mean)

    def within(self, by: Mapping[str, str], some: Bools) -> Bools:
        """The rows of a group among ``some``."""
        return some & np.array([all(_cell(r, c) == v for c, v in by.items()) for r in self.rows], np.bool_)


def _grade(cell: str) -> float:
    said = [float(v) for v in cell.split("|") if v]
    return sum(said) / len(said) if said else math.nan


def _cell(row: _Row, column: str) -> str:
    own = column in OWN_COLUMNS or ":" in column
    return row.get(f"metadata:{column}" if own else column) or ""


def _edit(row: _Row) -> Edit:
    source = row.get("source_file_name")
    return Edit(
        edit_id=row["edit_id"],
        prompt=row["prompt"],
        unit=Unit(*(row[c] for c in Unit._fields)),
        treatment=_spelt(row[c] for c in Treatment._fields),
        edited=ImageRef(row["file_name"], ""),
        source=ImageRef(source, "") if source else None,
    )


def _spelt(values: Iterable[object]) -> Treatment:
    return Treatment(*(number_text(str(v)) for v in values))


_Difference = tuple[str, str, str]  # where, expected, found


def _differences(bundle: Bundle, raw: Mapping[str, Any], rows: Sequence[_Row]) -> Iterator[_Difference]:
    """Where a result says something else than its table, first the outcomes of edits, then counts, then estimates."""
    settings = Settings.signed(Signature.parse(raw["signature"]))
    judges, rule = [str(j["name"]) for j in raw["judges"]], str(raw["rule"])
    arms = {arm: _Arm.of((r for r in rows if Arm(r["arm"]) is arm), judges, rule) for arm in Arm}
    protected, control = arms[Arm.PROTECTED], arms[Arm.CONTROL]
    for arm in arms.values():
        for number, row in enumerate(arm.rows):
            if (word := arm.outcomes.word(number)) != row["outcome"]:
                where = f"{TABLE}: {row['edit_id']} ({row['arm']})"
                yield where, f"the outcome of its verdicts ({word})", row["outcome"] or "none"
    counts = {"edits": len(protected.rows), "controls": len(control.rows)}
    counts["images"] = len({e.cluster for e in protected.edits})
    yield from _unequal("data", {k: raw["data"][k] for k in counts}, counts)
    said = [_spelt(t[c] for c in Treatment._fields) for t in raw["treatments"]]
    if sorted(said) != sorted({e.treatment for e in protected.edits}):
        yield f"{RESULT}: treatments", f"those of {TABLE}", "others"
        return
    if (raw["control"] is not None) != bool(control.rows):
        yield f"{RESULT}: control", f"that of {TABLE}", "another"
        return
    frame = Frame.of(protected.edits)
    units = {e.unit: row for row, e in enumerate(control.edits)}
    paired = {
        int(code): units[e.unit]
        for e, code in zip(protected.edits, frame.unit, strict=True)
        if e.unit in units
    }
    refusals = _refusals(bundle)

    def of_treatment(some: Bools) -> dict[str, Estimate]:
        taken = protected.outcomes.take(some)
        made = treatment_estimates(frame.take(some), taken, paired, control.outcomes, settings)
        return made | _kept(protected, frame, some, settings)

    def of_control(some: Bools) -> dict[str, Estimate]:
        own = Frame.of(control.edits)
        made = control_estimate(own.take(some), control.outcomes.take(some), settings)
        return made | _kept(control, own, some, settings)

    for number, (part, treatment) in enumerate(zip(raw["treatments"], said, strict=True)):
        whole = np.array([e.treatment == treatment for e in protected.edits], np.bool_)
        own = {}
        if "isr_with_refusals" in part["estimates"]:
            refused = [r.unit for r in refusals if (r.treatment, r.arm) == (treatment, Arm.PROTECTED)]
            edits = [e for e, use in zip(protected.edits, whole, strict=True) if use]
            taken = protected.outcomes.take(whole)
            own["isr_with_refusals"] = with_refusals(edits, taken, refused, settings)
        yield from _part(
            f"treatments[{number}]", part, protected, whole, lambda some, own=own: of_treatment(some) | own
        )
    if raw["control"] is not None:
        every = np.ones(len(control.rows), np.bool_)
        yield from _part("control", raw["control"], control, every, of_control)


def _refusals(bundle: Bundle) -> list[Refusal]:
    lines = bundle.lines(REFUSALS) if REFUSALS in bundle.names else ()
    read = (parsed(fields, where) for where, fields in lines)
    return [r for r in read if isinstance(r, Refusal)]


def _kept(arm: _Arm, frame: Frame, some: Bools, settings: Settings) -> dict[str, Estimate]:
    grades = arm.grades[some]
    found = mean_grade(grades, frame.take(some), settings, TOP)
    return {"source_kept": found if settings.until is None else without_interval(found)}


def _part(
    where: str, part: Mapping[str, Any], arm: _Arm, whole: Bools, estimates: Any
) -> Iterator[_Difference]:
    """Where a part, or a group of it, is not what its rows give."""
    parts = [(where, part, whole)]
    parts += [(f"{where}.groups[{i}]", g, arm.within(g["by"], whole)) for i, g in enumerate(part["groups"])]
    for name, said, some in parts:
        n, decided = int(some.sum()), int(arm.outcomes.decided[some].sum())
        counts = {"edits": n, "decided": decided, "headline": headline(decided, n)}
        yield from _unequal(f"{name}.counts", {k: said["counts"][k] for k in counts}, counts)
        made = estimates(some)
        for estimate, values in said["estimates"].items():
            if estimate in made:
                yield from _unequal(f"{name}.estimates.{estimate}", values, made[estimate].as_dict())
            elif not n:
                yield f"{RESULT}: {name}.estimates.{estimate}", "no estimate: it has no edits", "one"


def _unequal(where: str, said: Mapping[str, Any], made: Mapping[str, Any]) -> Iterator[_Difference]:
    """Numbers of an estimate, or counts, that are not those that were computed again; words are not compared."""
    for name in dict.fromkeys([*said, *made]):
        if name in ("method", "notes"):
            continue
        a, b = said.get(name), made.get(name)
        if not _same(a, b):
            yield f"{RESULT}: {where}.{name}", f"{_short(b)}, as {TABLE} gives it", _short(a)


def _same(a: object, b: object) -> bool:
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (a, b))
    if numbers:
        return bool(abs(a - b) <= CLOSE)  # type: ignore[operator]
    return type(a) is type(b) and a == b


def _short(value: object) -> str:
    return "nothing" if value is None else f"{value}"[:60]
