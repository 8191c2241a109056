"""Label Studio's JSON (https://labelstud.io/guide/task_format, /guide/export): tasks out, annotations in."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from isr.errors import InputError, Problem
from isr.people.labels import KNOWN, QUESTIONS, REQUIRED, WORDS, Label, Labels, Mark
from isr.reading import Unreadable, read_json

KEPT = tuple(name for name in KNOWN if name not in (*REQUIRED, *QUESTIONS, "time"))

CONFIG = """<View>
  <Text name="prompt" value="$prompt"/>
  <Image name="source" value="$source"/>
  <Image name="edit" value="$edit"/>
  <Header value="Does the edit show what the instruction asks for?"/>
  <Choices name="semantic" toName="edit" choice="single" required="true">
    <Choice value="fails"/><Choice value="fine"/><Choice value="cannot_tell"/>
  </Choices>
  <Header value="Is the edit substantially degraded in a way that was not asked for?"/>
  <Choices name="perceptual" toName="edit" choice="single" required="true">
    <Choice value="fails"/><Choice value="fine"/><Choice value="cannot_tell"/>
  </Choices>
</View>
"""
"""The labelling interface that the tasks are made for."""


def export_tasks(rows: Sequence[Mapping[str, str]]) -> str:
    """Tasks for Label Studio, one per row; each needs ``edit_id``, ``prompt``, ``edit`` and mostly ``source``."""
    tasks = [{"data": {k: v for k, v in row.items() if v != ""}} for row in rows]
    return json.dumps(tasks, indent=1, ensure_ascii=False) + "\n"


def export_labels(labels: Labels) -> str:
    """The labels as Label Studio's export: one task per edit, one annotation per rater."""
    tasks: dict[str, dict[str, Any]] = {}
    for row in labels.rows:
        data = {
            "edit_id": row.edit_id,
            **{k: getattr(row, k) for k in KEPT if getattr(row, k) not in ("", None)},
        }
        task = tasks.setdefault(row.edit_id, {"data": data, "annotations": []})
        result = [
            {"from_name": q, "to_name": "edit", "type": "choices", "value": {"choices": [row.mark(q).value]}}
            for q in QUESTIONS
            if row.mark(q).value
        ]
        stamp = {"created_at": row.time} if row.time else {}
        task["annotations"].append({"completed_by": {"email": row.rater}, "result": result, **stamp})
    return json.dumps(list(tasks.values()), indent=1, ensure_ascii=False) + "\n"


def import_labels(path: Path, *, guideline: str = "") -> Labels:
    """Labels from Label Studio's JSON export. Raises ``InputError`` with every problem at once.

    Raters are named by their e-mail, or else by their number. Cancelled (skipped) annotations are no labels.
    """
    try:
        tasks = read_json(path)
    except Unreadable as error:
        raise InputError(
            f"{path}: expected Label Studio's JSON export; found {error.found}; export it again"
        ) from error
    if not isinstance(tasks, list):
        raise InputError(f"{path}: expected a list of tasks; found {type(tasks).__name__}; export it as JSON")
    problems: list[Problem] = []
    rows: list[Label] = []
    for number, task in enumerate(tasks, 1):
        try:
            rows += _task(f"{path.name}: task {number}", task, guideline, problems)
        except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
            where = f"{path.name}: task {number}"
            problems.append(
                Problem(where, "", "a task as Label Studio exports it", repr(error), "export it again")
            )
    pairs = Counter((r.edit_id, r.rater) for r in rows)
    problems += [
        Problem(
            path.name, "completed_by", "one annotation per rater and task", f"{r} on {e} twice", "drop one"
        )
        for (e, r), n in sorted(pairs.items())
        if n > 1
    ]
    if problems:
        raise InputError(f"{path}: {len(problems)} problem(s)", problems)
    if not rows:
        raise InputError(f"{path}: expected at least one annotation; found none; label some tasks first")
    return Labels(tuple(rows))


def _task(where: str, task: Any, guideline: str, problems: list[Problem]) -> Iterator[Label]:
    data = task["data"]
    kept = {k: str(data[k]) for k in KEPT if k in data and k != "pi"}
    kept.setdefault("guideline", guideline)
    for note in task["annotations"]:
        if note.get("was_cancelled"):
            continue
        who = note["completed_by"]
        rater = str(who.get("email") or who["id"]) if isinstance(who, dict) else str(who)
        said = {r["from_name"]: r["value"]["choices"] for r in note["result"] if r.get("type") == "choices"}
        marks: dict[str, Mark] = {}
        for question in QUESTIONS:
            choices = said.get(question, [])
            if len(choices) > 1 or any(c not in WORDS for c in choices):
                problems.append(
                    Problem(where, question, " or ".join(WORDS), str(choices), "correct the annotation")
                )
            elif choices:
                marks[question] = Mark(choices[0])
        if not marks:
            problems.append(Problem(where, rater, "an answer to a question", "none", "label it or skip it"))
            continue
        empty = Mark()
        yield Label(
            edit_id=str(data["edit_id"]),
            rater=rater,
            semantic=marks.get("semantic", empty),
            perceptual=marks.get("perceptual", empty),
            pi=float(data["pi"]) if "pi" in data else None,
            time=str(note.get("created_at", "")),
            edit_sha256=kept.get("edit_sha256", ""),
            image_id=kept.get("image_id", ""),
            stratum=kept.get("stratum", ""),
            plan=kept.get("plan", ""),
            guideline=kept["guideline"],
        )
