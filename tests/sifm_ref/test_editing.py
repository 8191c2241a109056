"""Edit directories out of protected images."""

from __future__ import annotations

import json
import re
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

from isr.errors import InputError  # noqa: E402
from isr.judging.edits import load_edits  # noqa: E402
from sifm_ref.checkpoints import fingerprint  # noqa: E402
from sifm_ref.editing import Done, Job, _copy, edit  # noqa: E402
from sifm_ref.editor import Settings  # noqa: E402
from sifm_ref.immunizing import Job as Immunize  # noqa: E402
from sifm_ref.immunizing import immunize  # noqa: E402
from sifm_ref.loading import load  # noqa: E402
from sifm_ref.pictures import Resize  # noqa: E402
from sifm_ref.registry import purifier  # noqa: E402
from sifm_ref.units import Prompt, prompts_for  # noqa: E402
from tests.processes import run  # noqa: E402
from tests.sifm_ref.photographs import write  # noqa: E402
from tests.sifm_ref.scenes import quick  # noqa: E402

PROMPTS = (
    Prompt("*", "make the circle red", "red"),
    Prompt("grey", "turn day into night", columns={"split": "unseen"}),
)


@pytest.fixture(scope="module")
def protected(editor: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two treatments of one folder."""
    root = tmp_path_factory.mktemp("protected")
    write(root / "photos")
    for name in ("noise", "photoguard_encoder"):
        immunize(
            Immunize(images=root / "photos", out=root / name, method=quick(name), resize=Resize(16)),
            editor("instruct_pix2pix"),
        )
    return root / "noise", root / "photoguard_encoder"


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]


def test_the_directory_is_taken_as_it_is(editor: Any, protected: tuple[Path, Path], tmp_path: Path) -> None:
    attack = purifier("jpeg:quality=30")
    job = Job(
        directories=protected, out=tmp_path / "edits", prompts=PROMPTS, seeds=(0, 5), purifiers=(None, attack)
    )
    done: list[Done] = []
    assert edit(job, editor("instruct_pix2pix"), on_edit=done.append) == (5 + 1) * 2 * 2 * 2
    found = load_edits(tmp_path / "edits")
    assert len(found.edits) == 48
    assert len({e.unit for e in found.edits}) == 24
    assert {e.unit.purifier for e in found.edits} == {"", "jpeg:quality=30"}
    assert {e.unit.seed for e in found.edits} == {"0", "5"}
    assert {e.treatment.method for e in found.edits} == {"noise", "photoguard_encoder"}
    assert {e.treatment.eps for e in found.edits} == {"0.03"}
    assert {e.split for e in found.edits} == {"", "unseen"}
    for one in found.edits:
        assert one.source
        assert one.control
        assert one.protected
        assert "measured_psnr" in one.extra
    assert len(list((tmp_path / "edits" / "controls").iterdir())) == 24
    assert done[-1].number == done[-1].total == 48
    immunized = rows(protected[0])
    assert "prompt" not in immunized[0]


def test_edits_are_the_editors_own(editor: Any, protected: tuple[Path, Path], tmp_path: Path) -> None:
    """Control and edit: same prompt, seed and purifier; a purified arm's control is the edit of the purified source."""
    box, attack = editor("instruct_pix2pix"), purifier("gaussian_noise:sigma=0.05")
    assert attack is not None
    job = Job(
        directories=protected[:1],
        out=tmp_path / "edits",
        prompts=PROMPTS[:1],
        seeds=(3,),
        purifiers=(attack,),
    )
    edit(job, box)
    row = next(r for r in rows(tmp_path / "edits") if r["image_id"] == "portrait")
    for column, origin in (("file_name", "protected_file_name"), ("control_file_name", "source_file_name")):
        with Image.open(tmp_path / "edits" / row[origin]) as image:
            expected = box.edit(attack(image, seed=3, editor=box), "make the circle red", 3)
        with Image.open(tmp_path / "edits" / row[column]) as made:
            assert made.tobytes() == expected.tobytes()
            assert made.size == expected.size


def test_the_surrogate_and_the_editor_are_told_by_their_weights(
    editor: Any, checkpoint: Callable[[str], Path], protected: tuple[Path, Path], tmp_path: Path
) -> None:
    """Other settings are another name and the same checkpoint; a copy of the folder too; other weights are another."""
    folder = checkpoint("instruct_pix2pix")
    copy, other = tmp_path / "copy", tmp_path / "other"
    for target in (copy, other):
        shutil.copytree(folder, target)
    (other / "model_index.json").write_text((folder / "model_index.json").read_text() + "\n")
    found = {}
    for name, place in (("fast", folder), ("copy", copy), ("other", other)):
        box = load(f"instruct_pix2pix={place}", Settings(settings={"steps": 1}))
        job = Job(directories=protected[:1], out=tmp_path / name / "edits", prompts=PROMPTS[:1])
        edit(job, box)
        found[name] = rows(job.out)[0]
    seen = fingerprint(str(folder))["fingerprint"]
    assert {r["surrogate_checkpoint"] for r in found.values()} == {seen}
    assert found["fast"]["editor"] != found["fast"]["surrogate"]
    assert found["fast"]["editor_checkpoint"] == found["copy"]["editor_checkpoint"] == seen
    assert found["other"]["editor_checkpoint"] not in ("", seen)


def test_resuming(editor: Any, protected: tuple[Path, Path], tmp_path: Path) -> None:
    box = editor("instruct_pix2pix")
    whole = Job(directories=protected, out=tmp_path / "whole", prompts=PROMPTS)
    edit(whole, box)
    job = replace(whole, out=tmp_path / "part")

    def stop(done: Done) -> None:
        if done.number == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        edit(job, box, on_edit=stop)
    assert len(list((job.out / ".records").glob("*.json"))) == 3
    with pytest.raises(InputError):
        load_edits(job.out)
    fresh: list[bool] = []
    edit(replace(job, resume=True), box, on_edit=lambda d: fresh.append(d.fresh))
    assert fresh.count(False) == 3
    assert rows(job.out) == rows(whole.out)
    for file in (tmp_path / "whole").rglob("*.png"):
        assert file.read_bytes() == (job.out / file.relative_to(tmp_path / "whole")).read_bytes()


def test_shards_of_units(editor: Any, protected: tuple[Path, Path], tmp_path: Path) -> None:
    box = editor("instruct_pix2pix")
    job = Job(directories=protected, out=tmp_path / "edits", prompts=PROMPTS, shard=(0, 2))
    assert edit(job, box) == 6
    assert not (tmp_path / "edits" / "metadata.jsonl").exists()
    assert edit(replace(job, shard=(1, 2), resume=True), box) == 12


def test_what_does_not_match_is_listed(editor: Any, protected: tuple[Path, Path], tmp_path: Path) -> None:
    wrong = (Prompt("grey", "a"), Prompt("gray", "b"))
    with pytest.raises(
        InputError, match=r"(?s)landscape.*a prompt for this image.*prompt for gray.*an image of that name"
    ):
        edit(Job(directories=protected, out=tmp_path / "edits", prompts=wrong), editor("instruct_pix2pix"))
    assert not (tmp_path / "edits").exists()


def test_a_path_may_not_lead_out(editor: Any, tmp_path: Path) -> None:
    folder = tmp_path / "evil"
    folder.mkdir()
    (tmp_path / "secret.png").write_bytes(b"x")
    row = {"file_name": "../secret.png", "source_file_name": "../secret.png", "image_id": "a"}
    (folder / "metadata.jsonl").write_text(json.dumps(row))
    with pytest.raises(InputError, match="expected a file in"):
        edit(Job(directories=(folder,), out=tmp_path / "edits", prompts=PROMPTS), editor("instruct_pix2pix"))
    (folder / "in.png").write_bytes(b"x")
    row = {"file_name": "in.png", "source_file_name": "in.png", "image_id": "../out"}
    (folder / "metadata.jsonl").write_text(json.dumps(row))
    with pytest.raises(InputError, match="'image_id': expected letters"):
        edit(Job(directories=(folder,), out=tmp_path / "edits", prompts=PROMPTS), editor("instruct_pix2pix"))
    with pytest.raises(InputError, match="isr immunize"):
        edit(
            Job(directories=(tmp_path,), out=tmp_path / "edits", prompts=PROMPTS), editor("instruct_pix2pix")
        )


def test_different_sources_under_one_name(editor: Any, protected: tuple[Path, Path], tmp_path: Path) -> None:
    box = editor("instruct_pix2pix")
    photos = protected[0].parent / "photos"
    immunize(Immunize(images=photos, out=tmp_path / "large", method=quick("noise"), resize=Resize(24)), box)
    with pytest.raises(InputError, match="the source of that name once"):
        edit(
            Job(directories=(protected[0], tmp_path / "large"), out=tmp_path / "edits", prompts=PROMPTS), box
        )


def test_an_inpainting_editor_without_masks_repaints_the_middle(
    editor: Any, protected: tuple[Path, Path], tmp_path: Path
) -> None:
    edit(Job(directories=protected[:1], out=tmp_path / "edits", prompts=PROMPTS[:1]), editor("sd_inpaint"))
    assert len(load_edits(tmp_path / "edits").edits) == 5


def test_prompts_of_the_surrogate() -> None:
    prompts = (Prompt("*", "any"), Prompt("b", "own"), Prompt("b", "own", "again"))
    assert prompts_for(prompts, {"x__a": "a", "x__b": "b"}) == {"x__a": "any", "x__b": "own"}
    with pytest.raises(InputError) as caught:
        prompts_for(prompts[1:], {"x__a": "a"})
    assert [p.where for p in caught.value.problems] == ["x__a", "prompt for b"]


def test_an_image_with_several_texts_is_refused_and_counted_once() -> None:
    """The first of them would be nobody's choice; texts for all images count where an image has none of its own."""
    prompts = (
        Prompt("a", "one"),
        Prompt("x__a", "two"),
        Prompt("b", "own"),
        Prompt("*", "any"),
        Prompt("*", "other"),
    )
    with pytest.raises(InputError) as caught:
        prompts_for(prompts, {"x__a": "a", "x__b": "b", "x__c": "c"})
    (problem,) = caught.value.problems
    assert "several for 2 of 3 images, e.g. x__a: 'two', 'one'" in problem.found
    assert prompts_for(prompts[:1] + prompts[2:4], {"x__a": "a", "x__b": "b", "x__c": "c"}) == {
        "x__a": "one", "x__b": "own", "x__c": "any",
    }  # fmt: skip


def handmade(root: Path, *names: str, shade: int = 90, size: int = 16, **more: Any) -> Path:
    """A directory of protected images as ``isr immunize`` leaves it, without the work."""
    made = []
    for name in names:
        row = {
            "file_name": f"protected/{name}.png", "source_file_name": f"sources/{name}.png", "image_id": name,
            "method": "noise", "config": "c", "eps": 0.03, "surrogate": "s", "original_file": f"{name}.png", **more,
        }  # fmt: skip
        for column, level in (("file_name", shade), ("source_file_name", 80)):
            (root / row[column]).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (size, size), (level,) * 3).save(root / row[column])
        made.append(row)
    (root / "metadata.jsonl").write_text("".join(json.dumps(r) + "\n" for r in made))
    return root


