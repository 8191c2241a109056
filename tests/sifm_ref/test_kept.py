"""What lies in a folder is what its rows say: exchanged files, other makers, two runs at once, kills between writes."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="needs isr-eval[sifm]")
pytest.importorskip("diffusers", reason="needs isr-eval[sifm]")

from click.testing import CliRunner  # noqa: E402

from isr.canonical import canonical_json  # noqa: E402
from isr.cli import cli  # noqa: E402
from isr.edits import metadata  # noqa: E402
from isr.errors import EditDirectoryError, InputError, UsageError  # noqa: E402
from isr.files import file_digest  # noqa: E402
from isr.judging.edits import load_edits  # noqa: E402
from isr.locks import held  # noqa: E402
from sifm_ref import records  # noqa: E402
from sifm_ref.editing import Job, edit  # noqa: E402
from sifm_ref.immunizing import Job as Immunize  # noqa: E402
from sifm_ref.immunizing import immunize  # noqa: E402
from sifm_ref.pictures import Resize  # noqa: E402
from sifm_ref.records import DIGESTS, Records, alone  # noqa: E402
from sifm_ref.units import Prompt  # noqa: E402
from tests import processes  # noqa: E402
from tests.sifm_ref.scenes import picture, quick  # noqa: E402
from tests.sifm_ref.test_editing import handmade, rows  # noqa: E402

PROMPTS = (Prompt("*", "make the circle red", "red"),)
ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


def photographs(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for number, name in enumerate(names):
        Image.fromarray(picture(16, 16, number)).save(folder / f"{name}.png")
    return folder


def immunized(folder: Path, box: Any, *names: str, **more: Any) -> Immunize:
    """A finished run of noise on photographs of 16 pixels."""
    photos = folder.parent / f"{folder.name}-photos"
    if not photos.is_dir():
        photographs(photos, *names)
    job = Immunize(images=photos, out=folder, method=quick("noise"), resize=Resize(16), **more)
    immunize(job, box)
    return job


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:60])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def blacken(file: Path) -> None:
    with Image.open(file) as image:
        size = image.size
    Image.new("RGB", size).save(file)


def encode(file: Path) -> None:
    with Image.open(file) as image:
        image.convert("RGB").save(file, "JPEG", quality=20)


def shrink(file: Path) -> None:
    with Image.open(file) as image:
        image.resize((8, 8)).save(file, "PNG")


SPOILING: dict[str, Callable[[Path], None]] = {
    f.__name__: f for f in (truncate, empty, blacken, encode, shrink)
}


def pictures(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.png")}


def test_every_row_holds_the_digest_of_every_file(editor: Any, tmp_path: Path) -> None:
    box = editor("sd_inpaint")  # with masks
    immunized(tmp_path / "in", box, "a")
    edit(Job(directories=(tmp_path / "in",), out=tmp_path / "out", prompts=PROMPTS), box)
    for folder, by in ((tmp_path / "in", "immunize"), (tmp_path / "out", "edit")):
        (row,) = rows(folder)
        named = {c for c in row if c.endswith("file_name")}
        assert named == set(DIGESTS[by])
        for column, digest in DIGESTS[by].items():
            assert row[digest] == file_digest(folder / row[column])
    assert DIGESTS["edit"] == metadata.DIGESTS, "isr score compares what isr edit keeps"
    assert len(load_edits(tmp_path / "out").edits) == 1


@pytest.mark.parametrize(
    ("how", "column"), [*((how, "file_name") for how in SPOILING), ("blacken", "source_file_name")]
)
def test_what_immunize_wrote_is_vouched_for(how: str, column: str, editor: Any, tmp_path: Path) -> None:
    """A protected picture that was changed is no longer the one that was measured: edit refuses, --resume makes it again."""
    box = editor("instruct_pix2pix")
    made = immunized(tmp_path / "in", box, "a", "b")
    before, row = pictures(made.out), rows(made.out)[0]
    SPOILING[how](made.out / row[column])
    job = Job(directories=(made.out,), out=tmp_path / "out", prompts=PROMPTS)
    with pytest.raises(InputError) as caught:
        edit(job, box)
    (problem,) = caught.value.problems
    assert problem.where == str(made.out / row[column])
    assert "the picture that isr immunize made" in problem.expected
    assert "isr immunize with --resume" in problem.fix
    assert not job.out.exists()
    notes: list[str] = []
    assert immunize(replace(made, resume=True), box, on_note=notes.append) == 2
    assert notes == [f"1 file(s) were other than were made, and are made again: {row[column]}"]
    assert pictures(made.out) == before
    assert edit(job, box) == 2


@pytest.mark.parametrize(
    ("how", "column"),
    [*((how, "file_name") for how in SPOILING), *(("blacken", c) for c in list(DIGESTS["edit"])[1:])],
)
def test_what_edit_wrote_is_vouched_for(how: str, column: str, editor: Any, tmp_path: Path) -> None:
    box = editor("instruct_pix2pix")
    immunized(tmp_path / "in", box, "a", "b")
    job = Job(directories=(tmp_path / "in",), out=tmp_path / "out", prompts=PROMPTS, resume=True)
    edit(job, box)
    before, row = pictures(job.out), rows(job.out)[0]
    table = (job.out / "metadata.jsonl").read_bytes()
    SPOILING[how](job.out / row[column])
    for command in (["validate"], ["score", "--judge", "shapes-oracle", "--quiet"]):
        done = CliRunner().invoke(cli, [command[0], str(job.out), *command[1:]])
        assert isinstance(done.exception, EditDirectoryError), done.output
        said = str(done.exception)
        assert f"'{column}'" in said
        assert row[column] in said
        assert ("the file that was made" in said and "--resume" in said) or how in ("truncate", "empty")
    notes: list[str] = []
    assert edit(job, box, on_note=notes.append) == 2
    assert notes == [f"1 file(s) were other than were made, and are made again: {row[column]}"]
    assert pictures(job.out) == before
    assert (job.out / "metadata.jsonl").read_bytes() == table


def test_a_malformed_digest_vouches_for_nothing(editor: Any, tmp_path: Path) -> None:
    box = editor("instruct_pix2pix")
    made = immunized(tmp_path / "in", box, "a", "b")
    (row, *others), before = rows(made.out), pictures(made.out)
    spoiled = row | {"protected_sha256": row["protected_sha256"].upper()}
    blacken(made.out / row["file_name"])
    (made.out / "metadata.jsonl").write_text("".join(json.dumps(r) + "\n" for r in (spoiled, *others)))
    record = made.out / ".records" / f"{row['image_id']}.json"
    record.write_text(json.dumps(spoiled))
    with pytest.raises(InputError, match="the picture that isr immunize made"):
        edit(Job(directories=(made.out,), out=tmp_path / "out", prompts=PROMPTS), box)
    immunize(replace(made, resume=True), box)
    assert pictures(made.out) == before
    assert rows(made.out)[0]["protected_sha256"] == row["protected_sha256"]


def test_folders_of_before_are_read_and_it_is_said(editor: Any, tmp_path: Path) -> None:
    """Rows without digests, and a control edit's mark that knows nothing of its file."""
    box, told = editor("instruct_pix2pix"), list[str]()
    folder = handmade(tmp_path / "in", "a")
    job = Job(directories=(folder,), out=tmp_path / "out", prompts=PROMPTS, resume=True)
    edit(job, box, on_note=told.append)
    (note,) = told
    assert note.startswith(
        f"{folder}: 1 of 1 rows keep no digests of their files, as an earlier version wrote them"
    )
    assert note.endswith("whether these are the pictures that were measured is not known")
    (record,) = (job.out / ".records").glob("*.json")
    row = json.loads(record.read_text())
    mark = next((job.out / ".records" / "controls").iterdir())
    mark.write_text(json.dumps({k: row[k] for k in ("source_sha256", "mask_sha256")}))
    for column in ("edit_sha256", "control_sha256", "edit_device"):
        del row[column]
    record.write_text(json.dumps(row))
    fresh: list[bool] = []
    edit(job, box, on_edit=lambda d: fresh.append(d.fresh))
    assert fresh == [False]
    record.unlink()
    (control,) = (job.out / "controls").iterdir()
    date = control.stat().st_mtime_ns
    edit(job, box)
    assert control.stat().st_mtime_ns == date
    assert len(load_edits(job.out).edits) == 1


