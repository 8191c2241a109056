"""Labels of the world's tools: the same 36 labels from each, or a refusal that says what the file is and what to do."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from isr.errors import InputError, UsageError
from isr.people import labels_file
from isr.people.declared import parse_columns, parse_words
from isr.people.formats import format_of, formats
from isr.people.formats import label_studio as label_studio_format
from isr.people.label_rows import content_of
from isr.people.labels import Label, Labels, Scale
from isr.people.labels_file import read_labels
from tests.people import label_exports
from tests.people.label_exports import EXPORTS, SAID, WORDS, mturk, sheet, studio


def read(path: Path, words: tuple[str, ...] = (), columns: tuple[str, ...] = ()) -> Labels:
    return read_labels(path, words=parse_words(words), columns=parse_columns(columns))


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def said(labels: Labels) -> dict[str, tuple[str, str]]:
    return {r.edit_id: (r.semantic.value, r.perceptual.value) for r in labels.rows}


@pytest.mark.parametrize("name", EXPORTS)
def test_the_same_36_labels(tmp_path: Path, name: str) -> None:
    text, words, columns = EXPORTS[name]
    labels = read(write(tmp_path / name, text), words, columns)
    assert len(labels.rows) == 36
    assert labels.raters == ["ann"]
    assert said(labels) == SAID


@pytest.mark.parametrize("name", EXPORTS)
def test_at_most_one_format_recognises_a_file_by_what_it_holds(tmp_path: Path, name: str) -> None:
    """Under any name: nothing is told by the name of a file."""
    text, words, columns = EXPORTS[name]
    path = write(tmp_path / "labels.txt", text)
    content = content_of(path)
    assert sum(f.recognise(content) for f in formats()) <= 1
    assert said(read(path, words, columns)) == SAID
    special = {"mturk", "form", "argilla", "output", "ls"}
    expected = name.partition(".")[0].rstrip("2").partition("_")[0] in special
    assert (format_of(content).NAME != "a table") is expected


def test_every_file_of_the_folder_is_a_format() -> None:
    assert {f.__name__.rpartition(".")[2] for f in formats()} == {  # type: ignore[attr-defined]
        "argilla", "google_forms", "label_studio", "label_studio_min", "mturk", "sagemaker", "table",
    }  # fmt: skip
    for form in formats():
        assert form.NAME
        assert {"edit_id", "rater", "semantic", "perceptual"} <= set(form.COLUMNS)


def test_rejected_work_is_never_counted(tmp_path: Path) -> None:
    """By the status, and by a reviewer's reason in the column Reject; both are said with their count."""
    text = mturk(lambda n: "Rejected" if n < 5 else "Submitted")
    text = text.rstrip("\r\n") + "too fast\r\n"  # the last cell of the last row is Reject
    labels = read(write(tmp_path / "m.csv", text), WORDS, label_exports.MTURK)
    assert len(labels.rows) == 30
    assert set(said(labels)) == set(list(SAID)[5:35])
    assert labels.notes == ("m.csv: 6 rows of rejected work left out",)
    everything = write(tmp_path / "all.csv", mturk(lambda _: "Rejected"))
    with pytest.raises(InputError, match="found none; 36 rows of rejected work"):
        read(everything, WORDS, label_exports.MTURK)


def test_radio_buttons_of_mturk_in_columns_and_in_json(tmp_path: Path) -> None:
    head = ("HITId", "AssignmentId", "WorkerId", "AssignmentStatus", "Input.edit_id")
    columns = [f"Answer.{q}.{w}" for q in ("semantic", "perceptual") for w in ("fails", "fine")]
    rows = [
        ("H", f"A{n}", "ann", "Approved", e, *(str(w == x).lower() for w in s for x in ("fails", "fine")))
        for n, (e, s) in enumerate(SAID.items())
    ]
    assert said(read(write(tmp_path / "buttons.csv", sheet((*head, *columns), rows)))) == SAID
    forms = [
        (*row[:5], json.dumps([{"semantic": {"fails": s == "fails", "fine": s == "fine"}, "perceptual": {"label": p}}]))
        for row, (s, p) in zip(rows, SAID.values(), strict=True)
    ]  # fmt: skip
    assert said(read(write(tmp_path / "crowd.csv", sheet((*head, "Answer.taskAnswers"), forms)))) == SAID
    both = [(*rows[0][:5], "true", "true", "false", "true")]
    with pytest.raises(InputError, match="expected one answer; found fails, fine"):
        read(write(tmp_path / "both.csv", sheet((*head, *columns), both)))
    with pytest.raises(InputError, match=r"'Answer\.taskAnswers': expected JSON"):
        read(write(tmp_path / "bad.csv", sheet((*head, "Answer.taskAnswers"), [(*rows[0][:5], "{")])))