def test_pictures_that_others_protected(editor: Any, tmp_path: Path) -> None:
    """What DiffusionGuard leaves, with the metadata that docs/immunize.md makes of it: the script is the document's."""
    root = tmp_path / "protected_images"
    for name, shade in (("a", 80), ("b", 120)):
        for place, level in ((f"assets/{name}.png", shade), (f"guard/{name}/adv_image.png", shade + 5)):
            (root / place).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (16, 16), (level,) * 3).save(root / place)
    job = Job(directories=(root,), out=tmp_path / "out", prompts=(Prompt("*", "make it red", "red"),))
    with pytest.raises(InputError, match="file_name, source_file_name, image_id and method"):
        edit(job, editor("instruct_pix2pix"))
    text = (Path(__file__).resolve().parents[2] / "docs" / "immunize.md").read_text("utf-8")
    (script,) = re.findall(
        r"^### Pictures that others protected\n.*?^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL
    )
    assert run([sys.executable, "-c", script], cwd=tmp_path).returncode == 0
    assert edit(job, editor("instruct_pix2pix")) == 2
    found = load_edits(tmp_path / "out").edits
    assert [(e.unit.image_id, e.treatment.method) for e in found] == [("a", "guard"), ("b", "guard")]
    assert all(e.source and e.control and e.protected for e in found)


