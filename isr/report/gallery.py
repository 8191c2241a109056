"""The gallery's data: one entry per edit with its pictures, verdicts and labels, as compact JSON.

Texts stand once in a table and are named by number: 10,000 edits repeat a few prompts, methods and reasonings.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from isr.people.labels import Labels
from isr.report.assets import Assets
from isr.report.names import Names, row_names
from isr.report.runs import ReportRun, spelt, told_apart, verdict
from isr.scoring.row_names import full_name
from isr.types import Treatment, Unit, Value

OUTCOMES = ("immunized", "not_immunized", "undecided")
VERDICTS = (Value.FAILS, Value.FINE, Value.UNDECIDED)  # the order of report.js
QUESTIONS = ("semantic", "perceptual")
COLUMNS = (*Unit._fields, *Treatment._fields)
"""What an edit is of, and what was done to its source: two edits of one unit differ in treatment alone."""


class Texts:
    """Numbers for texts, in the order of their first use."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {"": 0}

    def __call__(self, text: str) -> int:
        return self.known.setdefault(text, len(self.known))


def gallery(runs: Sequence[ReportRun], assets: Assets, labels: Labels | None = None) -> dict[str, Any]:
    """Everything that the gallery shows. The same edit in several runs is one entry with all their judges."""
    text = Texts()
    names = told_apart(runs, [run.judges for run in runs])
    judges = [name for some in names for name in some]
    offsets = [sum(len(n) for n in names[:i]) for i in range(len(runs))]
    said = _labels(labels)
    entries: dict[tuple[str, ...], dict[str, Any]] = {}
    for number, (run, called) in enumerate(zip(runs, row_names(runs), strict=True)):
        controls = {tuple(r[c] for c in Unit._fields): r for r in run.controls}
        for row in (r for r in run.rows if r["arm"] == "protected"):
            key = (row["edit_id"], row.get("edit_sha256", ""))
            entry = entries.get(key)
            if entry is None:
                control = controls.get(tuple(row[c] for c in Unit._fields))
                entry = _entry(run, row, control, called, text, assets, said)
                entry["o"] = [None] * len(runs)
                entry["v"] = [None] * len(judges)
                entries[key] = entry
            entry["o"][number] = OUTCOMES.index(row["outcome"])
            for i, judge in enumerate(run.judges):
                entry["v"][offsets[number] + i] = _verdicts(row, judge, text)
    return {
        "runs": [r.name for r in runs],
        "judges": judges,
        "columns": COLUMNS,
        "texts": list(text.known),
        "entries": [_row(e) for e in entries.values()],
    }


FIELDS = ("id", "p", "m", "e", "s", "n", "img", "c", "o", "v", "l")


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
    images = [
        assets.add(run.root, p)
        for p in (source, protected, control["file_name"] if control else "", row["file_name"])
    ]
    name = row["edit_id"]
    keys = dict.fromkeys([(name, row.get("edit_sha256", "")), (name, "")])
    labels = [label for key in keys for label in said.get(key, [])]
    return {
        "id": name,
        "p": text(row["prompt"]),
        "m": text(called.get(spelt(treatment)) or full_name(treatment)),
        "e": text(row.get("editor", "")),
        "s": text(row.get("split", "")),
        "img": [*images, assets.difference(run.root, source, protected)],
        "c": None if control is None else OUTCOMES.index(control["outcome"]),
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
