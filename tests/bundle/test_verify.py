"""Bundles: verified as they are, found out by name when anything in them is changed, refused when hostile."""

from __future__ import annotations

import json
import re
import shutil
import stat
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

import isr
from isr.bundle.archive import write_bundle
from isr.bundle.gather import gather
from isr.bundle.verify import agreeing_digits, verify
from isr.cli import cli
from isr.cli.bundle import command
from isr.errors import InputError, UsageError
from isr.judging.cards import load_card
from isr.judging.rubrics import load_rubric
from isr.judging.thresholds import Decision, Recalibration, write_recalibration
from isr.scoring.bundle_file import MANIFEST, Bundle
from isr.scoring.text import render
from isr.types import Question
from tests import processes
from tests.bundle.bundles import found, rewritten


def test_a_bundle_verifies_and_has_the_same_bytes_again(bundle: Path, run: Path, tmp_path: Path) -> None:
    result = found(bundle)
    assert result.faults == []
    assert [p.split(":")[0] for p in result.proved] == ["files", "arithmetic", "images"]
    again = tmp_path / "again" / "run.zip"
    write_bundle(gather(run), run / "isr.db", again, images=True)
    assert again.read_bytes() == bundle.read_bytes()
    text = b"".join(
        zipfile.ZipFile(bundle).read(n) for n in zipfile.ZipFile(bundle).namelist() if n.endswith("json")
    )
    assert str(tmp_path).encode() not in text


