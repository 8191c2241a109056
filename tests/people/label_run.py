"""A judge and labels about 36 edits of 12 images, made by hand: no run is needed to see how labels meet edits."""

from __future__ import annotations

from isr.people.judgements import EditInfo, Judgements
from isr.people.labels import Label, Labels, Mark
from isr.types import Tri, Value, Verdict

IDS = tuple(f"{image:04}-{prompt}" for image in range(12) for prompt in (1, 2, 3))
OTHER = {"fails": "fine", "fine": "fails"}


def words(number: int) -> tuple[str, str]:
    """What the judge says of edit ``number``: 12 of 36 fail by the instruction, 9 of 36 are damaged."""
    return ("fails" if number % 3 == 0 else "fine", "fails" if number % 4 == 1 else "fine")


def the_judge(ids: tuple[str, ...] = IDS) -> Judgements:
    said = {i: words(n) for n, i in enumerate(ids)}
    verdicts = {
        q: {i: Verdict(value=Value(s[place])) for i, s in said.items()}
        for place, q in enumerate(("semantic", "perceptual"))
    }
    return Judgements(
        name="judge",
        judge="sha256:1",
        rubrics={},
        verdicts=verdicts,
        outcomes={i: Tri.YES if "fails" in s else Tri.NO for i, s in said.items()},
        edits={i: EditInfo(i.partition("-")[0]) for i in ids},
    )


def the_labels(
    ids: tuple[str, ...] = IDS, *, raters: tuple[str, ...] = ("ann",), swap: bool = False
) -> Labels:
    """People who say what the judge says, but for every seventh edit; ``swap``: each word turned round."""
    rows = []
    for number, edit in enumerate(ids):
        said = [OTHER[w] if (number % 7 == 0) != swap else w for w in words(number)]
        rows += [
            Label(edit_id=edit, rater=r, semantic=Mark(said[0]), perceptual=Mark(said[1])) for r in raters
        ]
    return Labels(tuple(rows))
