"""The gallery's data: one entry per edit with its pictures, verdicts and labels, as compact JSON.

Texts stand once in a table and are named by number: 10,000 edits repeat a few prompts, methods and reasonings.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from isr.people.labels import Labels
from isr.report.assets import Assets
from isr.report.names import Names, row_names
from isr.report.runs import ReportRun, spelt, told_apart, verdict
from isr.scoring.edits_csv import OWN_COLUMNS
from isr.scoring.estimates import Settings
from isr.scoring.row_names import full_name
from isr.stats.independent import upper_tail
from isr.stats.special import ndtri
from isr.types import Treatment, Unit, Value

OUTCOMES = ("immunized", "not_immunized", "undecided")
VERDICTS = (Value.FAILS, Value.FINE, Value.UNDECIDED)  # the order of report.js
QUESTIONS = ("semantic", "perceptual")
Key = tuple[str, str]
"""An edit in the gallery: its edit_id and the digest of its file."""
COLUMNS = (*Unit._fields, *Treatment._fields)
"""What an edit is of, and what was done to its source: two edits of one unit differ in treatment alone."""
MOST_VALUES = 100
"""Of a further column of the metadata that can be filtered by; one that a run was grouped by (``--by``) may have more."""
DIGEST = 12
"""Characters of an edit's digest that tell edits of one name apart."""
_OWN = {"edit_id", "arm", "file_name", "source_file_name", "prompt", "split", *COLUMNS, *OWN_COLUMNS}


class Texts:
    """Numbers for texts, in the order of their first use."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {"": 0}

    def __call__(self, text: str) -> int:
        return self.known.setdefault(text, len(self.known))


def key_of(row: Mapping[str, str]) -> Key:
    """The key of an edit, of its row of ``edits.csv``: the same edit in several runs is one entry."""
    return row["edit_id"], row.get("edit_sha256", "")


def places(runs: Sequence[ReportRun]) -> dict[Key, int]:
    """The number of each protected edit in the gallery of these runs."""
    keys = (key_of(r) for run in runs for r in run.rows if r["arm"] == "protected")
    return {key: number for number, key in enumerate(dict.fromkeys(keys))}


def gallery(runs: Sequence[ReportRun], assets: Assets, labels: Labels | None = None) -> dict[str, Any]:
    """Everything that the gallery shows. The same edit in several runs is one entry with all their judges."""
    text = Texts()
    names = told_apart(runs, [run.judges for run in runs])
    judges = [name for some in names for name in some]
    offsets = [sum(len(n) for n in names[:i]) for i in range(len(runs))]
    said = _labels(labels)
    further = further_columns(runs)
    entries: dict[tuple[str, ...], dict[str, Any]] = {}
    for number, (run, called) in enumerate(zip(runs, row_names(runs), strict=True)):
        controls = {tuple(r[c] for c in Unit._fields): r for r in run.controls}
        ways = dict(zip(controls, possible(run, list(controls.values())), strict=True))
        rows = [r for r in run.rows if r["arm"] == "protected"]
        for row, way in zip(rows, possible(run, rows), strict=True):
            key = key_of(row)
            unit = tuple(row[c] for c in Unit._fields)
            entry = entries.get(key)
            if entry is None:
                entry = _entry(run, row, controls.get(unit), called, text, assets, said)
                entry["o"] = [None] * len(runs)
                entry["c"] = [None] * len(runs)
                entry["k"] = [None] * (2 * len(runs))
                entry["v"] = [None] * len(judges)
                entry["x"] = [text(row.get(c, "")) for c in further]
                entries[key] = entry
            entry["o"][number] = OUTCOMES.index(row["outcome"])
            if unit in controls:
                entry["c"][number] = OUTCOMES.index(controls[unit]["outcome"])
            entry["k"][2 * number : 2 * number + 2] = way, ways.get(unit)
            for i, judge in enumerate(run.judges):
                entry["v"][offsets[number] + i] = _verdicts(row, judge, text)
    named = Counter(name for name, _ in entries)
    for (name, digest), entry in entries.items():
        entry["h"] = digest.removeprefix("sha256:")[:DIGEST] if named[name] > 1 else ""
    return {
        "runs": [r.name for r in runs],
        "judges": judges,
        "judged": [number for number, some in enumerate(names) for _ in some],
        "made": [how_made(r) for r in runs],
        "columns": COLUMNS,
        "further": further,
        "texts": list(text.known),
        "entries": [_row(e) for e in entries.values()],
    }


def possible(run: ReportRun, rows: Sequence[Mapping[str, str]]) -> list[int]:
    """What is known of each row's outcome, as the run's rule has it: 4 where it is decided, plus 2 where the edit may be
    immunized, plus 1 where it is for certain. So the page need not know the rule to compute a rate with its bounds."""
    found = run.outcomes(rows)
    codes = 4 * found.decided + 2 * found.immunized_high + found.immunized_low
    return [int(c) for c in codes]


def how_made(run: ReportRun) -> dict[str, Any]:
    """How the run's intervals are made, for the page, which computes rates of what is shown in the same way."""
    made = Settings.signed(run.settings)
    return {
        "level": made.level,
        "z": -float(ndtri(upper_tail(made.level))),
        "interval": made.interval,
        "prompts": made.prompts,
        "estimand": made.estimand,
        "rules": made.rules,
        "correction": made.correction,
        "until": made.until,
    }


