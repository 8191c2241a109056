"""Several runs over one edit directory, with panels of judges: what the gallery of a report has to hold."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import isr
from isr.judging.cards import load_panel
from isr.judging.edits import load_edits
from isr.judging.plan import Plan, arms_of
from isr.judging.rubrics import load_pair
from tests.directories import make_directory, picture, write_metadata
from tests.runs import answer

LONG = "a-method-whose-name-is-one-long-word-" * 4
FORMULA = '=HYPERLINK("http://x", "make it colour 2")'
Say = Callable[[int], Mapping[str, Any]]


def undecided_often(number: int) -> dict[str, Any]:
    """Answers of which a seventh decides nothing."""
    return answer(number) | ({"verdict": "perhaps"} if number % 7 == 1 else {})


def contrary(number: int) -> dict[str, Any]:
    """Answers that differ from ``answer`` in about half of the edits."""
    return answer(3 * number + 1)


def several_editors(edits: Path, rows: list[dict[str, Any]], editors: Sequence[str], **columns: Any) -> None:
    """Every row once more for each further editor, with pictures of its own."""
    number, controls = 9_000_000, dict[tuple[str, str], str]()
    for editor in editors:
        for row in list(rows):
            if row["editor"] != rows[0]["editor"]:
                continue
            number += 1
            name = f"edits/{number}.png"
            picture(number).save(edits / name)
            control = controls.setdefault((editor, row["control_file_name"]), f"controls/{number}.png")
            picture(int(Path(control).stem) + 500_000).save(edits / control)
            rows.append(row | {"editor": editor, "file_name": name, "control_file_name": control} | columns)


def judged_runs(
    root: Path,
    panels: Mapping[str, Sequence[Say]],
    *,
    images: int = 6,
    prompts: int = 3,
    methods: tuple[str, ...] = ("alpha", "beta"),
    change: Callable[[Path, list[dict[str, Any]]], None] = lambda root, rows: None,
    **options: Any,
) -> list[Path]:
    """One run for each panel, named as its key: one judge for each way to answer; a panel decides by majority."""
    edits = root / "edits"
    rows = make_directory(edits, images=images, prompts=prompts, methods=methods)
    change(edits, rows)
    write_metadata(edits, rows)
    folders = []
    for run, says in panels.items():
        names = [f"judge-{run}-{j}" if len(says) > 1 else f"judge-{run}" for j, _ in enumerate(says)]
        for name, say in zip(names, says, strict=True):
            _card(root, edits, name, say)
        card = root / f"{names[0]}.toml"
        if len(names) > 1:
            card = root / f"panel-{run}.toml"
            members = json.dumps([f"{name}.toml" for name in names])
            card.write_text(f'backend = "panel"\nmembers = {members}\nrule = "majority"\n', "utf-8")
        isr.score(edits, judge=str(card), out=root / f"{run}.isr", **options)
        folders.append(root / f"{run}.isr")
    return folders


def _card(root: Path, edits: Path, name: str, say: Say) -> None:
    answers, card = root / f"{name}.jsonl", root / f"{name}.toml"
    answers.write_text("", "utf-8")
    card.write_text(
        f'backend = "replay"\nmodel = "{name}"\n[engine]\nanswers = {json.dumps(str(answers))}\n', "utf-8"
    )
    directory, panel = load_edits(edits), load_panel(str(card))
    plan = Plan(root=edits, edits=directory.edits, rubrics=load_pair(), panel=panel, repeats=1)
    lines = []
    for number, request in enumerate(plan.requests(panel.members[0], arms_of(plan.edits))):
        said = dict(say(number)) | ({"source_kept": 3} if request.question == "semantic" else {})
        reply = {"text": json.dumps(said), "finish_reason": "stop"}
        lines.append(json.dumps({"content": request.content, "answer": reply}))
    answers.write_text("\n".join(lines) + "\n", "utf-8")
