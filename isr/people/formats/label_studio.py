"""Label Studio's JSON export (https://labelstud.io/guide/task_format): tasks with their annotations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from isr.errors import Problem
from isr.people.label_rows import Content, Row, texts
from isr.people.labels import KNOWN
from isr.reading import as_text

NAME = "Label Studio's JSON export"
COLUMNS = {**{name: (name,) for name in KNOWN}, "rater": ("completed_by",), "time": ("created_at",)}
JOINED = "one server's numbers of annotations"
APART = (
    "give each export by itself, with a prefix for its raters: --labels A --labels B --rater-prefix B=lab2-"
)


def recognise(content: Content) -> bool:
    """Records with data and annotations."""
    return any("annotations" in one and "data" in one for one in content.objects)


def rows(content: Content) -> Iterator[Row]:
    """A row for each annotation: the task's data, who made it, the answer to each question by its name.

    Raters are named by their e-mail, or else by their number. Cancelled (skipped) annotations are dropped.
    """
    seen: dict[str, str] = {}
    for number, (_, task) in enumerate(content.records, 1):
        where = f"{content.name}: task {number}"
        try:
            yield from _task(where, task, seen)
        except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
            problem = Problem(where, "", "a task as Label Studio exports it", repr(error), "export it again")
            yield Row(where, {}, (problem,))


def _task(where: str, task: Any, seen: dict[str, str]) -> Iterator[Row]:
    data = texts(task["data"])
    for note in task["annotations"]:
        who = note["completed_by"]
        rater = str(who.get("email") or who["id"]) if isinstance(who, Mapping) else as_text(who)
        cells = {**data, "completed_by": rater, **texts({"created_at": note.get("created_at", "")})}
        if note.get("was_cancelled"):
            yield Row(where, cells, dropped="cancelled")
            continue
        problems = list(joined(where, rater, note.get("id"), seen))
        for result in note["result"]:
            said = _said(result)
            if len(said) > 1:
                found = str(said)
                name = result["from_name"]
                problems.append(Problem(where, name, "one choice", found, "correct the annotation"))
            elif said:
                cells[result["from_name"]] = as_text(said[0])
        yield Row(where, cells, tuple(problems))


def _said(result: Mapping[str, Any]) -> list[Any]:
    """What a result says: its choices, or its one number."""
    value, kind = result["value"], result.get("type", "")
    if kind == "choices":
        return list(value["choices"])
    return [value[kind]] if kind in ("rating", "number") else []


def joined(where: str, rater: str, number: object, seen: dict[str, str]) -> Iterator[Problem]:
    """That exports of two servers were joined: one number of an annotation twice, and raters known by numbers only."""
    key = "" if number in (None, "") else str(number)
    if key in seen and rater.isdigit():
        found = f"{key} also in {seen[key]}: of two servers, whose user {rater} may be two people"
        yield Problem(where, "id", JOINED, found, APART)
    if key:
        seen.setdefault(key, where)
