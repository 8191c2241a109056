"""What every tool's file shares: the work as it stands in a file, and the answers as they are handed back.

The files of this folder are run by the Python of the peers' own environment, where isr is not installed.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Pair:
    """One source and its edit, and what was asked for."""

    number: int
    source: Path
    edit: Path
    prompt: str

    @property
    def words(self) -> str:
        """The prompt without the mark of the pair."""
        return self.prompt.partition(" (")[0]

    def tag(self, question: str = "") -> str:
        return f"pair-{self.number:05}" + (f"-{question[0]}" if question else "")


@dataclass(frozen=True)
class Work:
    """The pairs, where to ask, and how many at once."""

    base_url: str
    workers: int
    out: Path
    pairs: list[Pair]
    questions: dict[str, Any]  # the texts of isr's rubrics: system, parts, response_format

    def conversations(self) -> Iterator[tuple[Pair, str, list[dict[str, Any]], Any]]:
        """(pair, question, messages, response format): the texts and images that ``isr score`` sends."""
        for pair in self.pairs:
            for question, texts in self.questions.items():
                content: list[dict[str, Any]] = []
                for part in texts["parts"]:
                    if part["image"]:
                        file = pair.edit if part["image"] == "edit" else pair.source
                        data = base64.b64encode(file.read_bytes()).decode()
                        content.append(
                            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
                        )
                    else:
                        text = part["text"].replace("{{prompt}}", json.dumps(pair.prompt))
                        content.append({"type": "text", "text": text})
                messages = [
                    {"role": "system", "content": texts["system"]},
                    {"role": "user", "content": content},
                ]
                yield pair, question, messages, texts["response_format"]


Answers = Iterable[tuple[int, str, "float | None"]]


def score_in(text: str | None) -> float | None:
    """The score in a reply in isr's form, read strictly."""
    try:
        return float(json.loads(text or "")["score"])
    except (ValueError, TypeError, KeyError):
        return None


def run(tool: Callable[[Work], Answers]) -> None:
    """Does the work that the file named on the command line holds, and writes the answers beside it."""
    said = json.loads(Path(sys.argv[1]).read_text())
    root = Path(said["root"])
    pairs = [
        Pair(n, root / f"sources/{n}.png", root / f"edits/{n}.png", prompt)
        for n, prompt in enumerate(said["prompts"])
    ]
    work = Work(said["base_url"], said["workers"], Path(said["out"]), pairs, said["questions"])
    rows = [json.dumps(row) for row in tool(work)]
    Path(said["answers"]).write_text("\n".join(rows))
