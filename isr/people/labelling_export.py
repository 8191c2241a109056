"""What comes out of a labelling study: labels, how raters did, and labels taken in from elsewhere."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from isr.calibration.agreement.two_raters import cohen_kappa, confusion
from isr.errors import InputError, Problem, UsageError
from isr.files import write_text
from isr.people.label_store import MAX_NOTE, RATER_NAME, Given, LabelStore, Said
from isr.people.labelling_plan import Item, Kind, Study
from isr.people.labels import ATTENTION, QUESTIONS, SEEN, Label, Labels, Mark, saw_verdicts
from isr.people.labels_file import write_labels
from isr.people.labelstudio import export_labels
from isr.people.looks import NARROW_PX, look_of, wrong_cells
from isr.people.meeting import meet
from isr.reading import read_bytes
from isr.spreadsheet import csv_safe as without_formulas
from isr.stats.rate import rate_interval


def labels_of(store: LabelStore, kind: Kind = "edit") -> Labels:
    """The first answers of every rater about items of one kind."""
    study = store.study()
    rows = []
    for rater in store.raters():
        seen: set[int] = set()
        answers = store.said(rater)
        passed = _checks(study, answers)
        checks = f"{sum(passed)}/{len(passed)}" if passed else store.attention(rater)
        saw = store.seen(rater)
        for said in answers:
            item = study.items[said.item]
            if item.kind == kind and said.item not in seen:
                rows.append(_label(study, rater, item, said, {ATTENTION: checks, SEEN: saw}))
            seen.add(said.item)
    return Labels(tuple(rows))


def _checks(study: Study, answers: Sequence[Said]) -> list[bool]:
    """Whether a rater passed each attention check that was answered."""
    checks = [(study.items[s.item], s) for s in answers if study.items[s.item].kind == "attention"]
    return [all(s.marks.get(q) == v for q, v in item.expected.items()) for item, s in checks]


def _label(study: Study, rater: str, item: Item, said: Said, more: Mapping[str, str]) -> Label:
    extra = {"seconds": f"{said.seconds:.1f}", **said.look.cells(), "note": said.note, **more}
    return Label(
        edit_id=item.edit_id,
        rater=rater,
        semantic=Mark(said.marks.get("semantic", "")),
        perceptual=Mark(said.marks.get("perceptual", "")),
        edit_sha256=item.edit_sha256,
        image_id=item.image_id,
        pi=item.pi,
        stratum=item.stratum,
        plan=str(study.plan.get("plan", "")) if item.kind == "edit" else "",
        time=said.time,
        guideline=study.guideline,
        arm="control" if item.kind == "control" else "",
        extra={name: cell for name, cell in extra.items() if cell},
    )


def rater_reports(store: LabelStore) -> list[dict[str, Any]]:
    """Each rater's progress, attention checks, self-consistency on repeated items, time, and small windows."""
    study = store.study()
    return [_report(study, store, rater) for rater in store.raters()]


def _report(study: Study, store: LabelStore, rater: str) -> dict[str, Any]:
    said = store.said(rater)
    first: dict[int, Said] = {}
    twice: list[tuple[Said, Said]] = []
    for one in said:
        if one.item in first:
            twice.append((first[one.item], one))
        first.setdefault(one.item, one)
    passed = _checks(study, said)
    narrow = [s.look.narrow for s in said if s.look.narrow is not None]
    return {
        "rater": rater,
        "done": len(said),
        "of": store.state(rater).total,
        "attention": {"passed": sum(passed), "of": len(passed)},
        "self_consistency": {q: _consistency(study, twice, q) for q in QUESTIONS},
        "cannot_tell": {q: sum(s.marks.get(q) == "cannot_tell" for s in said) for q in QUESTIONS},
        "median_seconds": median(s.seconds for s in said) if said else None,
        f"below_{NARROW_PX}_px": {"labels": sum(narrow), "of": len(narrow)},
    }


def _consistency(study: Study, twice: Sequence[tuple[Said, Said]], question: str) -> dict[str, Any]:
    """How often a rater said the same again, with its interval, and kappa with itself."""
    code = {"fails": 1, "fine": 0}
    pairs = [
        (study.items[a.item].image_id or str(a.item), code[a.marks[question]], code[b.marks[question]])
        for a, b in twice
        if a.marks.get(question) in code and b.marks.get(question) in code
    ]
    if not pairs:
        return {"n": 0, "same": None, "low": None, "high": None, "kappa": None}
    found = rate_interval([a == b for _, a, b in pairs], [i for i, *_ in pairs])
    kappa = float(cohen_kappa(confusion([a for _, a, _ in pairs], [b for *_, b in pairs])))
    return {
        "n": found.n,
        "same": found.value,
        "low": found.low,
        "high": found.high,
        "kappa": kappa if np.isfinite(kappa) else None,
    }


