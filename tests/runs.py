"""Finished runs made on the spot, judged by a server that gives what is asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import isr
from isr.files import file_digest
from tests.directories import make_directory, write_metadata

HOSTILE = (
    '</script><script>window.pwned = 1</script><img src=x onerror="window.pwned=1"> "q" \' & שלום 🎨 \u202e'
    + "x" * 10_000
)


def the_run(home: Path) -> Path:
    """The folder of the one run of a home such as ``DIR.isr``."""
    (found,) = (p.parent for p in home.glob("runs/*/result.json"))
    return found


def bind(folder: Path) -> Path:
    """Makes a table that a test changed the table of its result, as if it had been scored so."""
    file = folder / "result.json"
    raw = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps({**raw, "table": {"edits.csv": file_digest(folder / "edits.csv")}}), "utf-8")
    return folder


def recorded_run(
    root: Path,
    *,
    images: int = 4,
    prompts: int = 3,
    say: Callable[[int], Mapping[str, Any]] | None = None,
    change: Callable[[list[dict[str, Any]]], None] = lambda rows: None,
    methods: tuple[str, ...] = ("simulated",),
    **options: Any,
) -> Path:
    """Scores a directory with recorded answers; returns the run's folder. say: number of the request -> answer."""
    from isr.judging.cards import load_panel
    from isr.judging.edits import load_edits
    from isr.judging.plan import Plan, arms_of
    from isr.judging.rubrics import load_pair

    edits = root / "edits"
    rows = make_directory(edits, images=images, prompts=prompts, methods=methods)
    change(rows)
    write_metadata(edits, rows)
    card = root / "recorded.toml"
    card.write_text('backend = "replay"\n[engine]\nanswers = "answers.jsonl"\n', "utf-8")
    answers = root / "answers.jsonl"
    answers.write_text("", "utf-8")
    card.write_text(f'backend = "replay"\n[engine]\nanswers = {json.dumps(str(answers))}\n', "utf-8")
    directory = load_edits(edits)
    panel = load_panel(str(card))
    repeats = options.get("repeats", 1)
    plan = Plan(root=edits, edits=directory.edits, rubrics=load_pair(), panel=panel, repeats=repeats)
    lines = []
    for number, request in enumerate(plan.requests(panel.members[0], arms_of(plan.edits))):
        said = dict(say(number) if say else answer(number))
        grades = {"source_kept": 3} if request.question == "semantic" else {}
        text = json.dumps(
            {"reasoning": said["reasoning"], "score": said["score"], **grades, "verdict": said["verdict"]}
        )
        lines.append(
            json.dumps({"content": request.content, "answer": {"text": text, "finish_reason": "stop"}})
        )
    answers.write_text("\n".join(lines) + "\n", "utf-8")
    isr.score(edits, judge=str(card), out=root / "edits.isr", **options)
    return root / "edits.isr"


def answer(number: int) -> dict[str, Any]:
    """A plausible answer: about a third fail."""
    fails = number * 7 % 10 < 4
    return {
        "reasoning": f"what I saw, {number}",
        "score": 0 if fails else 3,
        "verdict": "fails" if fails else "fine",
    }
