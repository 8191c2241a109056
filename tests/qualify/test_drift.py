"""The comparison with frozen answers, on answers made by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from isr.errors import InputError, UsageError
from isr.qualify.drift import Anchor, Frozen, compare, read_anchor

JUDGE = {"name": "j", "digest": "sha256:1", "reported_models": ["m"]}


def answers(images: int, repeats: int = 2) -> tuple[Frozen, ...]:
    """Right answers to two probes, and repeated ones about the edit itself."""
    out = []
    for i in range(images):
        out += [
            Frozen(
                content=f"own{i}",
                probe="own",
                image=f"i{i}",
                question="semantic",
                repeat=k,
                verdict="fine",
                reason="",
                score=4,
            )
            for k in range(repeats)
        ]
        out = [replace(a, content=f"{a.image}-{a.repeat}") if a.probe == "own" else a for a in out]
        out.append(
            Frozen(
                content=f"u{i}",
                probe="unchanged",
                image=f"i{i}",
                question="semantic",
                repeat=0,
                verdict="fails",
                reason="",
                score=0,
            )
        )
        out.append(
            Frozen(
                content=f"p{i}",
                probe="unchanged",
                image=f"i{i}",
                question="perceptual",
                repeat=0,
                verdict="fine",
                reason="",
                score=4,
            )
        )
    return tuple(out)


def anchor(frozen: tuple[Frozen, ...]) -> Anchor:
    return Anchor(JUDGE, (), {"images": 9, "repeats": 2, "seed": 0}, frozen)


def moved(found: tuple[Frozen, ...], rule: Callable[[Frozen], Frozen]) -> list[Frozen]:
    return [rule(a) for a in found]


def test_the_same_answers_are_no_drift() -> None:
    drift = compare(anchor(answers(9)), answers(9), ["m"])
    assert not drift.alarm
    assert drift.changed.value == 0
    assert {s.p_value for s in drift.shifts} == {1.0}
    assert drift.text().startswith("drift: none found")


def test_worse_in_both_directions_is_seen_by_the_right_answers() -> None:
    """Verdicts on the two questions move against each other: their mean stays, their rightness does not."""

    def swap(a: Frozen) -> Frozen:
        return (
            replace(a, verdict={"fails": "fine", "fine": "fails"}[a.verdict]) if a.probe == "unchanged" else a
        )

    drift = compare(anchor(answers(9)), moved(answers(9), swap), ["m"])
    towards, right, scores = drift.shifts
    assert (towards.change, towards.p_value) == (0.0, 1.0)
    assert right.change == -1.0
    assert right.p_value == pytest.approx(2 / 2**9)  # nine images, all one way
    assert right.p_holm == pytest.approx(3 * 2 / 2**9)
    assert scores.p_value == 1.0
    assert drift.changed.value == pytest.approx(0.5)  # two of four answers of every image
    assert drift.alarm


def test_scores_alone_can_drift() -> None:
    drift = compare(
        anchor(answers(9)), moved(answers(9), lambda a: replace(a, score=(a.score or 1) - 1)), ["m"]
    )
    assert drift.shifts[2].p_holm == pytest.approx(3 * 2 / 2**9)
    assert drift.alarms == ("scores moved by -0.750: p 0.0117 after Holm",)


def test_one_changed_verdict_alarms_only_where_repeats_never_differed() -> None:
    def once(a: Frozen) -> Frozen:
        return replace(a, verdict="fails") if a.content == "i0-1" else a

    steady = compare(anchor(answers(9)), moved(answers(9), once), ["m"])
    assert steady.alarms == (
        "1 verdicts changed, though no repeat of a request differed when the answers were frozen",
    )
    noisy = tuple(replace(a, verdict="fails") if a.content == "i3-0" else a for a in answers(9))
    assert not compare(anchor(noisy), moved(noisy, once), ["m"]).alarm


def test_undecided_answers_are_counted_and_never_a_direction() -> None:
    def refuse(a: Frozen) -> Frozen:
        return replace(a, verdict="undecided", reason="refusal", score=None) if a.probe == "own" else a

    drift = compare(anchor(answers(9)), moved(answers(9), refuse), ["m"])
    assert drift.undecided == (0, 18)
    assert drift.shifts[0].p_value == 1.0
    assert drift.changed.value == pytest.approx(0.5)


def test_another_model_name_is_an_alarm() -> None:
    drift = compare(anchor(answers(9)), answers(9), ["m-2"])
    assert drift.alarms == ("another model answers: m-2; it was m",)


def test_probes_that_are_made_otherwise_now_are_counted() -> None:
    drift = compare(anchor(answers(9)), answers(8), ["m"])
    assert drift.unmatched == 4  # the answers of one image
    assert "4 frozen answers are about probes that were not made alike" in drift.text()
    assert "not made alike" not in compare(anchor(answers(9)), answers(9), ["m"]).text()


def test_nothing_in_common_is_an_error() -> None:
    with pytest.raises(UsageError, match="use the same EDIT_DIR"):
        compare(anchor(answers(2)), [], ["m"])


def test_an_anchor_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = anchor(answers(2))
    (tmp_path / "a.json").write_text(made.to_json())
    assert read_anchor(tmp_path / "a.json") == made
    (tmp_path / "b.json").write_text('{"schema": "isr.anchor/9"}')
    with pytest.raises(InputError, match=r"schema isr\.anchor/9"):
        read_anchor(tmp_path / "b.json")