def further_columns(runs: Sequence[ReportRun]) -> list[str]:
    """Columns of the metadata beside our own that tell edits apart and can be filtered by."""
    asked = {c for run in runs for part in run.result.treatments for g in part.groups for c in g.by}
    values: dict[str, set[str]] = {}
    for run in runs:
        for row in run.rows:
            if row["arm"] == "protected":
                for column, cell in row.items():
                    if column not in _OWN and ":" not in column:
                        values.setdefault(column, set()).add(cell)
    return [c for c, some in values.items() if len(some) > 1 and (c in asked or len(some) <= MOST_VALUES)]


FIELDS = ("id", "p", "m", "e", "s", "n", "img", "c", "o", "v", "k", "x", "h", "l")


def _row(entry: Mapping[str, Any]) -> list[Any]:
    """An entry without its keys; the page names the places again."""
    return [entry[name] for name in FIELDS]


def _entry(
    run: ReportRun,
    row: Mapping[str, str],
    control: Mapping[str, str] | None,
    called: Names,
    text: Texts,
    assets: Assets,
    said: Mapping[tuple[str, str], list[list[str]]],
) -> dict[str, Any]:
    source = row.get("source_file_name", "")
    protected = run.protected_images.get(row["edit_id"], "")
    treatment = Treatment(*(row[c] for c in Treatment._fields))
    control_file = control["file_name"] if control else ""
    name = row["edit_id"]
    keys = dict.fromkeys([(name, row.get("edit_sha256", "")), (name, "")])
    labels = [label for key in keys for label in said.get(key, [])]
    return {
        "id": name,
        "p": text(row["prompt"]),
        "m": text(called.get(spelt(treatment)) or full_name(treatment)),
        "e": text(row.get("editor", "")),
        "s": text(row.get("split", "")),
        "img": assets.unit(run.root, source, protected, control_file, row["file_name"]),
        "l": [[text(cell) for cell in label] for label in labels] or None,
        "n": [text(row.get(c, "")) for c in COLUMNS],
    }


def _verdicts(row: Mapping[str, str], judge: str, text: Texts) -> list[Any]:
    """For each question: verdict, reason of an undecided one, score, reasoning."""
    out: list[Any] = []
    for question in QUESTIONS:
        name = f"{judge}:{question}"
        out += [
            VERDICTS.index(verdict(row.get(name, ""))),
            text(row.get(f"{name}_reason", "")),
            text(row.get(f"{name}_score", "")),
            text(row.get(f"{name}_reasoning", "")),
        ]
    return out


def _labels(labels: Labels | None) -> dict[tuple[str, str], list[list[str]]]:
    """By edit and digest of its file; without a digest where the label names none. Control edits stand elsewhere."""
    out: dict[tuple[str, str], list[list[str]]] = {}
    for label in labels.of_arm(control=False).rows if labels else ():
        marks = [label.rater, label.semantic.value, label.perceptual.value]
        out.setdefault((label.edit_id, label.edit_sha256), []).append(marks)
    return out


def packed(value: Any) -> str:
    """JSON, deflated, in base64: safe in any place of a page, and an eighth of the size."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(zlib.compress(body.encode("utf-8", "replace"), 9)).decode()


def script_json(value: Any) -> str:
    """JSON that can stand in a script element: nothing in it ends the element or is read as markup."""
    body = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        body = body.replace(character, f"\\u{ord(character):04x}")
    return body
