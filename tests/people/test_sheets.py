"""What raters get says nothing of where an edit comes from, and their labels find their edits again through the key."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import isr
from isr.cli import cli
from isr.errors import InputError, UsageError
from isr.people.label_files import Reading, load_labels
from isr.people.labels import Labels
from isr.people.sheet_key import NAME, read_key
from tests.directories import picture
from tests.runs import recorded_run

METHODS = ("secret-method-a", "secret-method-b")
STRATA = "editor,method"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two methods whose files say the method in their names and in their texts, as files of ``isr edit`` may."""
    home = tmp_path_factory.mktemp("sheets")

    def named(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            told = PngInfo()
            told.add_text("method", row["method"])
            new = f"{row['method']}/{row['file_name'].removeprefix('edits/')}"
            (home / "edits" / new).parent.mkdir(exist_ok=True)
            with Image.open(home / "edits" / row["file_name"]) as image:
                image.save(home / "edits" / new, pnginfo=told)
            row["file_name"] = new
            row["editor"] = "secret-editor"

    recorded_run(home, images=4, prompts=2, methods=METHODS, change=named)
    return home


def command(*args: object, catch: bool = False) -> Result:
    done = CliRunner().invoke(cli, [str(a) for a in args], catch_exceptions=catch)
    assert done.exit_code == 0, done.output
    return done


@pytest.fixture
def human(home: Path, tmp_path: Path) -> Path:
    run, out = home / "edits.isr", tmp_path / "human"
    said = command(
        "agree", "--template", "table-i", "--judge", run, "--edits", 12, "--raters", 2, "--out", out
    ).stdout
    assert f"give to raters: {out / 'for-raters'}" in said
    return out


def rows_of(run: Path) -> dict[str, Mapping[str, str]]:
    with (run / "edits.csv").open(newline="") as file:
        return {r["edit_id"]: r for r in csv.DictReader(file) if r["arm"] == "protected"}


def test_nothing_that_a_rater_gets_names_method_path_or_stratum(human: Path, home: Path) -> None:
    rows = rows_of(home / "edits.isr")
    secrets = {
        "secret",
        "painter",
        *(w for s in read_key(human / NAME).edits.values() for w in s.stratum.split(" / ")),
    }
    for r in rows.values():
        secrets |= {
            r["file_name"],
            r["source_file_name"],
            r["edit_id"],
            r["image_id"],
            r["edit_sha256"],
            r["method"],
        }
    assert len(secrets) > 40
    files = [p for p in (human / "for-raters").rglob("*") if p.is_file()]
    assert len(files) == 2 + 3 + 24  # sheets; tasks, their configuration, a text; two pictures of each edit
    for file in files:
        data = file.read_bytes() + file.relative_to(human).as_posix().encode()
        assert not [s for s in secrets if s.encode() in data], file
    assert b"secret-method-a" in (human / NAME).read_bytes()


def test_pictures_are_those_of_the_edits_and_no_order_tells_the_strata(human: Path, home: Path) -> None:
    """12 edits of two strata, in two sheets, the tasks and the dates of files: the same order twice has a chance of 1 in 12!."""
    key, edits = read_key(human / NAME).edits, home / "edits"
    for name, edit in key.items():
        row = rows_of(home / "edits.isr")[edit.edit_id]
        for side, path in (("before", row["source_file_name"]), ("after", row["file_name"])):
            with (
                Image.open(human / f"for-raters/pictures/{name}-{side}.png") as shown,
                Image.open(edits / path) as own,
            ):
                assert shown.tobytes() == own.tobytes()
                assert shown.info == {}
    sheets = [
        list(csv.DictReader((human / f"for-raters/labels-rater{n}.csv").read_text("utf-8").splitlines()))
        for n in (1, 2)
    ]
    tasks = json.loads((human / "for-raters/labelstudio-tasks.json").read_text())
    pictures = sorted((human / "for-raters/pictures").glob("*-after.png"), key=lambda p: p.stat().st_mtime_ns)
    orders = [[r["edit_id"] for r in sheet] for sheet in sheets]
    orders += [[t["data"]["edit_id"] for t in tasks], sorted(key), [p.name[:26] for p in pictures]]
    assert all(sorted(order) == sorted(key) for order in orders)
    assert len({tuple(order) for order in orders}) == 5


def filled(human: Path, folder: Path) -> list[Path]:
    """Both sheets with answers: Yes to both questions, of the second rater No to both."""
    folder.mkdir(exist_ok=True)
    files = []
    for number, word in ((1, "Yes"), (2, "No")):
        with (human / f"for-raters/labels-rater{number}.csv").open(newline="") as file:
            rows = [{**r, "semantic": word, "perceptual": word} for r in csv.DictReader(file)]
        files.append(folder / f"labels-rater{number}.csv")
        with files[-1].open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return files


def meant(labels: Labels) -> set[tuple[str, str, str]]:
    return {(r.rater, r.semantic.value, r.perceptual.value) for r in labels.rows}


def test_sheets_are_read_back_through_the_key(human: Path, home: Path, tmp_path: Path) -> None:
    """Yes is "it shows it" of the first question and "it is degraded" of the second, as on the page."""
    key, rows = read_key(human / NAME).edits, rows_of(home / "edits.isr")
    found = load_labels(filled(human, human / "for-raters"))
    assert meant(found) == {("rater1", "fine", "fails"), ("rater2", "fails", "fine")}
    assert {r.edit_id for r in found.rows} == {e.edit_id for e in key.values()}
    assert all(
        r.edit_sha256 == rows[r.edit_id]["edit_sha256"] and r.pi and r.plan and r.stratum for r in found.rows
    )
    assert all(set(r.extra) == set() for r in found.rows)
    run = home / "edits.isr"
    args = [word for file in filled(human, human / "for-raters") for word in ("--labels", file)]
    assert "24 labels by 2 raters of 12 edits" in command("agree", *args, "--judge", run).stdout
    command("calibrate", run, *args[:2], "--design", "random")
    away = filled(human, tmp_path / "elsewhere")
    shutil.rmtree(human / "for-raters")
    with pytest.raises(InputError, match=r"the key of these blinded sheets .* give it with --key FILE"):
        load_labels(away)
    assert load_labels(away, Reading(key=human / NAME)).digest == found.digest
    args = [word for file in away for word in ("--labels", file)]
    assert "12 edits" in command("agree", *args, "--key", human / NAME, "--judge", run).stdout
    assert isr.agree(away, [run], key=human / NAME).counts["edits"] == 12
    report = isr.calibrate(run, away[0], design="random", key=human / NAME)
    assert report.as_dict() == isr.calibrate(run, away[:1], design="random", key=human / NAME).as_dict()


def test_answers_of_label_studio_are_read_back_through_the_key(human: Path, tmp_path: Path) -> None:
    tasks = json.loads((human / "for-raters/labelstudio-tasks.json").read_text())
    for task in tasks:
        said = {"semantic": "No", "perceptual": "Cannot tell"}
        result = [
            {"from_name": q, "to_name": "edit", "type": "choices", "value": {"choices": [w]}}
            for q, w in said.items()
        ]
        task["annotations"] = [{"completed_by": {"email": "ann@x"}, "result": result}]
    (human / "export.json").write_text(json.dumps(tasks), "utf-8")
    assert meant(load_labels(human / "export.json")) == {("ann@x", "fails", "cannot_tell")}
    config = (human / "for-raters/labelstudio-config.xml").read_text()
    assert "semantic: Yes = fine, No = fails; perceptual: Yes = fails, No = fine" in config
    assert [config.count(f'value="{word}"') for word in ("Yes", "No", "Cannot tell", "fails", "fine")] == [
        2,
        2,
        2,
        0,
        0,
    ]


def test_a_key_of_other_sheets_is_none(human: Path, home: Path, tmp_path: Path) -> None:
    run, other = home / "edits.isr", tmp_path / "other"
    command(
        "agree", "--template", "table-i", "--judge", run, "--edits", 3, "--strata", "editor", "--out", other
    )
    sheet = filled(human, other / "for-raters")[0]
    with pytest.raises(InputError, match="the key of these blinded sheets"):
        load_labels(sheet)
    with pytest.raises(InputError, match="12 that it has not"):
        load_labels(sheet, Reading(key=other / NAME))
    for spoilt in (
        "[]",
        '{"schema": "isr.key/1", "edits": {"rated-00000000000000000000": {"edit_id": ""}}}',
        "no",
    ):
        (tmp_path / "key.json").write_text(spoilt, "utf-8")
        with pytest.raises(InputError, match="a key of sheets"):
            load_labels(sheet, Reading(key=tmp_path / "key.json"))
    with pytest.raises(UsageError, match="expected no sheets there"):
        command(
            "agree",
            "--template",
            "table-i",
            "--judge",
            run,
            "--edits",
            3,
            "--strata",
            "editor",
            "--out",
            other,
        )


def test_sheets_of_before_are_read_as_before(human: Path) -> None:
    old = human / "old.csv"
    old.write_text(
        "edit_id,rater,semantic,perceptual,stratum,file_name\na/x.png,r,fails,fine,s,a/x.png\n", "utf-8"
    )
    (row,) = load_labels(old).rows
    assert (row.edit_id, row.stratum, row.extra) == ("a/x.png", "s", {"file_name": "a/x.png"})


def test_a_picture_that_is_not_the_one_that_was_judged_is_not_shown(home: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(home, tmp_path / "copy")
    row = next(iter(rows_of(copy / "edits.isr").values()))
    picture(7).save(copy / "edits" / row["file_name"])
    args = [
        "agree",
        "--template",
        "table-i",
        "--judge",
        str(copy / "edits.isr"),
        "--edits",
        "16",
        "--out",
        str(tmp_path / "o"),
    ]
    with pytest.raises(InputError, match=r"1 pictures cannot be given to raters.*\n.*other bytes"):
        CliRunner().invoke(cli, args, catch_exceptions=False)
    assert not (tmp_path / "o" / NAME).exists()
    os.rename(copy / "edits", copy / "away")
    with pytest.raises(
        UsageError, match="expected the pictures of its edits; found none; give them with --data"
    ):
        CliRunner().invoke(cli, args, catch_exceptions=False)
