"""Where does a judge err? How often `isr agree --errors-on` claims a place where there is none, and finds one where there is.

60 images x 5 prompts under four editors in turn, a judge that errs in 15 % of edits (people call half of them immunized; errors of an
image correlate by about .1), columns editor, protected_psnr (one value an image) and prompt_words. Labels of all edits, or of 150 of
them: at random, or half of them from each verdict. Where a place exists, the judge errs in 40 % of the edits of editor d.

    python benchmarks/judge_errors.py [--runs 1000] [--seed 1]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from scipy.special import ndtr, ndtri

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from isr.people.agreement_study import AgreementStudy, Choices
from isr.people.errors_on import errors_on
from isr.people.judge_errors import JudgeErrors
from isr.people.judgements import EditInfo, Judgements
from isr.people.labels import Label, Labels, Mark
from isr.types import Tri

IMAGES, PROMPTS = 60, 5
EDITORS = ("a", "b", "c", "d")
COLUMNS = ("editor", "protected_psnr", "prompt_words")
DESIGNS = ("all", "random", "within verdict")


def study(
    rng: np.random.Generator,
    rates: tuple[float, ...],
    design: str,
    immunized: float = 0.5,
    labelled: int = 150,
) -> tuple[Judgements, Labels]:
    """A judge and people's labels. rates: of errors, by editor."""
    words, psnr, tilt = rng.integers(3, 12, PROMPTS), rng.normal(35, 2, IMAGES), rng.normal(size=IMAGES)
    image, prompt = np.repeat(np.arange(IMAGES), PROMPTS), np.tile(np.arange(PROMPTS), IMAGES)
    editor = (image + prompt) % len(EDITORS)
    truth = rng.random(image.size) < immunized
    chance = ndtr(ndtri(np.array(rates)[editor]) * 1.25**0.5 + 0.5 * tilt[image])
    said = truth ^ (rng.random(image.size) < chance)
    names = [f"e{i:03d}" for i in range(image.size)]
    edits = {
        name: EditInfo(
            f"i{image[i]}",
            "",
            {
                "editor": EDITORS[editor[i]],
                "protected_psnr": f"{psnr[image[i]]:.3f}",
                "prompt": " ".join([f"prompt{prompt[i]}"] + ["word"] * (words[prompt[i]] - 1)),
            },
        )
        for i, name in enumerate(names)
    }
    judge = Judgements(
        name="judge",
        judge="sha256:0",
        rubrics={},
        verdicts={},
        outcomes={name: Tri(int(said[i])) for i, name in enumerate(names)},
        edits=edits,
    )
    chosen = np.arange(image.size)
    if design == "random":
        chosen = rng.choice(chosen, labelled, replace=False)
    elif design == "within verdict":
        sides = [np.flatnonzero(said == s) for s in (True, False)]
        chosen = np.concatenate([rng.choice(s, min(labelled // 2, s.size), replace=False) for s in sides])
    rows = tuple(
        Label(
            edit_id=names[i],
            rater="ann",
            semantic=Mark("fails" if truth[i] else "fine"),
            perceptual=Mark("fine"),
        )
        for i in sorted(chosen.tolist())
    )
    return judge, Labels(rows)


def regressed(judge: Judgements, labels: Labels, columns: tuple[str, ...] = COLUMNS) -> JudgeErrors:
    found = AgreementStudy(signature="", title="", counts={}, questions={}, disputed=())
    return errors_on(found, labels, [judge], columns, Choices()).errors[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    print(
        "| errors under a, b, c - d | labels | any claim (Holm) | a term at .05 | errors of d found (Holm) | share of errors, mean (true) |"
    )
    print("|---|---|---|---|---|---|")
    for rates in ((0.15,) * 4, (0.15, 0.15, 0.15, 0.4)):
        for place, design in enumerate(DESIGNS):
            rng = np.random.default_rng([args.seed, place, round(100 * rates[3])])
            claims = found = 0
            alone: list[bool] = []
            shares = []
            for _ in range(args.runs):
                one = regressed(*study(rng, rates, design, immunized=0.3))
                terms = [(m.kind, t) for m in one.models for t in m.terms if t.p_value is not None]
                claims += any((t.p_holm or 0) < 0.05 for _, t in terms)
                alone += [(t.p_value or 0) < 0.05 for _, t in terms]
                of_d = [t for kind, t in terms if kind == "errors" and t.level == "d"]
                found += any((t.p_holm or 0) < 0.05 and t.value is not None and t.value > 0 for t in of_d)
                shares.append(one.models[0].share or 0.0)
            print(
                f"| {rates[0]:.0%} - {rates[3]:.0%} | {design} | {claims / args.runs:.1%} | {np.mean(alone):.1%} | {found / args.runs:.1%} | "
                f"{np.mean(shares):.1%} ({np.mean(rates):.1%}) |",
                flush=True,
            )


if __name__ == "__main__":
    main()