def test_skipped_and_discarded_work_is_said(tmp_path: Path) -> None:
    found = {n: read(write(tmp_path / n, EXPORTS[n][0]), *EXPORTS[n][1:]).notes for n in EXPORTS}
    assert found["ls.json"] == ("ls.json: 36 rows cancelled left out",)
    assert found["argilla.jsonl"] == (
        "argilla.jsonl: 36 rows discarded left out", "argilla.jsonl: 36 rows of status draft left out",
    )  # fmt: skip
    assert found["output.manifest"] == ("output.manifest: 1 row that a machine labelled left out",)
    assert found["plain.csv"] == ()


def test_words_that_nobody_declared_are_told_once_with_their_count(tmp_path: Path) -> None:
    """36 rows of Yes and No to two questions are four causes, not 72 problems."""
    path = write(tmp_path / "m.csv", mturk())
    with pytest.raises(InputError) as caught:
        read(path, (), label_exports.MTURK)
    fails = Counter(s for s, _ in SAID.values())["fails"]
    told = str(caught.value)
    assert len(caught.value.problems) == 4
    assert f"expected fails, fine or cannot_tell; found 'No' ({fails} rows)" in told
    assert '--words "semantic: Yes=fine, No=fails"' in told
    with pytest.raises(
        InputError, match=r"expected one of yes, as declared, or fails, fine, cannot_tell; found 'No'"
    ):
        read(path, ("semantic: Yes=fine; perceptual: Yes=fails, No=fine",), label_exports.MTURK)


