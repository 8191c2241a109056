"""Batch results of Amazon Mechanical Turk: ``Input.*`` and ``Answer.*`` columns; rejected work is never counted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from isr.errors import Problem
from isr.people.label_rows import Content, Row, flat, texts
from isr.people.labels import KNOWN, QUESTIONS
from isr.reading import Unreadable, json_of

NAME = "batch results of Mechanical Turk"
COLUMNS = {
    **{name: (f"Input.{name}", name) for name in KNOWN},
    **{q: (f"Answer.{q}", f"Answer.{q}.label") for q in QUESTIONS},
    "rater": ("WorkerId",),
    "time": ("SubmitTime",),
}
_CHOICE = re.compile(r"(Answer\..+)\.([^.]+)\Z", re.IGNORECASE)


def recognise(content: Content) -> bool:
    """A table of assignments."""
    return content.kind == "table" and content.has("HITId", "AssignmentId", "WorkerId")


def rows(content: Content) -> Iterator[Row]:
    """A row for each assignment; radio buttons that came as one column for each button are one answer."""
    names = {c.casefold(): c for c in content.columns}
    for row in flat(content):
        status = row.cells.get(names["assignmentstatus"], "") if "assignmentstatus" in names else ""
        refused = row.cells.get(names["reject"], "") if "reject" in names else ""
        if status.casefold() == "rejected" or refused:
            yield Row(row.where, row.cells, dropped="of rejected work")
            continue
        cells, problems = _answers(row)
        yield Row(row.where, cells, tuple(problems))


def _answers(row: Row) -> tuple[dict[str, str], list[Problem]]:
    cells, problems = dict(row.cells), list[Problem]()
    pressed: dict[str, list[str]] = {}
    for column, value in row.cells.items():
        if column.casefold() == "answer.taskanswers":
            found, wrong = _task_answers(row.where, value)
            problems += wrong
            cells.update({k: v for k, v in found.items() if v})
            continue
        button = _CHOICE.match(column)
        if button and value.casefold() in ("true", "false"):
            pressed.setdefault(button[1], [])
            if value.casefold() == "true":
                pressed[button[1]].append(button[2])
    for question, chosen in pressed.items():
        if len(chosen) > 1:
            problems.append(Problem(row.where, question, "one answer", ", ".join(chosen), "drop the row"))
        elif chosen:
            cells[question] = chosen[0]
    return cells, problems


def _task_answers(where: str, text: str) -> tuple[dict[str, str], list[Problem]]:
    """The answers of a form of crowd elements, which come as JSON in one cell."""
    try:
        value = json_of(text, where)
    except Unreadable as error:
        return {}, [Problem(where, "Answer.taskAnswers", "JSON", error.found, "download the results again")]
    (first,) = value if isinstance(value, list) and len(value) == 1 else (value,)
    if not isinstance(first, Mapping):
        found = json.dumps(value)[:60]
        return {}, [
            Problem(where, "Answer.taskAnswers", "answers by name", found, "download the results again")
        ]
    out = texts(first, "Answer.")
    for name, said in first.items():
        if isinstance(said, Mapping):
            chosen = [str(k) for k, v in said.items() if v is True]
            label = said.get("label")
            if isinstance(label, str):
                chosen = [label]
            if len(chosen) > 1:
                problem = Problem(where, f"Answer.{name}", "one answer", ", ".join(chosen), "drop the row")
                return out, [problem]
            out[f"Answer.{name}"] = chosen[0] if chosen else ""
    return out, []
