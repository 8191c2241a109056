"""Labels that meet no edit are named, and refused where the design's claim breaks; 7 and 7.0 are one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from isr.errors import DesignError, InputError
from isr.judging.rubrics import load_pair
from isr.people.agree import agree
from isr.people.agreement_study import Choices
from isr.people.correct import correct, where_edits
from isr.people.correct_rows import Settings
from isr.people.labels import Labels
from isr.people.labels_file import read_labels
from isr.people.learn_threshold import learn
from isr.people.meeting import meet, plain_number, unmet
from tests.people.label_run import IDS, the_judge, the_labels

ZEROS = {i: i.lstrip("0") or "0" for i in IDS[18:]}
"""What a spreadsheet makes of half of the ids: ``0006-1`` becomes ``6-1``."""


def mangled(labels: Labels) -> Labels:
    return replace(
        labels, rows=tuple(replace(r, edit_id=ZEROS.get(r.edit_id, r.edit_id)) for r in labels.rows)
    )


@pytest.mark.parametrize("design", ["random", "within_verdict"])
def test_a_sample_that_lost_edits_is_no_sample(design: str) -> None:
    settings = Settings(design=design)  # type: ignore[arg-type]
    with pytest.raises(DesignError) as caught:
        correct(the_judge(), mangled(the_labels()), settings)
    told = str(caught.value)
    for words in (
        "18 of 36 labelled edits are none of the judged ones", "10-1, 10-2, 10-3, 11-1, 11-2, ...",
        "did a spreadsheet eat leading zeros? 18 of them would meet an edit, as '10-1' would '0010-1'",
        f"not the sample that --design {design} claims", "--allow-unmatched",
    ):  # fmt: skip
        assert words in told, words
    allowed = correct(the_judge(), mangled(the_labels()), replace(settings, allow_unmatched=True))
    assert any("18 of 36 labelled edits" in w and "left out" in w for w in allowed.warnings)
    assert "|unmatched=18" in allowed.signature
    whole = correct(the_judge(), the_labels(), settings)
    assert "unmatched" not in whole.signature
    assert not any("none of the judged" in w for w in whole.warnings)


def test_labels_of_another_experiment_are_counted_where_they_are_external() -> None:
    target, judged = the_judge(IDS[:12]), the_judge(IDS[12:])
    report = correct(
        target, mangled(the_labels(IDS[12:])), Settings(design="external", drawn="random"), judged=judged
    )
    assert report.warnings[0].startswith("18 of 24 labelled edits are none of the judged ones: 10-1")
    assert report.rates["semantic"].labels == 6


def test_labels_that_say_that_they_are_of_other_edits_are_not_lost() -> None:
    """`--where editor=x`: a label of an unknown edit counts as lost unless its own column says another editor."""
    judge, labels = the_judge(), the_labels()
    judge = replace(judge, edits={i: replace(e, columns={"editor": "x"}) for i, e in judge.edits.items()})
    more = [replace(r, edit_id=f"y{n}", extra={"editor": "y"}) for n, r in enumerate(labels.rows[:4])]
    both, where = Labels((*labels.rows, *more)), ("editor=x",)
    chosen = where_edits(judge, both, where)
    assert correct(judge, both, Settings(design="random"), edits=chosen, where=where).warnings == ()
    lost = Labels((*both.rows, replace(labels.rows[0], edit_id="z", extra={"editor": "x"})))
    with pytest.raises(DesignError, match="1 of 41 labelled edits are none of the judged ones: z"):
        correct(judge, lost, Settings(design="random"), edits=chosen, where=where)


def test_agreement_names_them_too() -> None:
    (note,) = agree(mangled(the_labels()), [the_judge()], Choices()).notes
    assert note.startswith("18 of 36 labelled edits are none of the judged ones: 10-1, 10-2")
    assert note.endswith("they count for raters only")


def test_whole_numbers_are_one_id_whatever_wrote_them(tmp_path: Path) -> None:
    """JSON's 7.0 and 7, a text "7.0" of a table with empty cells, and the run's own 7."""
    ids = tuple(str(n) for n in range(36))
    floats = [
        {"edit_id": float(n), "rater": 1.0 if n % 2 else 1, "semantic": r.semantic.value, "perceptual": r.perceptual.value}
        for n, r in enumerate(the_labels(ids).rows)
    ]  # fmt: skip
    (tmp_path / "float.jsonl").write_text("".join(json.dumps(r) + "\n" for r in floats))
    (tmp_path / "float.csv").write_text(
        "edit_id,rater,semantic,perceptual\n"
        + "".join(f"{r['edit_id']},{r['rater']},{r['semantic']},{r['perceptual']}\n" for r in floats)
    )
    for name in ("float.jsonl", "float.csv"):
        labels = read_labels(tmp_path / name)
        assert labels.raters == ["1"], name
        assert unmet(meet(labels, ids), ids) == []
        report = correct(the_judge(ids), labels, Settings(design="random"))
        assert report.rates["outcome"].labels == 36
        assert [d.edit for d in agree(labels, [the_judge(ids)], Choices()).disputed[:1]] == ["0"]
    run = tuple(f"{n}.0" for n in range(36))  # a run whose ids are the texts "7.0"
    assert correct(the_judge(run), the_labels(ids), Settings(design="random")).rates["outcome"].labels == 36
    assert plain_number("1e3") == "1e3"


def test_one_rater_has_one_label_of_an_edit_under_both_spellings(tmp_path: Path) -> None:
    text = "edit_id,rater,semantic,perceptual\n7,1,fine,fine\n7.0,1.0,fails,fine\n"
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(InputError, match=r"1 on 7\.0 also in l\.csv:2"):
        read_labels(tmp_path / "l.csv")
    two = Labels(tuple(replace(r, edit_id=e) for r, e in zip(the_labels().rows, ("7", "7.0"), strict=False)))
    with pytest.raises(InputError, match="one label per rater and edit"):
        meet(two, ["7"])
    with pytest.raises(InputError, match=r"expected one edit of that id; found '7\.0' and '7\.00'"):
        meet(Labels(two.rows[:1]), ["7.0", "7.00"])


def test_thresholds_are_learnt_from_the_edits_that_meet() -> None:
    judge = the_judge(tuple(f"{n}.0" for n in range(36)))
    scored = {
        q: {e: replace(v, score=1 if v.value == "fails" else 4) for e, v in verdicts.items()}
        for q, verdicts in judge.verdicts.items()
    }
    rubrics = {q.value: r.digest for q, r in load_pair().items()}
    judge = replace(judge, verdicts=scored, rubrics=rubrics)
    made = learn(judge, the_labels(tuple(str(n) for n in range(36))), Settings(design="random"))
    assert [d.learned_on["edits"] for d in made.decisions.values()] == [36, 36]
