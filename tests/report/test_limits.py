"""What the number cannot say: each sentence from a fact of the run, and none where the fact is not there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from isr.report.limits import FEW_IMAGES, Facts, facts, limits, sentences
from isr.report.page import Options, write_report
from isr.report.runs import ReportRun, read_report_run
from tests.runs import answer, recorded_run

ALL = Facts(
    judges=("a (m)",), unprobed=(), unchecked=(), people=False, learnt=False, rubrics=(), images=FEW_IMAGES, prompts=3, prompts_fixed=False,
    independent=False, editors=("x", "y"), purifiers=("jpeg", "blur"), seeds=2, controls=True, protected_undecided=(0, 9),
    control_undecided=(0, 9),
)  # fmt: skip


def told(**changes: object) -> list[str]:
    """What a run says that one with every doubt taken away does not say."""
    quiet = list(sentences(ALL))
    return [s for s in sentences(replace(ALL, **changes)) if s not in quiet]  # type: ignore[arg-type]


def test_what_is_known_to_be_well_leaves_two_sentences() -> None:
    """No run has all editors, nor an attacker who adapts."""
    assert list(sentences(ALL)) == [
        "How it does against editors other than these 2: x, y.",
        "Whether it survives an attacker who adapts to it: of purifiers only jpeg, blur were tried.",
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"unchecked": ("a (m)",)}, "no label of these edits was compared with a (m)"),
        ({"unprobed": ("a (m)",)}, "a (m) can answer the two questions at all: it was not probed"),
        ({"rubrics": ("semantic/v1", "perceptual/v1")}, "set by the words of semantic/v1, perceptual/v1"),
        ({"learnt": True, "rubrics": ("semantic/v1",)}, "where labels said it does (isr calibrate)"),
        ({"controls": False}, "there are no control edits"),
        ({"editors": ("x",)}, "all edits are by one (x)"),
        ({"purifiers": ()}, "none was tried"),
        ({"purifiers": ("jpeg",)}, "of purifiers only jpeg was tried"),
        ({"protected_undecided": (3, 9)}, "3 of 9 edits of protected images have no usable answer"),
        ({"control_undecided": (1, 9)}, "1 of 9 control edits have no usable answer"),
        ({"prompts_fixed": True}, "new images under the same 3 prompts"),
        ({"images": FEW_IMAGES - 1}, f"it rests on {FEW_IMAGES - 1} source images"),
        ({"seeds": 1}, "each edit was made with one"),
        ({"independent": True}, "take edits of one image as independent"),
    ],
)
def test_each_doubt_is_one_sentence(changes: dict[str, object], words: str) -> None:
    (sentence,) = told(**changes)
    assert words in sentence


def test_people_are_not_doubted_as_judges_are() -> None:
    assert told(people=True, unprobed=("a",), unchecked=("a",), rubrics=("r",)) == []


def test_many_names_are_counted() -> None:
    (sentence,) = told(unchecked=tuple("abcdef"))
    assert "a, b, c, d and 2 more" in sentence


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ReportRun:
    def say(number: int) -> dict[str, object]:
        return answer(number) | ({"verdict": "perhaps"} if number == 1 else {})

    return read_report_run(recorded_run(tmp_path_factory.mktemp("limits"), images=3, prompts=2, say=say))


def test_the_facts_are_those_of_the_run(run: ReportRun) -> None:
    found = facts(run)
    assert (found.images, found.prompts, found.editors, found.purifiers, found.seeds) == (
        3,
        2,
        ("painter",),
        (),
        1,
    )
    assert (found.unprobed, found.unchecked) == (("recorded (the program replay)",),) * 2
    assert (found.controls, found.prompts_fixed, found.learnt, found.people) == (True, True, False, False)
    undecided = [
        part.counts["edits"] - part.counts["decided"]
        for part in (*run.result.treatments, run.result.control)
        if part
    ]
    assert [found.protected_undecided[0], found.control_undecided[0]] == undecided
    assert sum(undecided) == 1
    assert facts(run, ["recorded"]).unchecked == ()


def test_several_runs_say_once_what_all_share(run: ReportRun) -> None:
    bare = replace(run, name="bare", result=replace(run.result, control=None))
    both = limits([run, bare])
    assert len(both) == len(set(both))
    assert sum("source images" in line for line in both) == 1
    assert [line for line in both if "no control edits" in line] == [
        "bare: How often the editor fails without protection is not known: there are no control edits."
    ]


def test_it_stands_on_the_page(run: ReportRun, tmp_path: Path) -> None:
    page = write_report([run], tmp_path / "r.html", Options(assets="none")).read_text("utf-8")
    box = page[page.index('class="limits"') : page.index("</aside>")]
    assert box.count("<li>") == len(limits([run]))
