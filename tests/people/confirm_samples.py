"""Methods judged with errors and labelled by people, for the tests of comparisons that people would confirm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from isr.people.confirm import confirm
from isr.people.labels import Label, Labels, Mark
from isr.people.pair_labels import LabelChoices
from isr.scoring.compare import compare
from isr.scoring.comparison import Comparison
from isr.scoring.finished import Contender, EditRow
from isr.scoring.sampling import Sampling
from isr.types import Treatment, Unit

IMAGES, PROMPTS = 40, 5
KIND, STRICT = (0.95, 0.80), (0.80, 0.95)  # sensitivity and specificity
RANDOM, WITHIN = LabelChoices(design="random"), LabelChoices(design="within_verdict")
PLAIN = Sampling()


def label(edit: str, immunized: bool, rater: str = "ann", **more: Any) -> Label:
    word = "fails" if immunized else "fine"
    return Label(edit_id=edit, rater=rater, semantic=Mark(word), perceptual=Mark("fine"), **more)


def contender(name: str, outcomes: Mapping[Unit, float], **columns: str) -> Contender:
    rows = {
        u: EditRow(u, o, {"edit_id": f"{name}{n}", "edit_sha256": f"sha256:{name}{n}", **columns})
        for n, (u, o) in enumerate(outcomes.items())
    }
    return Contender(name, "r", Treatment(name, "", "", ""), rows)


def units_of(images: int = IMAGES, prompts: int = PROMPTS) -> list[Unit]:
    return [Unit(f"i{i:02}", f"p{p}", "e", "", "") for i in range(images) for p in range(prompts)]


def sampled(
    seed: int, rates: Sequence[float], judges: Sequence[tuple[float, float]], labelled: int = 80
) -> tuple[list[Contender], Labels]:
    """Methods with these rates to people, judged with these errors; units labelled on all of them at random."""
    rng = np.random.default_rng(seed)
    units = units_of()
    contenders, labels = [], []
    chosen = set(rng.choice(len(units), labelled, replace=False).tolist())
    for name, rate, (sensitivity, specificity) in zip("ABC", rates, judges, strict=False):
        tilt = np.repeat(rng.beta(rate * 4, (1 - rate) * 4, IMAGES), PROMPTS)
        truth = rng.random(len(units)) < tilt
        right = rng.random(len(units)) < np.where(truth, sensitivity, specificity)
        contenders.append(
            contender(name, {u: float(t == r) for u, t, r in zip(units, truth, right, strict=True)})
        )
        labels += [label(f"{name}{n}", bool(truth[n])) for n in sorted(chosen)]
    return contenders, Labels(tuple(labels))


def columns(sides: Sequence[Contender], labels: Labels) -> tuple[Any, Any, list[bool], list[str]]:
    """Verdicts and people of two methods, which units are labelled, their images; units in order."""
    truth = {r.edit_id: float(r.outcome) for r in labels.rows}
    units = sorted(sides[0].edits)
    ids = [[c.edits[u].columns["edit_id"] for u in units] for c in sides]
    judge = [[c.edits[u].outcome for u in units] for c in sides]
    human = [[truth.get(e, 0.0) for e in own] for own in ids]
    return judge, human, [e in truth for e in ids[0]], [u.image_id for u in units]


def confirmed(
    contenders: Sequence[Contender],
    labels: Labels,
    choices: LabelChoices = RANDOM,
    drawn: Sampling = PLAIN,
    level: float = 0.95,
    **options: Any,
) -> Comparison:
    found = compare(
        contenders, {"isr": "0.1.0"}, level=level, margin=drawn.margin, cluster=drawn.column, **options
    )
    return confirm(found, contenders, labels, choices, drawn=drawn, level=level)


def study(
    seed: int,
    rates: Sequence[float],
    judges: Sequence[tuple[float, float]],
    labelled: int = 80,
    **options: Any,
) -> Comparison:
    return confirmed(*sampled(seed, rates, judges, labelled), **options)


def in_cells(seed: int) -> tuple[list[Contender], Labels]:
    """Labels of few of the units that both verdicts call immunized, of most of the others."""
    contenders, labels = sampled(seed, (0.6, 0.4), ((0.9, 0.6), (0.7, 0.9)), labelled=200)
    rng = np.random.default_rng(seed)
    a, b = contenders
    kept = [
        n
        for n, u in enumerate(a.edits)
        if rng.random() < (0.25 if a.edits[u].outcome == b.edits[u].outcome == 1 else 0.6)
    ]
    wanted = {f"{name}{n}" for name in "AB" for n in kept}
    return contenders, labels.of_edits(wanted)
