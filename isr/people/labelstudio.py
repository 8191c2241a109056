"""Tasks and labels written for Label Studio (https://labelstud.io/guide/task_format); ``formats`` reads its exports."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from isr.people.labels import KNOWN, QUESTIONS, REQUIRED, Labels

KEPT = tuple(name for name in KNOWN if name not in (*REQUIRED, *QUESTIONS, "time"))

CONFIG = """<View>
  <!-- semantic: Yes = fine, No = fails; perceptual: Yes = fails, No = fine -->
  <Text name="prompt" value="$prompt"/>
  <Image name="source" value="$source"/>
  <Image name="edit" value="$edit"/>
  <Header value="Does the edit show what the instruction asks for?"/>
  <Choices name="semantic" toName="edit" choice="single" required="true">
    <Choice value="Yes" hint="A person who asked for it would say that it is there."/>
    <Choice value="No" hint="It is not there."/>
    <Choice value="Cannot tell"/>
  </Choices>
  <Header value="Is the edit substantially degraded in a way that was not asked for?"/>
  <Choices name="perceptual" toName="edit" choice="single" required="true">
    <Choice value="Yes" hint="It is degraded."/>
    <Choice value="No" hint="It is not degraded."/>
    <Choice value="Cannot tell"/>
  </Choices>
</View>
"""
"""The labelling interface that the tasks are made for; ``sheet_key.MEANING`` says what its answers mean."""


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