def export(store: LabelStore, out: Path, *, csv_safe: bool = False) -> list[Path]:
    """Writes labels.csv, labels-controls.csv, label-studio.json, plan.json and raters.json; returns the files.

    csv_safe: also labels-safe.csv and labels-controls-safe.csv, in which no cell is a formula for a spreadsheet.
    """
    out.mkdir(parents=True, exist_ok=True)
    study, labels, controls = store.study(), labels_of(store), labels_of(store, "control")
    files = []
    for name, found in (("labels.csv", labels), ("labels-controls.csv", controls)):
        if found.rows:
            write_labels(out / name, found)
            files.append(out / name)
            copy = out / name.replace(".csv", "-safe.csv")
            if csv_safe or copy.is_file():  # a copy never stays behind its table
                write_text(copy, without_formulas(read_bytes(out / name).decode()))
                files.append(copy)
    texts = {
        "plan.json": json.dumps(study.plan, indent=1) + "\n",
        "raters.json": json.dumps(rater_reports(store), indent=1) + "\n",
    }
    blind = tuple(
        r for r in labels.rows if not saw_verdicts(r)
    )  # its annotations have no place for what was seen
    if blind:
        texts["label-studio.json"] = export_labels(replace(labels, rows=blind))
    for name, text in texts.items():
        write_text(out / name, text)
        files.append(out / name)
    return files


@dataclass(frozen=True)
class Taken:
    """What an import took in, rows by rater, and what it left out: reason -> rows."""

    raters: Mapping[str, int]
    left: Mapping[str, int]


def import_into(store: LabelStore, labels: Labels) -> Taken:
    """Takes labels of a file as answers of raters who have not begun: all of them, or none.

    Raises ``UsageError`` where a rater has begun already, ``InputError`` with every row that cannot be taken in.
    """
    study = store.study()
    places: dict[tuple[str, Kind], int] = {
        (i.edit_id, i.kind): n for n, i in enumerate(study.items) if i.kind != "attention"
    }
    labels = meet(labels, {edit for edit, _ in places})
    if begun := [r for r in labels.raters if r in store.raters()]:
        raise UsageError(
            f"--import: expected raters who have not begun; found {', '.join(begun)}; rename them"
        )
    problems = [
        Problem(
            rater, "rater", "1 to 60 letters, digits, spaces or . @ + ' -", rater[:80], "rename the rater"
        )
        for rater in labels.raters
        if not RATER_NAME.match(rater)
    ]
    left: Counter[str] = Counter()
    kept: dict[str, list[Given]] = {rater: [] for rater in labels.raters}
    for row in labels.rows:
        place = _place(row, places, study)
        if place is None:
            left["of edits that are not in the study"] += 1
        elif not (row.semantic.value and row.perceptual.value):
            left["with one question answered"] += 1
        else:
            problems += _row_problems(row, study.items[place])
            kept[row.rater].append(
                Given(item=place, label=row, seconds=_seconds(row) or 0.0, look=look_of(row.extra))
            )
    if problems:
        raise InputError(f"--import: {len(problems)} problem(s)", problems)
    rows = {rater: found for rater, found in kept.items() if found}
    store.take_in(rows)
    return Taken({rater: len(found) for rater, found in rows.items()}, dict(left))


def _place(row: Label, places: Mapping[tuple[str, Kind], int], study: Study) -> int | None:
    """The item that a label is of: of the arm that it names, or else of the control edit if it names its pixels."""
    control, edit = places.get((row.edit_id, "control")), places.get((row.edit_id, "edit"))
    if row.arm == "control" or control is None:
        return control if row.arm == "control" else edit
    of_control = row.edit_sha256 == study.items[control].edit_sha256
    return (
        control if of_control and (edit is None or row.edit_sha256 != study.items[edit].edit_sha256) else edit
    )


def _seconds(row: Label) -> float | None:
    """The seconds that a label took; ``None`` if that is no number of seconds."""
    try:
        value = float(row.extra.get("seconds", "") or 0)
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None


def _row_problems(row: Label, item: Item) -> Iterator[Problem]:
    where = f"{row.rater} on {row.edit_id}"
    if row.edit_sha256 and row.edit_sha256 != item.edit_sha256:
        expected = f"{item.edit_sha256[:19]}, which the study shows"
        yield Problem(
            where, "edit_sha256", expected, row.edit_sha256[:19], "the label is of another picture: drop it"
        )
    if _seconds(row) is None:
        yield Problem(where, "seconds", "a number, 0 or more", row.extra["seconds"][:40], "correct it")
    for name, expected in wrong_cells(row.extra):
        yield Problem(where, name, expected, row.extra[name][:40], "correct it, or leave it empty")
    if len(row.extra.get("note", "")) > MAX_NOTE:
        yield Problem(where, "note", f"{MAX_NOTE} characters at most", "more", "shorten it")