def test_without_images_they_are_checked_in_a_folder(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "small.zip"
    write_bundle(gather(run), run / "isr.db", out)
    assert any("digests are listed" in u for u in found(out).unproved)
    data = shutil.copytree(run.parent / "edits", tmp_path / "data")
    assert found(out, data).faults == []
    (data / "sources" / "1.png").write_bytes(b"other")
    (data / "edits" / "0-0-0.png").unlink()
    assert found(out, data).faults == [
        "image edits/0-0-0.png: is missing",
        "image sources/1.png: changed since it was judged",
    ]


def test_images_have_endings_by_their_content_and_those_of_old_bundles_are_read_without(bundle: Path) -> None:
    """The directory's 4 sources and 12 edits are PNG files, 12 control edits too: 28 of them, each once."""
    with Bundle(bundle) as opened:
        assert {n[75:] for n in opened.names if n.startswith("images/") and len(n) == 7 + 64 + 4} == {""}
        assert {n[-4:] for n in opened.images.values()} == {".png"}
    old = bundle.with_name("old.zip")
    with zipfile.ZipFile(bundle) as new, zipfile.ZipFile(old, "w") as made:
        manifest = json.loads(new.read(MANIFEST))
        manifest["files"] = {n.removesuffix(".png"): d for n, d in manifest["files"].items()}
        for name in new.namelist():
            data = json.dumps(manifest).encode() if name == MANIFEST else new.read(name)
            made.writestr(name.removesuffix(".png"), data)
    assert found(old).faults == []
    assert found(old).proved[-1] == found(bundle).proved[-1]
    with zipfile.ZipFile(bundle, "a") as archive:  # the same image once more, without an ending
        name = next(n for n in archive.namelist() if n.startswith("images/"))
        archive.writestr(name.removesuffix(".png"), archive.read(name))
    assert f"{name}: is the image of no edit" in found(bundle).faults


def test_a_changed_estimate_is_named_with_its_digits(bundle: Path) -> None:
    def change(name: str, data: bytes) -> bytes:
        if name != "result.json":
            return data
        raw = json.loads(data)
        raw["treatments"][0]["estimates"]["isr"]["value"] += 0.001
        return json.dumps(raw).encode()

    faults = found(rewritten(bundle, change, relist=True)).faults
    assert len(faults) == 1
    assert "treatments[0].estimates.isr.value" in faults[0]
    assert "significant digits" in faults[0]


def test_a_row_twice_or_without_a_name_is_a_fault(bundle: Path) -> None:
    def change(name: str, data: bytes) -> bytes:
        if name != "edits.csv":
            return data
        head, first, *rest = data.splitlines(keepends=True)
        blank = b"," * head.count(b",") + b"\n"
        return b"".join([head, first.replace(b"immunized", b"undecided"), first, *rest, blank])

    faults = found(rewritten(bundle, change, relist=True)).faults
    assert len(faults) == 3
    assert faults[0] == "edits.csv: 1 row(s) without edit_id or arm"
    assert faults[1].endswith("stands there 2 times")
    assert faults[2] == "edits.csv: is not the table of this result.json"


@pytest.mark.parametrize("shift", [1e-13, 1e-11])
def test_the_last_bits_may_differ(bundle: Path, shift: float) -> None:
    def change(name: str, data: bytes) -> bytes:
        if name != "result.json":
            return data
        raw = json.loads(data)
        raw["treatments"][0]["estimates"]["uplift"]["value"] += shift
        return json.dumps(raw).encode()

    result = found(rewritten(bundle, change, relist=True))
    assert result.sound is (shift < 1e-12)
    assert any("run.json" in u for u in result.unproved)
    assert any("protected_psnr" in u for u in result.unproved)


@pytest.mark.parametrize("relist", [False, True])
def test_a_changed_rubric_image_card_or_edit_is_found_by_name(bundle: Path, relist: bool) -> None:
    with zipfile.ZipFile(bundle) as archive:
        fields = json.loads(archive.read("edits.jsonl").splitlines()[0])
    path, digest = fields["images"]["edited"]
    wanted = {
        "rubrics/semantic/v1.toml": (
            b"You evaluate edits",
            b"You always praise edits",
            "rubrics/semantic/v1.toml",
        ),
        f"images/{digest.partition(':')[2]}.png": (b"IDAT", b"IDAX", f"image {path}"),
        "cards/recorded.json": (b'"temperature": 0.0', b'"temperature": 0.5', "cards/recorded.json"),
        "edits.jsonl": (b"make it colour 1", b"make it colour 9", "edits.jsonl"),
    }
    for target, (old, new, named) in wanted.items():
        changed = rewritten(
            bundle, lambda n, d, t=target, o=old, w=new: d.replace(o, w, 1) if n == t else d, relist=relist
        )  # type: ignore[misc]
        faults = found(changed).faults
        assert any(f.startswith(named) for f in faults), (target, faults)


def test_a_file_that_was_dropped_or_added_is_named(bundle: Path) -> None:
    dropped = rewritten(bundle, lambda n, d: None if n.startswith("metadata/") else d)
    assert "metadata/metadata.jsonl: is missing" in found(dropped).faults
    with zipfile.ZipFile(bundle, "a") as archive:
        archive.writestr("extra.txt", "hello")
    assert found(bundle).faults == ["extra.txt: was added after the bundle was made"]


def hostile() -> Iterator[tuple[str, Callable[[zipfile.ZipFile], None]]]:
    for name in ("../evil", "/etc/passwd", "a/../../b", "C:evil", "a\\b", "a//b", "./a"):
        yield f"path {name}", lambda z, n=name: z.writestr(n, "x")  # type: ignore[misc]

    def link(archive: zipfile.ZipFile) -> None:
        info = zipfile.ZipInfo("metadata/link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")

    yield "link", link
    yield "bomb", lambda z: z.writestr("bomb", b"\0" * 20_000_000, zipfile.ZIP_DEFLATED)


@pytest.mark.parametrize(("what", "spoil"), list(hostile()), ids=[w for w, _ in hostile()])
def test_hostile_zips_are_refused(bundle: Path, what: str, spoil: Callable[[zipfile.ZipFile], None]) -> None:
    with zipfile.ZipFile(bundle, "a") as archive:
        spoil(archive)
    with pytest.raises(InputError, match="refused, 1 problem"):
        Bundle(bundle)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_twice_and_what_is_no_zip_are_refused(bundle: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(bundle, "a") as archive:
        archive.writestr("result.json", "{}")
    with pytest.raises(InputError, match="each file once"):
        Bundle(bundle)
    (tmp_path / "no.zip").write_bytes(b"PK nothing")
    with pytest.raises(InputError, match="no zip"):
        Bundle(tmp_path / "no.zip")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a.txt", "x")
    with pytest.raises(InputError, match=MANIFEST), Bundle(tmp_path / "other.zip") as opened:
        verify(opened)


def test_many_small_bombs_are_refused_together(tmp_path: Path) -> None:
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(80):
            archive.writestr(f"images/{i}", b"\0" * (1_000_000))
    with pytest.raises(InputError, match="refused, 1 problem"):
        Bundle(path)


def test_a_text_above_the_limit_is_refused(
    bundle: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("isr.bundle.archive", "isr.scoring.bundle_file"):
        monkeypatch.setattr(f"{module}.MAX_TEXT", 2_000)
    with pytest.raises(InputError, match="answers"):
        Bundle(bundle)
    with pytest.raises(UsageError, match="expected at most"):
        write_bundle(gather(run), run / "isr.db", tmp_path / "new.zip")


@pytest.mark.parametrize("spoilt", [{"files": []}, {"files": None}, {"files": {"a": 1}}, {"by": "split"}])
def test_a_malformed_list_is_no_traceback(bundle: Path, spoilt: dict[str, object]) -> None:
    def change(name: str, data: bytes) -> bytes:
        return json.dumps(json.loads(data) | spoilt).encode() if name == MANIFEST else data

    with pytest.raises(InputError, match="cannot be read"):
        found(rewritten(bundle, change))


def test_a_damaged_stream_is_an_input_error(bundle: Path) -> None:
    with zipfile.ZipFile(bundle) as archive:
        info = archive.getinfo("answers.jsonl")
    data = bytearray(bundle.read_bytes())
    at = info.header_offset + 30 + len(info.filename)
    data[at : at + 40] = b"\xff" * 40
    bundle.write_bytes(bytes(data))
    with pytest.raises(InputError, match="cannot be read"):
        found(bundle)


def test_a_directory_that_has_changed_is_not_bundled(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run.parent, tmp_path / "copy")
    (copy / "edits" / "sources" / "0.png").write_bytes((copy / "edits" / "sources" / "1.png").read_bytes())
    with pytest.raises(UsageError, match="expected the edits that were scored"):
        gather(copy / "edits.isr")


def test_what_was_set_comes_out_by_name_only(run: Path, tmp_path: Path) -> None:
    contents = gather(run)
    options = {**contents.record["options"], "set": ["endpoint.base_url=http://10.0.0.1/secret", "notes=x"]}
    out = tmp_path / "set.zip"
    write_bundle(replace(contents, record={**contents.record, "options": options}), run / "isr.db", out)
    with Bundle(out) as opened:
        assert opened.json("run.json")["options"]["set"] == ["endpoint.base_url", "notes"]
        assert all(b"secret" not in opened.read(n) for n in opened.names)


def test_a_run_is_bundled_from_its_record_alone(run: Path, tmp_path: Path) -> None:
    """Its store lies elsewhere, its card and calibration are gone: the record holds where, and both in full."""
    edits = shutil.copytree(run.parent / "edits", tmp_path / "edits")
    card = tmp_path / "recorded.toml"
    shutil.copy(run.parent / "answers.jsonl", tmp_path)
    card.write_text(
        'backend = "replay"\n[engine]\nanswers = "answers.jsonl"\n'.replace(
            "answers.jsonl", f"{tmp_path}/answers.jsonl"
        )
    )
    judge = load_card(str(card))
    never = Decision(
        rubric="semantic/v1", rubric_digest=load_rubric("semantic/v1").digest, map="platt", threshold=1.0
    )
    write_recalibration(
        tmp_path / "cal.toml", Recalibration(judge.name, judge.digest, {Question.SEMANTIC: never})
    )
    options = {
        "judge": str(card),
        "store": tmp_path / "elsewhere" / "x.db",
        "calibrations": [tmp_path / "cal.toml"],
    }
    (tmp_path / "elsewhere").mkdir()
    isr.score(edits, **options)
    for gone in (card, tmp_path / "answers.jsonl", tmp_path / "cal.toml"):
        gone.unlink()
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("edits", "edits.isr", "elsewhere"):
        (tmp_path / name).rename(moved / name)
    done = CliRunner().invoke(command, [str(moved / "edits.isr"), "--images"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    out = moved / "edits.bundle.zip"
    assert found(out).faults == []
    with Bundle(out) as opened:
        assert "panel" not in opened.json("run.json")
        assert all(str(tmp_path).encode() not in opened.read(n) for n in opened.names)
    # several runs of one directory have bundles of their own
    isr.score(moved / "edits", judge="shapes-oracle", limit=1)
    (first,) = (p.parent for p in moved.glob("edits.isr/runs/recorded-*/result.json"))
    done = CliRunner().invoke(command, [str(first)], catch_exceptions=False)
    assert (moved / f"edits.{first.name}.bundle.zip").is_file()


def test_the_table_of_another_result_is_a_fault(bundle: Path) -> None:
    """Also where the list of digests was made anew."""

    def change(name: str, data: bytes) -> bytes:
        return data.replace(b"\n", b"\r\n") if name == "edits.csv" else data

    assert (
        "edits.csv: is not the table of this result.json"
        in found(rewritten(bundle, change, relist=True)).faults
    )


def test_labels_are_found_where_isr_label_writes_them(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run.parent, tmp_path / "copy") / "edits.isr"
    out = tmp_path / "b.zip"
    assert "labels: none" in CliRunner().invoke(command, [str(copy), "--out", str(out)]).output
    file = copy.parent / "edits.labels" / "labels.csv"
    file.parent.mkdir()
    file.write_text(
        "edit_id,rater,semantic,perceptual\n"
    )  # no label in it: no page is made, and no bundle is lost
    assert f"labels: {file}" in CliRunner().invoke(command, [str(copy), "--out", str(out)]).output
    with Bundle(out) as opened:
        assert "labels/labels.csv" in opened.names


@pytest.mark.slow
def test_the_commands_and_a_sample_asked_again(run: Path, tmp_path: Path) -> None:
    def isr(*arguments: str) -> processes.CompletedProcess[str]:
        return processes.run([sys.executable, "-m", "isr", *arguments])

    made = isr("bundle", str(run), "--images", "--out", str(tmp_path / "b.zip"))
    assert made.returncode == 0, made.stderr
    judge = str(run.parent / "recorded.toml")
    done = isr("verify", str(tmp_path / "b.zip"), "--rejudge", "6", "--judge", judge)
    assert done.returncode == 0, done.stderr
    assert "outcome      the same on 100.0%" in done.stdout
    assert "n 6, images" in done.stdout
    assert "a sample of the answers: asked again: agreement 100.0% (" in done.stdout
    seeds = []
    for _ in range(2):
        again = isr("verify", str(tmp_path / "b.zip"), "--rejudge", "2", "--judge", judge, "--json")
        seeds.append(json.loads(again.stdout)["rejudged"]["seed"])
    assert seeds[0] != seeds[1]
    assert re.search(r"seed 5$", isr(
        "verify", str(tmp_path / "b.zip"), "--rejudge", "2", "--judge", judge, "--seed", "5"
    ).stdout, re.MULTILINE)  # fmt: skip
    nothing = tmp_path / "nothing.jsonl"
    nothing.write_text(
        "".join(
            json.dumps({**json.loads(line), "answer": {"text": "I cannot", "finish_reason": "stop"}}) + "\n"
            for line in (run.parent / "answers.jsonl").read_text().splitlines()
        )
    )
    other = tmp_path / "other.toml"
    other.write_text(f'backend = "replay"\n[engine]\nanswers = {json.dumps(str(nothing))}\n')
    done = isr("verify", str(tmp_path / "b.zip"), "--rejudge", "6", "--judge", str(other), "--json")
    said = json.loads(done.stdout)
    assert said["rejudged"]["undecided"] == 6
    assert not any("sample" in p for p in said["proved"])
    assert any("decided none" in u for u in said["unproved"])
    spoilt = rewritten(tmp_path / "b.zip", lambda n, d: d + b"\n" if n == "run.json" else d)
    done = isr("verify", str(spoilt), "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["faults"] == ["run.json: other bytes than when the bundle was made"]
    assert isr("verify", str(spoilt), "--rejudge", "5").returncode == 2


def test_agreeing_digits() -> None:
    assert agreeing_digits(0.625, 0.625) == 17
    assert agreeing_digits(0.625, 0.626) == 2  # 0.001 / 0.626 = 0.0016: the third digit differs
    assert agreeing_digits(1.0, 2.0) == 0


def test_the_table_that_was_verified_is_printed_first(bundle: Path, run: Path) -> None:
    table = render(isr.Result.load(run))
    done = CliRunner().invoke(cli, ["verify", str(bundle)])
    assert done.exit_code == 0
    assert done.stdout.startswith(table)
    assert f"{bundle}: consistent" in done.stdout[len(table) :]
    said = json.loads(CliRunner().invoke(cli, ["verify", str(bundle), "--json"]).stdout)
    raw = json.loads((run / "result.json").read_text("utf-8"))
    assert said["estimates"] == {"treatments": raw["treatments"], "control": raw["control"]}

    def change(name: str, data: bytes) -> bytes:
        return data.replace(b'"value": 0.', b'"value": 0.9', 1) if name == "result.json" else data

    done = CliRunner().invoke(cli, ["verify", str(rewritten(bundle, change, relist=True))])
    assert done.exit_code == 2
    assert done.stdout.startswith("AS THE BUNDLE REPORTS IT, which is not what was found")
    odd = rewritten(
        bundle, lambda n, d: d.replace(b'"n": 12', b'"n": [12]') if n == "result.json" else d, relist=True
    )
    done = CliRunner().invoke(cli, ["verify", str(odd)])
    assert done.exit_code == 2
    assert "no table can show" in done.stdout
    assert "estimates.isr.n" in done.stdout
