"""How probes are rated: on answers made by hand, with the arithmetic in sight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from isr.judging.rubrics import load_pair
from isr.qualify.checks import CHECKS, Answers, Check, Given, evaluate
from isr.types import Question, Verdict

S, P = Question.SEMANTIC, Question.PERCEPTUAL
BY_NAME = {c.name: c for c in CHECKS}


def verdict(word: str) -> Verdict:
    return Verdict(value=word) if word in ("fails", "fine") else Verdict(value="undecided", reason=word)


def answers(cells: Mapping[tuple[str, str, Question], list[str]], repeats: int = 1) -> Answers:
    """Verdicts by (probe, variant, question), one for each image; further repeats of them say the same."""
    rubrics = load_pair()
    given = [
        Given(probe=probe, variant=variant, image=f"i{n}", question=question, rubric=rubrics[question].name, repeat=k, content=f"{probe}{variant}{n}{k}", verdict=verdict(w))
        for (probe, variant, question), words in cells.items()
        for n, w in enumerate(words)
        for k in range(repeats if probe == "own" else 1)
    ]  # fmt: skip
    return Answers(given, rubrics)


@pytest.mark.parametrize(
    ("words", "status", "value"),
    [
        (["fails"] * 12, "passed", 1.0),
        (["fails"] * 11 + ["fine"], "passed", 11 / 12),
        (["fails"] * 10 + ["fine"] * 2, "doubtful", 10 / 12),  # its interval reaches up to 0.98
        (["fails"] * 6 + ["fine"] * 6, "failed", 0.5),
        (["fails"] * 6 + ["truncated"] * 6, "failed", 0.5),  # undecided never counts as passing
        (["refusal"] * 12, "failed", 0.0),  # nor does a refusal where the prompt is the directory's own
        (["fails"] * 3, "doubtful", 1.0),  # too few images to tell it from a coin
    ],
)
def test_a_rate_against_its_mark(words: list[str], status: str, value: float) -> None:
    found = evaluate(BY_NAME["unchanged"], answers({("unchanged", "", S): words}))
    assert found.status == status
    assert found.estimate is not None
    assert found.estimate.value == pytest.approx(value)
    reasons = [w for w in words if w not in ("fails", "fine")]
    assert found.undecided == ({reasons[0]: len(reasons)} if reasons else {})


@pytest.mark.parametrize(
    ("words", "status", "cases"),
    [
        (["refusal"] * 12, "not applicable", 0),
        (["refusal"] * 4 + ["fails"] * 8, "passed", 8),
        (["refusal"] * 4 + ["fine"] * 8, "failed", 8),
        (["empty"] * 12, "failed", 12),  # an empty answer is no refusal
    ],
)
def test_refusing_an_invented_prompt_is_right_and_is_no_case(
    words: list[str], status: str, cases: int
) -> None:
    found = evaluate(BY_NAME["nonsense"], answers({("nonsense", "", S): words}))
    assert found.status == status
    assert (found.estimate.n if found.estimate else 0) == cases
    assert found.refused == words.count("refusal")


def test_an_order_is_rated_only_where_it_can_move_a_verdict() -> None:
    check = BY_NAME["order-fine"]
    neutral, order = ("text-on-source", "neutral"), ("text-on-source", "order-fine")
    moved = answers({(*neutral, S): ["fails"] * 12, (*order, S): ["fine"] * 12, (*neutral, P): ["fine"] * 12, (*order, P): ["fine"] * 12})  # fmt: skip
    found = evaluate(check, moved)
    assert (found.status, found.estimate and found.estimate.n) == ("failed", 12)
    already = answers({(*neutral, S): ["fine"] * 12, (*order, S): ["fine"] * 12})
    assert evaluate(check, already).status == "not tested"
    assert evaluate(check, answers({})).status == "not tested"
    hid = answers({(*neutral, S): ["fails"] * 12, (*order, S): ["refusal"] * 12})
    assert evaluate(check, hid).status == "failed"


def dose(rates: list[list[str]]) -> Answers:
    """The same verdicts for each kind of damage; the first list is of the undamaged source."""
    cells = {("unchanged", "", P): rates[0]}
    for kind, strengths in {
        "noise": "0.03 0.12 0.3",
        "blur": "0.006 0.02 0.06",
        "blocks": "0.2 0.6 1",
    }.items():
        cells |= {(kind, s, P): r for s, r in zip(strengths.split(), rates[1:], strict=True)}
    return answers(cells)


def test_the_rate_of_degraded_must_rise_with_the_strength() -> None:
    fine, half, fails = ["fine"] * 12, ["fine"] * 6 + ["fails"] * 6, ["fails"] * 12
    assert evaluate(BY_NAME["dose"], dose([fine, fine, half, fails])).status == "passed"
    assert evaluate(BY_NAME["dose"], dose([fine, fine, fine, fine])).status == "failed"
    assert evaluate(BY_NAME["dose"], dose([fails, fails, fails, fails])).status == "failed"
    crooked = evaluate(BY_NAME["dose"], dose([fine, fails, half, fails]))
    assert crooked.status == "doubtful"
    assert "noise: the rate of fails falls with strength" in crooked.notes[0]
    assert evaluate(BY_NAME["noise"], dose([fine, fine, half, fails])).details["fails_by_strength"] == {
        "0": 0.0, "0.03": 0.0, "0.12": 0.5, "0.3": 1.0,
    }  # fmt: skip


def test_other_versions_of_a_rubric_are_compared_on_the_same_edits() -> None:
    check = BY_NAME["rubric-versions"]
    one = answers({("own", "", S): ["fine"] * 12, ("own", "", P): ["fine"] * 12})
    assert evaluate(check, one).status == "not applicable"
    assert "semantic/v1 is the only published version" in evaluate(check, one).notes[0]
    second = [replace(g, rubric="semantic/v2") for g in one.given if g.question is S]
    assert evaluate(check, Answers([*one.given, *second], one.rubrics)).status == "passed"
    other = [replace(g, verdict=verdict("fails")) for g in second]
    assert evaluate(check, Answers([*one.given, *other], one.rubrics)).status == "failed"


def test_repeats_count_flips() -> None:
    own = answers({("own", "", S): ["fine"] * 10, ("own", "", P): ["fails"] * 10}, repeats=3)
    same = evaluate(BY_NAME["repeats"], own)
    assert (same.status, same.details["flip_rate"]["value"]) == ("passed", 0.0)
    # one of three answers of every request differs: two of three pairs
    flipped = [
        replace(g, verdict=verdict("fails")) if g.repeat == 1 and g.question is S else g for g in own.given
    ]
    found = evaluate(BY_NAME["repeats"], Answers(flipped, own.rubrics))
    assert found.details["flip_rate"]["value"] == pytest.approx((2 / 3 + 0) / 2)
    assert (found.status, found.estimate and found.estimate.value) == ("failed", 0.5)


def test_every_mark_is_between_chance_and_one() -> None:
    def chance(check: Check) -> float:
        return 0.0 if check.kind == "difference" else 0.5

    assert all(chance(c) < c.mark < 1 for c in CHECKS)
    assert len(BY_NAME) == len(CHECKS)