def test_columns_that_nobody_declared_are_listed(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(write(tmp_path / "wide.csv", EXPORTS["wide.csv"][0]))
    told = str(caught.value)
    assert len(caught.value.problems) == 1
    assert "found no rater, semantic or perceptual (a table with edit_id, ann shows it, ann damaged" in told
    assert '--columns "rater=COLUMN, semantic=COLUMN, perceptual=COLUMN"' in told
    path = write(tmp_path / "mturk.csv", mturk())
    with pytest.raises(
        InputError, match=r"--columns semantic: expected a column of the file .* found 'Answer\.semm'"
    ):
        read(path, (), ("semantic=Answer.semm",))
    with pytest.raises(
        InputError, match=r"no edit_id, semantic or perceptual \(batch results of Mechanical Turk"
    ):
        read(path)


@pytest.mark.parametrize(
    "words",
    ["Yes=fine", "semantic Yes=fine", "semantic: Yes", "picture: Yes=fine", "semantic: Yes=good",
     "semantic: Yes=fine, yes=fails"],
)  # fmt: skip
def test_malformed_words(words: str) -> None:
    with pytest.raises(UsageError, match="--words: expected"):
        parse_words([words])


def test_words_and_questions_hold_commas_and_the_word_as(tmp_path: Path) -> None:
    assert parse_words(
        ["semantic: Yes, it does=fine, No; not at all=fails, ?=Cannot tell; perceptual: a=b=fails"]
    ) == {
        "semantic": {"yes, it does": "fine", "no; not at all": "fails", "?": "cannot_tell"},
        "perceptual": {"a=b": "fails"},
    }
    question = "Is it as good, as sharp, as before?"
    path = write(tmp_path / "f.csv", sheet(("id", "who", question), [("e1", "ann", "fine")]))
    found = read(path, (), (f"edit_id=id, rater=who, perceptual={question}",))
    assert (found.rows[0].edit_id, found.rows[0].perceptual.value) == ("e1", "fine")


@pytest.mark.parametrize(
    "columns",
    ["edit", "edit_id=", "picture=Input.key", "rater=a, rater=b", "edit_id=Input.url as */edits/*.png"],
)
def test_malformed_columns(tmp_path: Path, columns: str) -> None:
    with pytest.raises(UsageError, match="--columns"):
        read(write(tmp_path / "m.csv", "Input.url,rater\nx,y\n"), (), (columns,))


def test_exports_of_two_servers_in_one_file_are_told(tmp_path: Path) -> None:
    """Both servers count their annotations from 1, and both have a user 1: nothing says that they are one person."""
    tasks = studio()
    for number, task in enumerate(tasks):
        for n, note in enumerate(task["annotations"]):
            note.update(id=2 * (number % 18) + n, completed_by=1 + n)
    with pytest.raises(InputError) as caught:
        read(write(tmp_path / "joined.json", json.dumps(tasks)))
    told = str(caught.value)
    assert "of two servers, whose user 1 may be two people" in told
    assert label_studio_format.APART in told


def test_two_formats_in_one_file_are_refused(tmp_path: Path) -> None:
    both = [*studio(), *label_exports.studio_min()]
    with pytest.raises(InputError, match=r"found Label Studio's JSON export and Label Studio's JSON-MIN"):
        read(write(tmp_path / "both.json", json.dumps(both)))


def test_an_export_without_any_work_says_so(tmp_path: Path) -> None:
    """Not that columns are missing: there is nothing to declare."""
    tasks = studio()
    for task in tasks:
        task["annotations"] = task["annotations"][1:]  # the skipped one
    with pytest.raises(InputError, match=r"expected at least one label; found none; 36 rows cancelled"):
        read(write(tmp_path / "skipped.json", json.dumps(tasks)))
    for task in tasks:
        task["annotations"] = []
    with pytest.raises(InputError, match=r"expected at least one label; found none; label some edits"):
        read(write(tmp_path / "unlabelled.json", json.dumps(tasks)))


def test_ids_that_stand_in_a_picture_s_address_are_declared(tmp_path: Path) -> None:
    tasks = studio()
    for task in tasks:
        del task["data"]["edit_id"]
    path = write(tmp_path / "ls.json", json.dumps(tasks))
    with pytest.raises(
        InputError, match=r"found no edit_id \(Label Studio's JSON export with image, completed_by"
    ):
        read(path)
    assert said(read(path, (), ("edit_id=image as */{edit_id}.png",))) == SAID


def test_several_choices_are_no_answer(tmp_path: Path) -> None:
    rows = label_exports.studio_min()
    rows[3]["semantic"] = {"choices": ["fails", "fine"]}
    with pytest.raises(InputError, match=r"'semantic': expected one choice; found \['fails', 'fine'\]"):
        read(write(tmp_path / "min.json", json.dumps(rows)))


def test_grades_of_label_studio_need_a_scale(tmp_path: Path) -> None:
    tasks = studio()
    for task in tasks:
        task["annotations"][0]["result"][0].update(type="rating", value={"rating": 4})
    path = write(tmp_path / "stars.json", json.dumps(tasks))
    with pytest.raises(InputError, match=r"a declared scale for grades; found '4' \(36 rows\)"):
        read(path)
    found = read_labels(path, scales={"semantic": Scale((1.0, 2.0, 3.0, 4.0, 5.0), fails_below=3.0)})
    assert {r.semantic.grade for r in found.rows} == {4.0}


def test_reading_grows_with_the_rows_and_not_with_their_square(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No step looks through all labels for each label: comparisons of labels stay at one per row."""
    compared = Counter[str]()

    def equal(self: Label, other: object) -> bool:
        compared["labels"] += 1
        return self is other

    def counted(self: str, other: object) -> bool:
        compared["ids"] += 1
        return str.__eq__(self, other) is True

    class Id(str):
        __eq__ = counted
        __hash__ = str.__hash__

    monkeypatch.setattr(Label, "__eq__", equal)
    sizes = (200, 400)
    found = []
    for size in sizes:
        compared.clear()
        tasks = studio()[:1] * size
        tasks = [
            {**t, "data": {"edit_id": f"e{n}"}, "annotations": [{**t["annotations"][0], "id": n}]}
            for n, t in enumerate(tasks)
        ]
        path = write(tmp_path / f"{size}.json", json.dumps(tasks))
        with monkeypatch.context() as patched:
            patched.setattr(labels_file, "plain_number", Id)
            assert len(read(path).rows) == size
        found.append(compared["ids"] + compared["labels"])
    assert found[1] <= 2 * found[0] + 8


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (
            EXPORTS["plain.csv"][0].replace(",", ";").encode(),
            "separated by ';', as spreadsheets of some languages",
        ),
        (EXPORTS["plain.csv"][0].replace(",", "\t").encode(), "separated by tabs"),
        (EXPORTS["plain.csv"][0].encode("utf-16"), "a text in UTF-16"),
        (EXPORTS["spanish.csv"][0].encode("latin-1"), "another encoding (Latin-1?)"),
        (b"PK\x03\x04\xff\xfe", "such as an Excel workbook"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"[1, 2", "expected labels; found"),
    ],
)
def test_files_that_are_no_labels_say_what_they_are(tmp_path: Path, data: bytes, told: str) -> None:
    (tmp_path / "labels.csv").write_bytes(data)
    with pytest.raises(InputError) as caught:
        read(tmp_path / "labels.csv")
    assert told in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