def test_names_that_look_alike_are_edits_of_their_own(editor: Any, tmp_path: Path) -> None:
    """``img`` with ``1_2``, ``img_1`` with ``2``; ``p/1`` and ``p-1``."""
    folder = handmade(tmp_path / "in", "img", "img_1")
    prompts = (
        Prompt("img", "a", "1_2"), Prompt("img_1", "b", "2"), Prompt("*", "c", "p/1"), Prompt("*", "d", "p-1"),
        Prompt("*", "d", "p-1"),
    )  # fmt: skip
    assert (
        edit(Job(directories=(folder,), out=tmp_path / "out", prompts=prompts), editor("instruct_pix2pix"))
        == 6
    )
    found = rows(tmp_path / "out")
    assert len({r["control_file_name"] for r in found}) == len({r["file_name"] for r in found}) == 6
    assert {(r["image_id"], r["prompt_id"], r["prompt"]) for r in found} >= {
        ("img", "1_2", "a"), ("img_1", "2", "b"), ("img", "p/1", "c"), ("img", "p-1", "d"),
    }  # fmt: skip


def test_what_would_be_one_edit_twice_is_listed(editor: Any, tmp_path: Path) -> None:
    one = handmade(tmp_path / "one", "a", "b", immunize_seed=0)
    two = handmade(tmp_path / "two", "a", "b", shade=91, immunize_seed=1)
    prompts = (Prompt("a", "x", "p"), Prompt("*", "y", "p"))
    with pytest.raises(InputError) as caught:
        edit(Job(directories=(one, two), out=tmp_path / "out", prompts=prompts), editor("instruct_pix2pix"))
    assert [p.field for p in caught.value.problems] == ["image_id", "image_id", "prompt_id"]
    assert not (tmp_path / "out").exists()


