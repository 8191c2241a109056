"""Bundles as runs: every command that takes a run takes one, and nothing of it stays behind but what is asked for."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import isr
from isr.bundle.archive import write_bundle
from isr.bundle.gather import gather
from isr.cli import cli
from isr.edits.metadata import NAMES
from isr.errors import InputError, UsageError
from isr.scoring.bundle_file import EDITS, MANIFEST, is_bundle
from isr.scoring.bundled import edits_in, fill, released, run_in, table_in
from tests.bundle.bundles import rewritten
from tests.runs import recorded_run

LABELS = "edit_id,rater,semantic,perceptual\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``edits``, its run of two methods, and the bundles ``full.zip`` and ``bare.zip``, of which one has images."""
    home = tmp_path_factory.mktemp("home")
    run = recorded_run(home, images=4, prompts=2, methods=("one", "two"))
    rows = [f"{e.edit_id},ann,fails,fine\n" for e in gather(run).plan.edits]
    (home / "labels.csv").write_text(LABELS + "".join(rows), "utf-8")
    for name, images in (("full.zip", True), ("bare.zip", False)):
        write_bundle(gather(run), run / "isr.db", home / name, images=images)
    return home


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary folders lie: of none is anything left when a command is done."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.glob("isr-bundle-*")) == []


@pytest.fixture
def full(home: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(home / "full.zip", tmp_path / "full.zip"))


def said(*args: object, code: int = 0) -> Result:
    done = CliRunner().invoke(cli, [str(a) for a in args])
    assert done.exit_code == code, (done.output, done.exception)
    return done


@pytest.mark.parametrize(
    "command",
    [
        ("compare", "RUN", "--json"),
        ("report", "RUN", "--csv"),
        ("report", "RUN", "--methods"),
        ("report", "RUN", "--latex"),
        ("agree", "--labels", "LABELS", "--judge", "RUN", "--json"),
        ("calibrate", "RUN", "--labels", "LABELS", "--design", "random", "--json"),
        ("calibrate", "RUN"),
        ("plan", "--half-width", "0.1", "--pilot", "RUN", "--method", "one", "--json"),
    ],
)
def test_a_command_says_of_a_bundle_what_it_says_of_the_run(command: tuple[str, ...], home: Path) -> None:
    texts = []
    for run in (home / "edits.isr", home / "bare.zip"):
        args = [{"RUN": str(run), "LABELS": str(home / "labels.csv")}.get(word, word) for word in command]
        texts.append(said(*args).stdout.replace("bare.zip", "edits.isr").replace("bare", "edits"))
    assert texts[0] == texts[1]
    assert len(texts[0]) > 100


def test_python_takes_bundles(home: Path, full: Path) -> None:
    run = home / "edits.isr"
    assert isr.Result.load(full).to_json() == isr.Result.load(run).to_json()
    with released():
        pass  # what Result.load unpacked
    assert isr.compare(full).as_dict() == isr.compare(run).as_dict()
    labels = home / "labels.csv"
    assert isr.agree(labels, [full]).to_json() == isr.agree(labels, [run]).to_json()
    found = isr.calibrate(full, labels, design="random")
    assert found.as_dict() == isr.calibrate(run, labels, design="random").as_dict()
    answers = [isr.plan(half_width=0.1, pilot=p, method="one").answers for p in (full, run)]
    assert answers[0] == answers[1]
    assert isr.write_report(full) == full.with_name("full.report.html")


