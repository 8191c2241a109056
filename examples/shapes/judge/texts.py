"""What the judge is to say: the reasoning and the verdict of a painted edit, and the messages of a rubric.

The reasoning is short and in a fixed form, first what is asked, then what is seen, so that the verdict follows from
words that stand before it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from isr.judging.rubrics import PLACEHOLDER, Rubric

sys.path.insert(0, str(Path(__file__).resolve().parent))

from data import COLOURS, DAMAGES, GOALS, KINDS, SCENE, TASKS

RUBRICS = {"semantic": "shapes-semantic/v1", "perceptual": "shapes-perceptual/v1"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt in numbers: its task, the shape that it is about (-1: the background), and its goal."""

    task: str
    index: int
    goal: str

    @classmethod
    def of(cls, row: np.void) -> Asked:
        """What the row of an edit was painted for."""
        return cls(TASKS[int(row["task"])], int(row["index"]), GOALS[int(row["goal"])])

    def prompt(self, before: np.void) -> str:
        """The prompt in the words of ``isr_shapes.painting``."""
        kind = KINDS[int(before["kinds"][self.index])]
        return {
            "recolour": f"make the {kind} {self.goal}",
            "replace": f"turn the {kind} into a {self.goal}",
            "remove": f"remove the {kind}",
            "background": f"make the background {self.goal}",
        }[self.task]

    def wanted(self, before: np.void) -> str:
        """What the prompt asks to see."""
        kind = KINDS[int(before["kinds"][self.index])]
        return {
            "recolour": f"{self.goal} {kind}",
            "replace": self.goal,
            "remove": f"gone {kind}",
            "background": f"{self.goal} background",
        }[self.task]


def _things(scene: np.void) -> list[str]:
    """Both shapes and the background, in words."""
    shapes = [
        "gone" if kind < 0 else f"{COLOURS[int(ink)]} {KINDS[int(kind)]}"
        for kind, ink in zip(scene["kinds"], scene["inks"], strict=True)
    ]
    return [*shapes, COLOURS[int(scene["ground"])]]


def _is_done(asked: Asked, before: np.void, shown: np.void) -> bool:
    """The scene shows what is asked for where it is asked for."""
    if asked.task == "background":
        return COLOURS[int(shown["ground"])] == asked.goal
    kind, ink = int(shown["kinds"][asked.index]), int(shown["inks"][asked.index])
    if asked.task == "remove":
        return kind < 0
    if asked.task == "replace":
        return kind >= 0 and KINDS[kind] == asked.goal and ink == int(before["inks"][asked.index])
    return kind == int(before["kinds"][asked.index]) and COLOURS[ink] == asked.goal


def semantic_answer(asked: Asked, before: np.void, edit: np.void) -> str:
    """The answer to the semantic question about the row of an edit, asked for any prompt of its scene."""
    first = asked.index if asked.index >= 0 else int(before["kinds"][0] > before["kinds"][1])
    old, new = _things(before), _things(edit["shown"])
    if edit["half"]:
        changed = int(edit["index"])
        new[changed] = f"half {new[changed]}"
    at = asked.index  # -1 is the background, the last of the things
    if edit["half"] and at == int(edit["index"]):
        state = "half done"
    elif _is_done(asked, before, edit["shown"]):
        state = "done"
    else:
        state = "unchanged" if old[at] == new[at] else "wrong"
    source, shown = (f"{t[first]}, {t[1 - first]} on {t[2]}" for t in (old, new))
    reasoning = f"asked: {asked.wanted(before)}. source: {source}. edit: {shown}. {state}."
    return answer(reasoning, state == "done")


def perceptual_answer(edit: np.void) -> str:
    """The answer to the perceptual question about the row of an edit."""
    found = f"substantial {DAMAGES[int(edit['damage'])]}" if edit["heavy"] else "none or slight"
    return answer(f"damage: {found}.", not edit["heavy"])


def answer(reasoning: str, fine: bool) -> str:
    """The JSON object, with the separators that constrained decoding writes."""
    found = {"reasoning": reasoning, "verdict": "fine" if fine else "fails"}
    return json.dumps(found, separators=(",", ":"))


def others(edit: np.void, siblings: np.ndarray) -> list[Asked]:
    """Prompts of the same scene, of other edits, whose truth in this one is beyond doubt.

    One about what this edit was to change is not: half done, or done and then asked to be something else again.
    """
    rest = [Asked.of(row) for row in siblings]
    return [asked for asked in rest if asked.index != int(edit["index"])]


def messages(rubric: Rubric, prompt: str) -> list[dict[str, object]]:
    """The conversation that a rubric starts about a prompt; images stand in it as parts without content."""
    quoted = json.dumps(prompt, ensure_ascii=False)
    parts: list[dict[str, str]] = [
        {"type": "image"} if part.image else {"type": "text", "text": part.text.replace(PLACEHOLDER, quoted)}
        for part in rubric.user
    ]
    system = rubric.system_text("json_schema")
    return [{"role": "system", "content": system}, {"role": "user", "content": parts}]


def every_prompt() -> Iterator[tuple[Asked, str]]:
    """Each prompt that ``isr_shapes.painting`` can write."""
    for kind in range(len(KINDS)):
        before = np.array([((kind, kind), (0, 0), 0)], dtype=SCENE)[0]
        goals = {"recolour": COLOURS[:6], "replace": KINDS, "remove": ("",), "background": COLOURS[:6]}
        for task, index in (("recolour", 0), ("replace", 0), ("remove", 0), ("background", -1)):
            if task == "background" and kind > 0:
                continue
            for goal in goals[task]:
                asked = Asked(task, index, goal)
                yield asked, asked.prompt(before)