def test_what_was_remade_is_edited_again(editor: Any, tmp_path: Path) -> None:
    """A directory remade under its name: other protected pixels, and another source of one image."""
    box, folder = editor("instruct_pix2pix"), handmade(tmp_path / "in", "a", "b")
    job = Job(directories=(folder,), out=tmp_path / "out", prompts=PROMPTS[:1], resume=True)
    edit(job, box)
    before = {p.name: p.read_bytes() for p in job.out.rglob("*.png")}
    Image.new("RGB", (16, 16), (95,) * 3).save(folder / "protected" / "a.png")
    Image.new("RGB", (16, 16), (200, 20, 20)).save(folder / "sources" / "b.png")
    Image.new("RGB", (16, 16), (205, 20, 20)).save(folder / "protected" / "b.png")
    fresh: list[bool] = []
    edit(job, box, on_edit=lambda d: fresh.append(d.fresh))
    assert fresh == [True, True]
    for row in rows(job.out):
        for column, origin in (("source_file_name", "sources"), ("protected_file_name", "protected")):
            assert (job.out / row[column]).read_bytes() == (
                folder / origin / f"{row['image_id']}.png"
            ).read_bytes()
    changed = {p.parent.name + p.name[0] for p in job.out.rglob("*.png") if p.read_bytes() != before[p.name]}
    assert changed == {"editsa", "editsb", "controlsb", "sourcesb", "protecteda", "protectedb"}
    fresh.clear()
    edit(job, box, on_edit=lambda d: fresh.append(d.fresh))
    assert fresh == [False, False]