def test_a_report_has_the_pictures_and_lies_beside(
    full: Path, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """4 sources and of each 2 prompts x (2 methods + 1 control edit); no file of the temporary folder is named."""
    caplog.set_level(logging.INFO)
    said("report", full)
    page = full.with_name("full.report.html").read_text("utf-8")
    assert page.count("data:image/png;base64") + page.count("data:image/jpeg;base64") >= 4 + 4 * 2 * 3
    assert "isr-bundle-" not in page
    assert any("images are read from it" in text for text in caplog.messages)
    told = said("report", home / "bare.zip", "--out", full.with_name("bare.html")).stderr
    assert "bare.zip: this bundle holds no images; give their folder with --data EDIT_DIR" in told
    bare = full.with_name("bare.html").read_text("utf-8")
    assert "bare.zip: this bundle holds no images; give their folder with --data EDIT_DIR" in bare
    assert "data:image" not in bare
    for data in (home / "edits", full):
        said("report", home / "bare.zip", "--data", data, "--out", full.with_name("bare.html"))
        page = full.with_name("bare.html").read_text("utf-8")
        assert "holds no images" not in page
        assert page.count("data:image") >= 28
    said("report", full, "--assets", "link", code=1)


def test_a_bundle_is_known_by_its_content(full: Path, tmp_path: Path) -> None:
    named = full.rename(tmp_path / "result.json")
    assert is_bundle(named)
    assert "one, eps 0.03: ISR" in said("runs", named).stdout
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("a.txt", "x")
    assert not is_bundle(other)
    assert not is_bundle(tmp_path)
    with pytest.raises(InputError, match="a run, or a bundle"):
        isr.compare(other)


def test_the_runs_of_a_bundle_are_itself(full: Path) -> None:
    found = json.loads(said("runs", full, "--json").stdout)["runs"]
    assert [(r["folder"], r["state"], len(r["isr"])) for r in found] == [(str(full), "finished", 2)]


def test_labels_of_a_bundle_are_kept_beside_it(full: Path, home: Path) -> None:
    done = said("label", full, "--edits", "8", "--import", home / "labels.csv")
    assert f"labels of {full} are kept in {full.with_name('full.labels')}" in done.stdout
    rows = full.with_name("full.labels").joinpath("labels.csv").read_text("utf-8").splitlines()
    assert len(rows) == 1 + 8
    said("label", full, "--export")
    with pytest.raises(UsageError, match="expected a bundle with images; found none"):
        CliRunner().invoke(cli, ["label", str(home / "bare.zip"), "--export"], catch_exceptions=False)


def test_who_exports_labels_that_nobody_gave_plans_no_study(full: Path) -> None:
    with pytest.raises(UsageError, match="found no study that was begun"):
        CliRunner().invoke(cli, ["label", str(full), "--export"], catch_exceptions=False)
    assert not full.with_name("full.labels").exists()


def test_people_score_a_bundle_as_its_edit_directory(full: Path, home: Path) -> None:
    """All 16 edits fail by ann, in the mean of which 8 are of each method."""
    done = json.loads(said("score", full, "--labels", home / "labels.csv", "--json").stdout)
    assert [t["estimates"]["isr"]["value"] for t in done["treatments"]] == [1, 1]
    assert [t["counts"]["edits"] for t in done["treatments"]] == [8, 8]
    assert len(list(full.with_name("full.isr").glob("runs/people-*/result.json"))) == 1


def test_the_answers_of_a_bundle_are_rows_of_its_result(full: Path, home: Path) -> None:
    with released():
        rows = isr.Result.load(full).to_dicts("answers")
    own = isr.Result.load(home / "edits.isr").to_dicts("answers")
    assert rows == own
    assert rows[0]["reply"]


@pytest.mark.parametrize("data", [b"", b"PK\5\6" + bytes(18), b"no zip"])
def test_a_file_that_is_no_bundle_is_called_so(data: bytes, home: Path, tmp_path: Path) -> None:
    path = tmp_path / "not.zip"
    path.write_bytes(data)
    for args in (
        ("score", path, "--judge", home / "recorded.toml"),
        ("score", path, "--labels", home / "labels.csv"),
        ("validate", path),
    ):
        with pytest.raises(InputError, match=r"not\.zip: expected an edit directory.*found (another|a) file"):
            CliRunner().invoke(cli, list(map(str, args)), catch_exceptions=False)
    assert not tmp_path.joinpath("not.isr").exists()


def test_images_that_are_missing_are_counted_with_examples(full: Path, home: Path) -> None:
    """One image less: a report says so and goes on, who asks a judge is refused before anything is asked."""
    gone = next(n for n in zipfile.ZipFile(full).namelist() if n.startswith("images/"))
    part = rewritten(full, lambda name, data: None if name == gone else data, relist=True)
    found = r"\d+ of \d+ images are not in it: \S+"
    with pytest.raises(InputError, match=found):
        CliRunner().invoke(
            cli, ["score", str(part), "--judge", str(home / "recorded.toml")], catch_exceptions=False
        )
    assert not part.with_name("changed.isr").exists()
    with released():
        root = table_in(part)
        with pytest.raises(InputError, match=found):
            edits_in(part)
        assert fill(root)


def test_an_error_of_a_bundle_names_it_and_its_file(full: Path) -> None:
    """``notes`` of the result is of no number, so that only its reader misses it."""

    def cut(name: str, data: bytes) -> bytes:
        if name != "result.json":
            return data
        return json.dumps({k: v for k, v in json.loads(data).items() if k != "notes"}).encode()

    path = rewritten(full, cut, relist=True)
    with released(), pytest.raises(InputError) as refused:
        isr.Result.load(path)
    assert f"{path}: result.json: expected" in str(refused.value)
    assert "isr-bundle-" not in str(refused.value)


def test_what_a_bundle_cannot_be_is_said_before_anything_is_made(home: Path, tmp_path: Path) -> None:
    bare = Path(shutil.copy(home / "bare.zip", tmp_path / "bare.zip"))
    for args, why in (
        (("score", bare, "--judge", home / "recorded.toml"), "expected a bundle with images; found none"),
        (("report", bare, "--serve"), "found the bundle .*; leave --serve out"),
    ):
        with pytest.raises(UsageError, match=why):
            CliRunner().invoke(cli, list(map(str, args)), catch_exceptions=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bare.zip", "temporary"]


def test_a_bundle_is_not_packed_again(full: Path) -> None:
    with pytest.raises(UsageError, match="found a bundle already"):
        CliRunner().invoke(cli, ["bundle", str(full)], catch_exceptions=False)


def moved(full: Path, path: str) -> Path:
    """The bundle with its first edit under another path, in its list as if it had been made so."""

    def change(name: str, data: bytes) -> bytes:
        if name != EDITS:
            return data
        first, *rest = data.splitlines(keepends=True)
        row = json.loads(first)
        row["images"]["edited"][0] = path
        return json.dumps(row).encode() + b"\n" + b"".join(rest)

    return rewritten(full, change, relist=True)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("../evil.png", "leaves the directory"),
        ("a/../../evil.png", "leaves the directory"),
        ("a\\..\\..\\evil.png", "leaves the directory"),
        ("/tmp/evil.png", "leaves the directory"),
        ("C:evil.png", "leaves the directory"),
        ("isr.toml", "another file of the directory"),
        ("Metadata.csv", "another file of the directory"),
        ("sources/0.png", "another image"),
        ("sources/0.png/evil.png", "another image"),
        ("sources", "another image"),
        ("", "no name"),
        ("a\nb.png", "cannot be printed"),
        ("a/" * 600, "a long one"),
    ],
)
def test_no_image_is_unpacked_under_a_hostile_path(full: Path, temporary: Path, path: str, why: str) -> None:
    before = sorted(p.name for p in full.parent.iterdir())
    with released(), pytest.raises(InputError, match=why):
        edits_in(moved(full, path))
    assert sorted(p.name for p in full.parent.iterdir()) == sorted([*before, "changed.zip"])
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("name", ["result.json", "edits.csv", "metadata/metadata.jsonl"])
def test_a_file_that_is_not_that_of_the_list_is_refused(full: Path, name: str) -> None:
    changed = rewritten(full, lambda n, d: d + b" " if n == name else d)
    with released(), pytest.raises(InputError, match="the bytes of the bundle's own list"):
        run_in(changed)


