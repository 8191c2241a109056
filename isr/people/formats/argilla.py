"""Records of Argilla with their responses; suggestions, drafts and discarded responses are never counted.

Three forms: of 1.x (``responses`` is a list of users with their ``values``), of 2.x (``responses`` is an object of
questions, each a list of users), and the columns of 2.x' data sets (``semantic.responses``, ``semantic.responses.users``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from isr.errors import Problem
from isr.people.label_rows import Content, Row, texts
from isr.people.labels import KNOWN
from isr.reading import as_text

NAME = "records of Argilla"
COLUMNS = {
    **{name: (f"metadata.{name}", f"fields.{name}", name) for name in KNOWN},
    "semantic": ("semantic",),
    "perceptual": ("perceptual",),
    "rater": ("user_id",),
}


def recognise(content: Content) -> bool:
    """Records with responses."""
    return any(
        ("responses" in one and ("fields" in one or "metadata" in one))
        or any(k.endswith(".responses.users") for k in one)
        for one in content.objects
    )


def rows(content: Content) -> Iterator[Row]:
    """A row for each record and user: the record's own columns, fields and metadata, the user's answers by question."""
    for number, (_, record) in enumerate(content.records, 1):
        where = f"{content.name}: record {number}"
        try:
            own = {
                **texts(record),
                **texts(record.get("fields") or {}, "fields."),
                **texts(record.get("metadata") or {}, "metadata."),
            }
            for user, (status, answers) in _by_user(record).items():
                cells = {**own, **texts(answers), "user_id": user}
                if status not in ("", "submitted"):
                    yield Row(
                        where, cells, dropped="discarded" if status == "discarded" else f"of status {status}"
                    )
                else:
                    yield Row(where, cells)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            problem = Problem(where, "", "a record as Argilla exports it", repr(error), "export it again")
            yield Row(where, {}, (problem,))


def _by_user(record: Mapping[str, Any]) -> dict[str, tuple[str, dict[str, Any]]]:
    """Each user's status and answers by question. A question's status counts for all that the user said of the record."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}

    def add(user: object, status: object, question: str, value: object) -> None:
        name = as_text(user)
        old, answers = found.get(name, ("", {}))
        word = str(status or "").rpartition(".")[2].casefold()
        found[name] = (word if word not in ("", "submitted") else old or word, {**answers, question: value})

    responses = record.get("responses")
    if isinstance(responses, list):
        for one in responses:
            for question, value in (one.get("values") or {"": ""}).items():
                said = value.get("value") if isinstance(value, Mapping) else value
                add(one["user_id"], one.get("status"), question, said)
    elif isinstance(responses, Mapping):
        for question, answers in responses.items():
            for one in answers:
                add(one["user_id"], one.get("status"), question, one["value"])
    for column, users in record.items():
        if column.endswith(".responses.users") and users:
            question = column.removesuffix(".responses.users")
            stati = record.get(f"{question}.responses.status") or [""] * len(users)
            for user, value, status in zip(users, record[f"{question}.responses"], stati, strict=True):
                add(user, status, question, value)
    return found
