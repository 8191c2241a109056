"""Measure a judge's checkpoint on painted edits that are new to it, by greedy generation, by question and kind.

python examples/shapes/judge/evaluate.py --model examples/shapes/judge/model --images 110 [--jitter]
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import torch
from data import Pixels
from isr_shapes.painting import Truth, paint_images
from PIL import Image
from seeds import TEST
from texts import RUBRICS, messages
from transformers import AutoModelForImageTextToText, AutoProcessor

from isr.judging.parsing import parse
from isr.judging.rubrics import load_rubric
from isr.types import Answer

LONGEST = 80
"""Tokens; no answer that was trained on is longer."""


@dataclass(frozen=True, slots=True)
class Case:
    """One edit of one arm: what is shown, what was asked, and what is true."""

    source: Pixels
    edit: Pixels
    prompt: str
    truth: Truth


def cases(seed: int, images: int, jitter: bool) -> list[Case]:
    """Both arms of every edit of ``isr_shapes.painting``'s images from a seed on."""
    found = []
    for image in paint_images(seed, images, jitter):
        for edit in image.edits:
            for pixels, truth in ((edit.protected, edit.protected_truth), (edit.control, edit.control_truth)):
                found.append(Case(image.source, pixels, edit.task.prompt, truth))
    return found


@torch.inference_mode()
def answers(model, processor, some: Sequence[Case], question: str) -> list[str]:
    """The judge's greedy answers to one question about some edits."""
    rubric = load_rubric(RUBRICS[question])
    texts = [
        processor.apply_chat_template(messages(rubric, case.prompt), add_generation_prompt=True)
        for case in some
    ]
    images = [[Image.fromarray(case.source), Image.fromarray(case.edit)] for case in some]
    inputs = processor(
        text=texts,
        images=images,
        return_tensors="pt",
        padding=True,
        padding_side="left",
        add_special_tokens=False,
    ).to(model.device)
    out = model.generate(**inputs, max_new_tokens=LONGEST, do_sample=False)
    return processor.batch_decode(out[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def verdicts(model, processor, some: Sequence[Case], question: str, batch: int = 50) -> list[str]:
    """What ``isr`` reads in the judge's answers."""
    rubric = load_rubric(RUBRICS[question])
    found = []
    for k in range(0, len(some), batch):
        for text in answers(model, processor, some[k : k + batch], question):
            found.append(parse(Answer(text=text, finish_reason="stop"), rubric).value)
    return found


def kappa(pairs: Iterable[tuple[str, str]]) -> float:
    """Cohen's kappa between two raters of the same things (Cohen 1960); NaN where both only ever say one thing."""
    pairs = list(pairs)
    said = sorted({value for pair in pairs for value in pair})
    agreed = sum(a == b for a, b in pairs) / len(pairs)
    chance = sum(
        sum(a == s for a, _ in pairs) * sum(b == s for _, b in pairs) / len(pairs) ** 2 for s in said
    )
    return math.nan if chance == 1 else (agreed - chance) / (1 - chance)


def report(some: Sequence[Case], said: dict[str, list[str]]) -> str:
    """Accuracy and kappa of each question, and errors by kind of edit and verdict."""
    lines = []
    for question, values in said.items():
        truths = [getattr(case.truth, question) for case in some]
        right = [a == b for a, b in zip(truths, values, strict=True)]
        lines.append(
            f"{question}: {sum(right)} of {len(right)} right, {100 * sum(right) / len(right):.1f} %,"
            f" kappa {kappa(zip(truths, values, strict=True)):.3f}, undecided {values.count('undecided')}"
        )
    lines += ["", "| kind of edit | edits | semantic wrong | perceptual wrong |", "|---|--:|--:|--:|"]
    groups: dict[str, list[int]] = defaultdict(list)
    for k, case in enumerate(some):
        weight = " substantial" if case.truth.perceptual == "fails" else " mild"
        groups[case.truth.kind + (weight if "+" in case.truth.kind else "")].append(k)
    for kind, members in sorted(groups.items()):
        wrong = [
            sum(values[k] != getattr(some[k].truth, question) for k in members)
            for question, values in said.items()
        ]
        lines.append(f"| {kind} | {len(members)} | {' | '.join(str(n or '') for n in wrong)} |")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        description="Measure a judge of rendered scenes on edits that are new to it."
    )
    parser.add_argument("--model", type=Path, default=Path(__file__).resolve().parent / "model")
    parser.add_argument("--seed", type=int, default=TEST.start, help="seed of the first image")
    parser.add_argument("--images", type=int, default=110, help="images, each with six edits")
    parser.add_argument("--jitter", action="store_true", help="draw from the wider range of looks")
    args = parser.parse_args(argv)
    torch.set_num_threads(2)
    processor = AutoProcessor.from_pretrained(args.model)
    model = AutoModelForImageTextToText.from_pretrained(args.model).eval()
    some = cases(args.seed, args.images, args.jitter)
    start = time.monotonic()
    said = {question: verdicts(model, processor, some, question) for question in RUBRICS}
    each = (time.monotonic() - start) / (2 * len(some))
    mark = ", jitter" if args.jitter else ""
    print(
        f"seeds {args.seed} to {args.seed + args.images - 1}{mark}: {len(some)} edits, {1000 * each:.0f} ms an answer"
    )
    print(report(some, said))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