def test_an_image_with_other_bytes_is_refused(full: Path) -> None:
    changed = rewritten(full, lambda n, d: d + b" " if n.startswith("images/") else d, relist=True)
    with released(), pytest.raises(InputError, match="the image that was judged; found other bytes"):
        edits_in(changed)


@pytest.mark.parametrize("change", ["none", "two"])
def test_a_bundle_has_one_table_of_metadata(full: Path, change: str) -> None:
    changed = rewritten(full, lambda n, d: None if n.startswith("metadata/") else d)
    if change == "two":
        with zipfile.ZipFile(full) as old, zipfile.ZipFile(changed, "w") as new:
            for name in old.namelist():
                new.writestr(name, old.read(name))
            new.writestr(f"metadata/{NAMES[1]}", "file_name\n")
    with released(), pytest.raises(InputError, match="one of metadata"):
        run_in(changed)


def test_what_is_unpacked_stays_for_the_outermost_scope(full: Path) -> None:
    with released():
        isr.compare(full)
        folder = run_in(full)
        isr.compare(full)
        assert folder.joinpath("result.json").is_file()
        assert run_in(full) == folder
        full.write_bytes(full.read_bytes() + b"")
        with zipfile.ZipFile(full, "a") as archive:
            assert MANIFEST in archive.namelist()
            archive.comment = b"changed"
        assert run_in(full) != folder  # another file of that name
    assert not folder.exists()