KILLED = """
import os, sys
from pathlib import Path
from sifm_ref import editing
from sifm_ref.editor import Settings
from sifm_ref.loading import load
from sifm_ref.units import Prompt

folder, model, out = map(Path, sys.argv[1:])
whole = editing.write_whole
def dying(path, data):
    if path.parent.name == "controls" and path.suffix == ".json":
        os._exit(9)
    whole(path, data)
editing.write_whole = dying
prompts = (Prompt("*", "make the circle red", "red"),)
job = editing.Job(directories=(folder,), out=out, prompts=prompts, resume=True)
editing.edit(job, load(f"instruct_pix2pix={model}", Settings(settings={"steps": 2})))
"""


@pytest.mark.parametrize("of_before", [pytest.param(True, marks=pytest.mark.slow), False])
def test_a_kill_between_a_control_edit_and_its_mark(
    of_before: bool, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    """Source A done; B put there and killed after B's control edit; A put back: A's control edit is made again.

    A mark of before says nothing of its file: one that is left standing would vouch for B's.
    """
    from sifm_ref.editor import Settings
    from sifm_ref.loading import load

    box = load(f"instruct_pix2pix={checkpoint('instruct_pix2pix')}", Settings(settings={"steps": 2}))
    folder = handmade(tmp_path / "in", "a")
    job = Job(directories=(folder,), out=tmp_path / "out", prompts=PROMPTS, resume=True)
    edit(job, box)
    expected, source = pictures(job.out), (folder / "sources" / "a.png").read_bytes()
    if of_before:
        (mark,) = (job.out / ".records" / "controls").iterdir()
        said = {k: v for k, v in json.loads(mark.read_text()).items() if k != "control_sha256"}
        mark.write_bytes(canonical_json(said))
    Image.new("RGB", (16, 16), (200, 20, 20)).save(folder / "sources" / "a.png")
    done = processes.run(
        [sys.executable, "-c", KILLED, folder, checkpoint("instruct_pix2pix"), job.out], env=ENVIRONMENT
    )
    assert done.returncode == 9, done.stderr
    assert pictures(job.out) != expected
    (folder / "sources" / "a.png").write_bytes(source)
    edit(job, box)
    assert pictures(job.out) == expected


def test_a_run_that_failed_at_its_first_picture_does_not_block_its_folder(
    editor: Any, tmp_path: Path
) -> None:
    box, photos = editor("instruct_pix2pix"), photographs(tmp_path / "photos", "a")

    def failing(*args: Any, **named: Any) -> Any:
        raise MemoryError("no memory is left")

    method = quick("noise")
    job = Immunize(
        images=photos, out=tmp_path / "out", method=replace(method, function=failing), resize=Resize(32)
    )
    with pytest.raises((MemoryError, UsageError)):
        immunize(job, box)
    assert (job.out / "immunize.json").is_file()
    again = replace(job, method=method, resize=Resize(16))
    with pytest.raises(UsageError, match="begun with other settings"):
        immunize(replace(again, shard=(0, 2)), box)
    assert immunize(again, box) == 1
    with pytest.raises(UsageError, match="begun with other settings"):
        immunize(job, box)


def test_other_photographs_do_not_join_a_finished_run(editor: Any, tmp_path: Path) -> None:
    box = editor("instruct_pix2pix")
    first = immunized(tmp_path / "im", box, "p0", "p1", "p2")
    before = rows(first.out)
    other = replace(first, images=photographs(tmp_path / "others", "q0"))
    for resume in (False, True):
        with pytest.raises(
            UsageError, match=r"(?s)found others; choose another.*3 of its 3 results.*p0, p1, p2; now q0"
        ):
            immunize(replace(other, resume=resume), box)
    assert rows(first.out) == before
    Image.fromarray(picture(16, 16, 9)).save(first.images / "p3.png")  # one more of the same folder joins
    assert immunize(replace(first, resume=True), box) == 4
    with pytest.raises(UsageError, match="add --resume"):
        immunize(first, box)


def test_a_bench_may_ask_for_less(tmp_path: Path) -> None:
    def begun(keys: list[str], **more: Any) -> Records:
        return Records(tmp_path / "r", "immunize", {"prompts": {}}, keys, resume=True, **more)

    begun(["a", "b"]).add("a", {"image_id": "a"})
    assert begun(["a"], growing=("prompts",)).finish() == 1
    with pytest.raises(UsageError, match="1 of its 1 results are not asked for now: a; now c"):
        begun(["c"])


def test_other_makers_are_told_and_kept(editor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that goes on with another library, or on another device, says so, and its file keeps it."""
    box = editor("instruct_pix2pix")
    made = immunized(tmp_path / "in", box, "a", "b")
    assert rows(made.out)[0]["immunize_device"].startswith("cpu (")
    job = Job(directories=(made.out,), out=tmp_path / "out", prompts=PROMPTS, shard=(0, 2), resume=True)
    edit(job, box)
    now = records.versions()
    monkeypatch.setattr(records, "versions", lambda: {**now, "torch": "9.9.9"})
    monkeypatch.setattr(records, "device_of", lambda editor: "cuda (NVIDIA H100)")
    monkeypatch.setattr("sifm_ref.editing.device_of", records.device_of)
    monkeypatch.setattr("sifm_ref.editing.versions", records.versions)
    notes: list[str] = []
    edit(replace(job, shard=(1, 2)), box, on_note=notes.append)
    (note,) = notes
    assert f"torch {now['torch']} then, 9.9.9 now" in note
    assert "cuda (NVIDIA H100) now" in note
    assert json.loads((job.out / "edit.json").read_text())["notes"] == notes
    assert len({r["edit_device"] for r in rows(job.out)}) == 2
    notes.clear()
    edit(job, box, on_note=notes.append)
    assert notes == []
    assert json.loads((job.out / "edit.json").read_text())["notes"] == [note]
    done = CliRunner().invoke(cli, ["score", str(job.out), "--judge", "shapes-oracle", "--quiet"])
    assert "note: edits are not all made alike: edit_device: 2 values" in done.stdout, done.output


def test_two_runs_at_once(editor: Any, tmp_path: Path) -> None:
    """The second one is refused, whatever its settings; shards of one run work beside each other, each once."""
    box = editor("instruct_pix2pix")
    made = immunized(tmp_path / "in", box, "a", "b")
    job = Job(directories=(made.out,), out=tmp_path / "out", prompts=PROMPTS)
    busy = "expected no other run in it; found isr edit at work; wait for it or give another --out"
    with alone(job.out, "edit", (0, 1)):
        for shard in ((0, 1), (0, 2)):
            with pytest.raises(UsageError, match=busy):
                edit(replace(job, shard=shard), box)
        assert not (job.out / "edit.json").exists()
    with alone(job.out, "edit", (1, 2)):
        with pytest.raises(UsageError, match="found isr edit at work"):
            edit(job, box)
        with pytest.raises(UsageError, match="found isr edit --shard 1/2 at work"):
            edit(replace(job, shard=(1, 2)), box)
        assert edit(replace(job, shard=(0, 2)), box) == 1
    assert edit(replace(job, shard=(1, 2), resume=True), box) == 2
    with alone(made.out, "immunize", (0, 1)), pytest.raises(UsageError, match="found isr immunize at work"):
        immunize(replace(made, resume=True), box)


def test_a_lock_ends_with_its_process_and_can_be_waited_for(tmp_path: Path) -> None:
    lock = tmp_path / "new" / "a.lock"
    hold = "import sys; from isr.locks import held; from pathlib import Path\nwith held(Path(sys.argv[1]), 'x'):\n print('held', flush=True); sys.stdin.read()"
    with processes.started([sys.executable, "-c", hold, lock], stdin=processes.PIPE) as process:
        processes.read_until(process.stdout, "held")
        with pytest.raises(UsageError, match="busy"), held(lock, "busy"):
            pass
        process.kill()
        with held(lock, "busy", wait_s=processes.LIMIT_S):
            pass
    with held(lock, "busy", shared=True), held(lock, "busy", shared=True):
        pass


def test_foreign_files_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(UsageError, match="found files"), alone(tmp_path, "edit", (0, 1)):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_masks_of_one_name_are_one(editor: Any, tmp_path: Path) -> None:
    box = editor("sd_inpaint")
    made = immunized(tmp_path / "one", box, "a")
    two = shutil.copytree(made.out, tmp_path / "two")
    (row,) = rows(two)
    Image.new("L", (16, 16), 255).save(two / row["mask_file_name"])
    row |= {"method": "other", "mask_sha256": file_digest(two / row["mask_file_name"])}
    (two / "metadata.jsonl").write_text(json.dumps(row))
    with pytest.raises(InputError, match="one mask for each image"):
        edit(Job(directories=(made.out, two), out=tmp_path / "out", prompts=PROMPTS), box)
