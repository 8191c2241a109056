"""What a table for choosing comes to, and the number of images that `isr plan` gives for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import isr
from isr.cli import cli
from isr.scoring.compare import compare
from isr.scoring.comparison import Conclusion, Confirmed
from isr.scoring.conclusion import conclude
from isr.scoring.finished import Contender
from isr.types import Unit
from tests.people.confirm_samples import confirmed, contender, sampled
from tests.runs import recorded_run


def methods(outcomes: Mapping[str, Sequence[Sequence[int]]]) -> list[Contender]:
    """Each method's outcomes by image and prompt."""
    return [
        contender(
            name,
            {Unit(f"i{i}", f"p{p}", "e", "", ""): float(y) for i, some in enumerate(images) for p, y in enumerate(some)},
        )
        for name, images in outcomes.items()
    ]  # fmt: skip


def concluded(found: Sequence[Contender], **options: Any) -> Conclusion:
    return conclude(compare(found, {"isr": "0"}, choose=True, **options), found, 0.95)


def test_the_best_is_told_from_every_other() -> None:
    """12 images, all differ: p = 2 / 2^12 by sign-flips, x 3 by Holm."""
    made = concluded(methods({"a": [[1, 1]] * 12, "b": [[0, 0]] * 12, "c": [[0, 0]] * 12}))
    assert (made.best, set(made.told_from), made.not_told_from) == (("a",), {"b", "c"}, ())
    assert made.needed == ()
    assert made.text == ("a is best, by verdicts: told from every other (b, c) at the family's 95% (Holm, 3 comparisons)",)  # fmt: skip


def test_what_is_told_and_what_is_not_stand_apart() -> None:
    """a and c differ on one image of 12: p = 1."""
    one = [[1, 1]] * 12
    made = concluded(methods({"a": one, "b": [[0, 0]] * 12, "c": [[1, 0], *one[1:]]}))
    assert (made.best, made.told_from, made.not_told_from) == (("a",), ("b",), ("c",))
    assert made.told == (("a", "b"), ("c", "b"))
    assert "it cannot be told from c with 12 images" in made.text
    assert "also told apart: c is better than b" in made.text


def test_equal_methods_have_no_number_and_say_why() -> None:
    made = concluded(methods({"a": [[1, 0]] * 4, "b": [[0, 1]] * 4}))
    assert made.best == ("a", "b")
    assert made.text == (
        "no method can be told from another with 4 images, by verdicts, at the family's 95% (Holm, 1 comparison)",
        "isr plan gives no number of images to tell a from b: no difference was seen that could be planned for",
    )


def test_no_number_where_the_spread_is_not_known() -> None:
    """One edit of each image: the spread within images is not known."""
    made = concluded(methods({"a": [[1], [1], [0]], "b": [[0], [1], [0]]}))
    assert made.needed[0].images is None
    assert "cannot be estimated from 3 pairs" in made.needed[0].reason
    sampled_prompts = concluded(methods({"a": [[1, 1], [0, 1]], "b": [[0, 1], [0, 1]]}), prompts="random")
    assert "prompts are a sample" in sampled_prompts.needed[0].reason


def test_with_a_baseline_the_others_were_not_compared() -> None:
    found = methods({"a": [[1, 1]] * 12, "b": [[0, 0]] * 12, "c": [[1, 0]] * 12})
    made = concluded(found, baseline="b")
    assert made.told_from == ("b",)
    assert made.text[-1] == "a was not compared with c"
    assert "is best" not in " ".join(made.text)


def test_labels_decide_where_there_are_some() -> None:
    """The judge is kind to A and strict with B; to people they are equal."""
    found, labels = sampled(3, (0.5, 0.5), ((0.95, 0.6), (0.6, 0.95)))
    by_people = confirmed(found, labels, choose=True)
    verdicts = conclude(replace(by_people, confirmed=()), found, 0.95)
    people = conclude(by_people, found, 0.95)
    assert verdicts.told == (("A", "B"),)
    assert (people.told, people.by_people) == ((), True)
    assert "no method can be told from another with 40 images, to people" in people.text[0]
    assert "isr plan --label-difference" in people.needed[0].reason


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def say(number: int) -> dict[str, Any]:
        fails = number % 7 < 3
        return {"reasoning": "seen", "score": 0 if fails else 4, "verdict": "fails" if fails else "fine"}

    return recorded_run(
        tmp_path_factory.mktemp("pilot"), images=4, prompts=3, say=say, methods=("sifm", "noise", "blur")
    )


def test_the_number_is_what_plan_says_of_this_run_as_pilot(run: Path) -> None:
    found = isr.compare(run, choose=True).conclusion
    assert found is not None
    assert found.told == ()
    planned = [one for one in found.needed if one.images is not None]
    assert planned
    for one in planned:
        assert one.difference is not None
        (answer,) = isr.plan(
            difference=abs(one.difference), pilot=run, method=one.first, against=one.second, family=3
        ).answers
        assert isinstance(answer.answer, str)
        assert answer.answer.startswith(f"{one.images} images with {one.per_image:g} edits each")
        assert one.assumes == ("power 80%", "as one of 3 comparisons", *answer.notes)
    done = CliRunner().invoke(cli, ["compare", str(run), "--choose"], catch_exceptions=False)
    assert "conclusion: no method can be told from another with 4 images" in done.stdout
    assert f"conclusion: isr plan says {planned[0].images} images" in done.stdout
    assert "conclusion" not in isr.compare(run).as_dict()


def test_nothing_is_concluded_of_what_the_undecided_edits_leave_open() -> None:
    """a: 6 of its 24 edits decided, all immunized; b: none immunized. Decided alone they differ by 100 points; if the undecided
    are all not immunized, by 25 at most: here half of the images would show no difference at all."""
    nan = float("nan")
    few = [[1, nan]] * 6 + [[nan, nan]] * 18
    found = methods({"a": few, "b": [[0, 0]] * 6 + [[1, 1]] * 9 + [[0, 0]] * 9})  # type: ignore[dict-item]
    made = concluded(found)
    assert (made.told, made.told_from) == ((), ())
    assert made.left_open == (("a", "b"),)
    assert any("the undecided ones leave open which is better" in line for line in made.text)
    assert not any("is best" in line for line in made.text)


def test_labels_that_correct_a_part_leave_the_conclusion_to_verdicts() -> None:
    found = compare(pair := methods({"a": [[1, 1]] * 12, "b": [[0, 0]] * 12}), {"isr": "0"}, choose=True)
    refused = Confirmed(
        first=found.family[0].first, second=found.family[0].second, refused="no unit is labelled on both"
    )
    made = conclude(replace(found, confirmed=(refused,)), pair, 0.95)
    assert made.by_people is False
    assert made.told == (("a", "b"),)
    assert made.text[0].startswith("people's labels do not correct every comparison")