def test_columns_of_prompts_that_would_overwrite_are_listed(editor: Any, tmp_path: Path) -> None:
    folder = handmade(tmp_path / "in", "a")
    columns = {
        "seed": "7",
        "method": "mine",
        "editor": "e",
        "measured_psnr": "1",
        "file_name": "x",
        "topic": "t",
    }
    with pytest.raises(InputError) as caught:
        edit(
            Job(directories=(folder,), out=tmp_path / "out", prompts=(Prompt("*", "x", columns=columns),)),
            editor("instruct_pix2pix"),
        )
    assert [p.field for p in caught.value.problems] == [
        "editor",
        "file_name",
        "measured_psnr",
        "method",
        "seed",
    ]
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="original_file"):
        edit(
            Job(
                directories=(folder,),
                out=tmp_path / "out",
                prompts=(Prompt("*", "x", columns={"original_file": "y"}),),
            ),
            editor("instruct_pix2pix"),
        )


def test_what_a_directory_lacks_is_listed(editor: Any, tmp_path: Path) -> None:
    box = editor("instruct_pix2pix")
    whole, part = (
        handmade(tmp_path / "whole", "a", "b"),
        handmade(tmp_path / "part", "a", surrogate="t"),
    )
    job = Job(directories=(whole, part), out=tmp_path / "out", prompts=PROMPTS[:1])
    with pytest.raises(InputError) as caught:
        edit(job, box)
    assert [(p.where, p.expected) for p in caught.value.problems] == [(str(part), "b")]
    (part / "immunize.json").write_text(json.dumps({"keys": ["a", "b", "c"]}))
    with pytest.raises(InputError, match="--resume") as caught:
        edit(replace(job, directories=(part,)), box)
    assert [p.expected for p in caught.value.problems] == ["b", "c"]
    assert not job.out.exists()
    assert edit(replace(job, partial=True), box) == 3


def test_a_copy_keeps_off_another_processs_temporary_file(tmp_path: Path) -> None:
    origin, target = tmp_path / "a.png", tmp_path / "sources" / "a.png"
    origin.write_bytes(b"whole")
    target.parent.mkdir()
    others = target.with_name(".a.png.partial")
    others.write_bytes(b"ha")
    others.chmod(0o400)
    _copy(origin, target)
    assert target.read_bytes() == b"whole"
    assert others.read_bytes() == b"ha"


def test_an_editor_may_read_another_text_than_is_judged(
    editor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``given``: a caption for an editor of captions; ``prompt`` stays the instruction, which judges read."""
    box, read = editor("sd_img2img"), list[str]()
    make = box.edit
    monkeypatch.setattr(box, "edit", lambda image, prompt, *a: read.append(prompt) or make(image, prompt, *a))
    folder = handmade(tmp_path / "in", "a")
    prompts = (Prompt("a", "make it red", "p", given="a red cat"), Prompt("a", "add snow", "q"))
    edit(Job(directories=(folder,), out=tmp_path / "out", prompts=prompts), box)
    found = {r["prompt_id"]: (r["prompt"], r.get("editor_prompt")) for r in rows(tmp_path / "out")}
    assert found == {"p": ("make it red", "a red cat"), "q": ("add snow", None)}
    assert sorted(read) == ["a red cat"] * 2 + ["add snow"] * 2  # control edits too
    assert {p.read for p in prompts} == set(read)
