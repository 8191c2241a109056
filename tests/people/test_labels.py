"""Labels: every problem at once, declared scales, consensus by name, guidelines apart; Label Studio in and out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from isr.errors import InputError
from isr.people.labels import (
    Label,
    Labels,
    Mark,
    Scale,
    consensus,
    one_guideline,
    parse_scale,
    text_guideline,
)
from isr.people.labels_file import read_labels, write_labels
from isr.people.labelstudio import export_labels, export_tasks

SHA = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64
SCALE = Scale((0.0, 0.5, 1.0), fails_below=0.5)


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def test_csv_and_jsonl_say_the_same(tmp_path: Path) -> None:
    rows = (
        Label(
            edit_id="e1",
            rater="anna",
            semantic=Mark("fails"),
            perceptual=Mark("cannot_tell"),
            edit_sha256=SHA,
            image_id="i1",
            pi=0.25,
            stratum="s",
            plan="p",
            time="t",
            guideline="v1",
            extra={"editor": "x"},
        ),
        Label(
            edit_id="e1",
            rater="ben",
            semantic=Mark("fine"),
            perceptual=Mark("fine"),
            edit_sha256=SHA,
            image_id="i1",
            pi=0.25,
            stratum="s",
            plan="p",
            time="t",
            guideline="v1",
            extra={"editor": "x"},
        ),
        Label(
            edit_id="e2",
            rater="anna",
            semantic=Mark("fine"),
            perceptual=Mark(),
            edit_sha256="",
            image_id="i2",
            pi=None,
            stratum="",
            plan="",
            time="",
            guideline="v1",
            extra={"editor": "y"},
        ),
    )
    labels = Labels(rows)
    for name in ("l.csv", "l.jsonl"):
        write_labels(tmp_path / name, labels)
        assert read_labels(tmp_path / name).rows == rows
        assert read_labels(tmp_path / name).digest == labels.digest
    assert Labels(rows[:2]).digest != labels.digest
    assert labels.codes(["e2", "e1"], "semantic").tolist() == [[0, -1], [1, 0]]
    # one question that fails does not decide the outcome while the other one is open
    assert labels.codes(["e1", "e2"], "outcome").tolist() == [[-1, 0], [-1, -1]]


def test_grades_need_a_scale_and_its_direction(tmp_path: Path) -> None:
    path = write(tmp_path / "l.csv", "edit_id,rater,semantic,perceptual\ne,a,0.5,0\n")
    with pytest.raises(InputError, match="a declared scale for grades"):
        read_labels(path)
    found = read_labels(
        path, scales={"semantic": SCALE, "perceptual": Scale((0.0, 1.0), fails_above=0.5)}
    ).rows[0]
    assert (found.semantic, found.perceptual) == (Mark("fine", 0.5), Mark("fine", 0.0))
    down = {"semantic": Scale((0.0, 0.5, 1.0), fails_above=0.25), "perceptual": SCALE}
    assert read_labels(path, scales=down).rows[0].outcome == 1
    with pytest.raises(InputError, match="one of 0, 1, or cannot_tell"):
        read_labels(path, scales={"semantic": Scale((0.0, 1.0), fails_below=0.5), "perceptual": SCALE})


@pytest.mark.parametrize(
    "raw",
    [
        None, {"anchors": [0, 1]}, {"anchors": [0], "fails_below": 0.5}, {"anchors": [0, "1"], "fails_below": 0.5},
        {"anchors": [0, 1], "fails_below": 0.5, "fails_above": 0.5}, {"anchors": [0, 1], "fails_below": 0},
        {"anchors": [0, 1], "fails_above": 1}, {"anchors": [0, 1], "fails_below": 0.5, "direction": "up"},
    ],
)  # fmt: skip
def test_scales_without_a_direction_or_a_split_are_refused(raw: object) -> None:
    with pytest.raises(InputError, match="a scale"):
        parse_scale("labels.semantic", raw)
    assert parse_scale("x", {"anchors": [1, 0], "fails_above": 0.5}) == Scale((0.0, 1.0), fails_above=0.5)


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    text = f"""edit_id,rater,semantic,perceptual,edit_sha256,pi,image_id
e1,anna,fails,fine,{SHA},0.5,i1
e1,anna,fine,fine,{SHA},0.5,i1
e1,ben,fails,fine,{OTHER},0.5,i2
,ben,fails,fine,,,
e2,ben,success,fine,,,
e3,ben,,,,,
e4,ben,fine,fine,xyz,2,
e5,ben
"""
    with pytest.raises(InputError) as caught:
        read_labels(write(tmp_path / "l.csv", text))
    told = str(caught.value)
    assert len(caught.value.problems) == 9
    for words in (
        "anna on e1 also in l.csv:2", f"{OTHER}, but {SHA} in l.csv:2", "i2, but i1 in l.csv:2", "l.csv:5: 'edit_id'",
        "l.csv:6: 'semantic': expected fails, fine or cannot_tell; found 'success'", "l.csv:7: expected a label",
        "l.csv:8: 'edit_sha256'", "l.csv:8: 'pi'", "l.csv:9: expected 7 cells; found 2",
    ):  # fmt: skip
        assert words in told, words


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("l.txt", "x", "no edit_id, rater"),
        ("l.csv", "", "no edit_id, rater"),
        ("l.csv", "edit_id,rater,rater\n", "a column twice"),
        ("l.csv", "edit_id,rater,semantic\n", "at least one label"),
        ("l.jsonl", "[1]\n", "texts and numbers by column"),
        ("l.jsonl", '{"edit_id": "e"\n', "one JSON object"),
        ("l.jsonl", '{"edit_id": "e", "rater": ["a"], "semantic": "fine"}\n', "texts and numbers"),
    ],
)
def test_files_that_hold_no_labels(tmp_path: Path, name: str, text: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        read_labels(write(tmp_path / name, text))


def test_consensus_rules_by_hand() -> None:
    votes = np.array([[1, 1, 0], [1, 0, -1], [1, 1, 1], [0, 0, 1], [-1, -1, -1], [1, -1, -1]], np.int64)
    assert consensus(votes, "majority").tolist() == [1, -1, 1, 0, -1, 1]
    assert consensus(votes, "strict").tolist() == [0, 0, 1, 0, -1, 1]
    with pytest.raises(InputError, match="three raters"):
        consensus(votes[:, :2], "dawid-skene")
    with pytest.raises(InputError, match="majority, strict, dawid-skene"):
        consensus(votes, "mean")  # type: ignore[arg-type]


def test_dawid_skene_trusts_the_careful_raters_more_than_the_careless_one() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 2, 400)
    wrong = rng.random((400, 5)) < np.array([0.05, 0.05, 0.45, 0.45, 0.45])
    votes = np.where(wrong, 1 - truth[:, None], truth[:, None]).astype(np.int64)
    by_model = (consensus(votes, "dawid-skene") == truth).mean()
    assert by_model > (consensus(votes, "majority") == truth).mean() + 0.03
    empty = np.vstack([votes, np.full((1, 5), -1)])
    assert consensus(empty, "dawid-skene")[-1] == -1


def test_guidelines_are_never_pooled_silently(tmp_path: Path) -> None:
    labels = Labels(
        (
            Label(edit_id="e1", rater="a", semantic=Mark("fine"), guideline="v1"),
            Label(edit_id="e1", rater="b", semantic=Mark("fine"), guideline="v2"),
        )
    )
    with pytest.raises(InputError, match=r"v1 \(1\), v2 \(1\); keep one of them, or say --pool-guidelines"):
        one_guideline(labels)
    assert one_guideline(labels, pool=True) == "v1+v2"
    text = write(tmp_path / "guide.md", "look closely")
    other = write(tmp_path / "guide2.md", "look closely.")
    assert text_guideline(text).startswith("guide.md:sha256:")
    assert text_guideline(text).partition(":")[2] != text_guideline(other).partition(":")[2]


def test_label_studio_there_and_back(tmp_path: Path) -> None:
    rows = (
        Label(
            edit_id="e1",
            rater="a@x.org",
            semantic=Mark("fails"),
            perceptual=Mark("fine"),
            edit_sha256=SHA,
            image_id="i1",
            pi=0.5,
            stratum="s",
            plan="p",
            time="2026-01-01",
            guideline="v1",
        ),
        Label(
            edit_id="e1",
            rater="b@x.org",
            semantic=Mark("fine"),
            perceptual=Mark("cannot_tell"),
            edit_sha256=SHA,
            image_id="i1",
            pi=0.5,
            stratum="s",
            plan="p",
            time="",
            guideline="v1",
        ),
    )
    path = write(tmp_path / "export.json", export_labels(Labels(rows)))
    assert read_labels(path).rows == rows


def test_label_studio_as_it_exports(tmp_path: Path) -> None:
    numbers = iter(range(100))

    def note(who: object, semantic: list[str], **more: object) -> dict[str, object]:
        result = [
            {"from_name": "semantic", "to_name": "edit", "type": "choices", "value": {"choices": semantic}}
        ]
        return {
            "id": next(numbers),
            "completed_by": who,
            "result": result,
            "created_at": "2026-01-01T00:00:00Z",
            **more,
        }

    task = {
        "id": 1,
        "data": {"edit_id": "e1", "edit": "/data/e1.png"},
        "annotations": [
            note(3, ["fails"]),
            note({"id": 4, "email": "b@x.org"}, ["fine"]),
            note(5, [], was_cancelled=True),
        ],
    }
    found = read_labels(write(tmp_path / "x.json", json.dumps([task])), guideline="v1")
    assert [(r.rater, r.semantic.value, r.perceptual.value, r.guideline) for r in found.rows] == [
        ("3", "fails", "", "v1"), ("b@x.org", "fine", "", "v1"),
    ]  # fmt: skip
    task["annotations"] = [
        note(3, ["fails", "fine"]),
        note(3, ["perhaps"]),
        note(3, ["fine"]),
        note(3, ["fine"]),
    ]
    with pytest.raises(InputError) as caught:
        read_labels(write(tmp_path / "x.json", json.dumps([task, {"data": {}}])))
    assert "['fails', 'fine']" in str(caught.value)
    assert "perhaps" in str(caught.value)
    assert "3 on e1 also in x.json: task 1" in str(caught.value)
    assert "task 2" in str(caught.value)
    with pytest.raises(InputError, match="no edit_id, rater"):
        read_labels(write(tmp_path / "x.json", "{}"))


def test_tasks_for_label_studio() -> None:
    assert json.loads(export_tasks([{"edit_id": "e", "prompt": "p", "source": ""}])) == [
        {"data": {"edit_id": "e", "prompt": "p"}}
    ]
