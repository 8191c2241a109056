"""A folder through a method, and what the directory says of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

torch = pytest.importorskip("torch", reason="needs isr-eval[sifm]")
pytest.importorskip("diffusers", reason="needs isr-eval[sifm]")

from isr.errors import InputError, UsageError  # noqa: E402
from sifm_ref.budget import Budget, measure  # noqa: E402
from sifm_ref.descent import Descent  # noqa: E402
from sifm_ref.immunizing import Done, Job, immunize  # noqa: E402
from sifm_ref.pictures import Resize, find_pictures, read_rgb  # noqa: E402
from sifm_ref.registry import method  # noqa: E402
from tests.sifm_ref.photographs import write  # noqa: E402
from tests.sifm_ref.scenes import quick  # noqa: E402


def job(tmp_path: Path, which: str = "photoguard_encoder", **changes: Any) -> Job:
    images = tmp_path / "photos"
    if not images.is_dir():
        write(images)
    given = Job(images=images, out=tmp_path / "out", method=quick(which), resize=Resize(32))
    return replace(given, **changes)


def rows(folder: Path) -> dict[str, dict[str, Any]]:
    lines = (folder / "metadata.jsonl").read_text().splitlines()
    return {r["image_id"]: r for r in map(json.loads, lines)}


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*.png"))}


def test_every_photograph_has_its_rows_and_files(editor: Any, tmp_path: Path) -> None:
    task = job(tmp_path, prompts={"grey": "a grey thing"})
    done: list[Done] = []
    assert immunize(task, editor("instruct_pix2pix"), on_image=done.append) == 5
    found = rows(task.out)
    assert sorted(found) == write(tmp_path / "other")
    sizes = {
        "portrait": (20, 32),
        "landscape": (32, 16),
        "turned": (16, 32),
        "grey": (32, 32),
        "more__an_image": (32, 28),
    }
    for name, row in found.items():
        source, protected = (Image.open(task.out / row[c]) for c in ("source_file_name", "file_name"))
        assert source.size == protected.size == sizes[name] == (row["width"], row["height"])
        measured = measure(np.asarray(source), np.asarray(protected))
        assert measured.within(Budget())
        assert row["measured_linf"] == pytest.approx(measured.linf, abs=1e-8)
        assert row["measured_psnr"] == pytest.approx(measured.psnr, abs=1e-4)
        assert row["measured_ssim"] == pytest.approx(measured.ssim, abs=1e-6)
        assert row["method"] == "photoguard_encoder"
        assert row["config"].startswith("shared-")
        assert (row["eps"], row["immunize_seed"]) == (0.03, 0)
        assert row["surrogate"] == editor("instruct_pix2pix").name
        assert row["loss_fell"] is (row["loss_last"] < row["loss_first"])
        assert "torch=" in row["immunize_versions"]
        assert row["immunize_seconds"] > 0
    assert found["grey"]["surrogate_prompt"] == "a grey thing"
    assert found["turned"]["original_width"] == 30
    assert {d.number for d in done} == {1, 2, 3, 4, 5}
    assert all(d.peak_bytes > 0 for d in done)
    run = json.loads((task.out / "immunize.json").read_text())
    assert run["config"]["descent"]["steps"] == 3
    assert run["config_digest"] == found["grey"]["config"]


def test_exif_is_applied_before_anything_else(editor: Any, tmp_path: Path) -> None:
    task = job(tmp_path, "noise")
    immunize(task, editor("instruct_pix2pix"))
    upright = ImageOps.exif_transpose(Image.open(task.images / "turned.jpg")).resize((16, 32))
    source = Image.open(task.out / "sources" / "turned.png")
    assert np.abs(np.asarray(upright, float) - np.asarray(source, float)).mean() < 6


def test_same_seed_same_bytes(editor: Any, tmp_path: Path) -> None:
    box = editor("instruct_pix2pix")
    first = job(tmp_path, "sifm", out=tmp_path / "a")
    immunize(first, box)
    immunize(replace(first, out=tmp_path / "b"), box)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    immunize(replace(first, out=tmp_path / "c", seed=1), box)
    assert files(tmp_path / "a") != files(tmp_path / "c")


class Stop(Exception):
    pass


@pytest.mark.parametrize("batch", [1, 2])
def test_an_interrupted_run_goes_on_and_ends_as_an_uninterrupted_one(
    editor: Any, tmp_path: Path, batch: int
) -> None:
    box = editor("instruct_pix2pix")
    (tmp_path / "photos").mkdir()
    for n in range(3):
        Image.fromarray(np.full((9, 9, 3), 60 * n + 30, np.uint8)).save(tmp_path / "photos" / f"{n}.png")
    whole = job(tmp_path, out=tmp_path / "whole", batch=batch)
    immunize(whole, box)
    task = job(tmp_path, batch=batch)

    def stop(done: Done) -> None:
        raise Stop

    with pytest.raises(Stop):
        immunize(task, box, on_image=stop)
    assert len(rows(task.out)) == 1
    with pytest.raises(UsageError, match="add --resume"):
        immunize(task, box)
    with pytest.raises(UsageError, match=r"(?s)other settings.*seed: now 1; then 0"):
        immunize(replace(task, seed=1, resume=True), box)
    fresh: list[bool] = []
    (done,) = rows(task.out)
    finished = task.out / "protected" / f"{done}.png"
    written = finished.stat().st_mtime_ns
    assert immunize(replace(task, resume=True), box, on_image=lambda d: fresh.append(d.fresh)) == 3
    assert fresh.count(False) == 1
    assert files(task.out) == files(whole.out)
    assert finished.stat().st_mtime_ns == written


def test_shards_share_the_work(editor: Any, tmp_path: Path) -> None:
    box = editor("instruct_pix2pix")
    task = job(tmp_path, "noise", shard=(0, 2))
    assert immunize(task, box) == 3
    assert immunize(replace(task, shard=(1, 2), resume=True), box) == 5
    assert len(rows(task.out)) == 5


def test_an_unchanged_image_of_an_optimised_method_is_an_error(editor: Any, tmp_path: Path) -> None:
    """Steps below one 8-bit level are gone once the image is saved; from zero the divergence never moves at all."""
    box = editor("instruct_pix2pix")
    still = quick("sifm", weight_norm=0.0, descent=Descent(2, start="zero"))
    with pytest.raises(
        InputError, match=r"(?s)5 image\(s\) were left unchanged by sifm.*descent.start=uniform"
    ):
        immunize(job(tmp_path, method=still), box)
    small = quick("photoguard_encoder", descent=Descent(2, 0.1 / 255))
    with pytest.raises(InputError, match="left unchanged"):
        immunize(job(tmp_path, method=small, out=tmp_path / "small"), box)
    assert not (tmp_path / "small" / "metadata.jsonl").exists()
    assert list((tmp_path / "small").rglob("*.png")) == []
    assert len(json.loads((tmp_path / "small" / "immunize.json").read_text())["keys"]) == 5


def test_a_loss_that_did_not_fall_is_recorded(editor: Any, tmp_path: Path) -> None:
    """Steps as large as the budget, from a corner: the row says it and stays."""
    own = tmp_path / "own.py"
    own.write_text(
        "from sifm_ref.scene import Immunized\n"
        "def worse(editor, scene, *, budget, config, noise, callback):\n"
        "    ones = scene.source.new_ones(len(scene.source))\n"
        "    return Immunized((scene.source + 0.02).clamp(0, 1), (ones, 2 * ones))\n"
        "def plain(editor, scene, *, budget, config, noise, callback):\n"
        "    return scene.source + 0.5\n"
        "def wrong(editor, scene, *, budget, config, noise, callback):\n"
        "    return scene.source[:, :1]\n"
    )
    box = editor("instruct_pix2pix")
    task = job(tmp_path, method=method(f"{own}:worse"))
    assert immunize(task, box) == 5
    assert {r["loss_fell"] for r in rows(task.out).values()} == {False}
    far = job(tmp_path, method=method(f"{own}:plain"), out=tmp_path / "plain")
    assert immunize(far, box) == 5
    assert {r["measured_linf"] for r in rows(far.out).values()} == {round(7 / 255, 8)}
    assert {r["method"] for r in rows(far.out).values()} == {"plain"}
    assert not any("loss_fell" in r for r in rows(far.out).values())
    with pytest.raises(UsageError, match=r"expected images of shape \(1, 3, .*found Immunized"):
        immunize(job(tmp_path, method=method(f"{own}:wrong"), out=tmp_path / "wrong"), box)
    with pytest.raises(UsageError, match="expected a function nothing"):
        method(f"{own}:nothing")


def test_a_record_that_a_power_cut_left_empty_is_made_again(editor: Any, tmp_path: Path) -> None:
    box, task = editor("instruct_pix2pix"), job(tmp_path, "noise", resume=True)
    immunize(task, box)
    for name in ("grey", "portrait"):
        (task.out / ".records" / f"{name}.json").write_bytes(b"")
    fresh: list[bool] = []
    assert immunize(task, box, on_image=lambda d: fresh.append(d.fresh)) == 5
    assert fresh.count(True) == 2


def test_masks_for_inpainting(editor: Any, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    write(tmp_path / "photos")
    for stem, size in {
        "grey": (33, 33),
        "landscape": (64, 30),
        "portrait": (10, 10),
        "turned": (30, 64),
    }.items():
        Image.new("L", size, 255).save(masks / f"{stem}.png")
    box = editor("sd_inpaint")
    with pytest.raises(InputError, match="without a mask of their size") as caught:
        immunize(job(tmp_path, masks=masks), box)
    assert [(Path(p.where).name, p.found) for p in caught.value.problems] == [
        ("an image.webp", "none"), ("portrait.png", "10 x 10"),
    ]  # fmt: skip
    task = job(tmp_path)
    immunize(task, box)
    row = rows(task.out)["grey"]
    repainted = np.asarray(Image.open(task.out / row["mask_file_name"])) > 0
    change = np.asarray(Image.open(task.out / row["file_name"]), int) - np.asarray(
        Image.open(task.out / row["source_file_name"]), int
    )
    assert (change[repainted] == 0).all()
    assert (change[~repainted] != 0).any()


def test_what_is_no_picture_is_listed(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no")
    (tmp_path / "b.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"(?s)2 file\(s\).*a\.png.*b\.jpg"):
        find_pictures(tmp_path)
    with pytest.raises(InputError, match="found none"):
        find_pictures(tmp_path / "nowhere" if (tmp_path / "empty").mkdir() else tmp_path / "empty")


def test_photographs_in_a_linked_folder_are_found(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "cats").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "cats" / "a.png")
    (tmp_path / "photos" / "more").symlink_to(tmp_path / "cats")
    (tmp_path / "cats" / "back").symlink_to(tmp_path / "photos")
    assert [p.image_id for p in find_pictures(tmp_path / "photos")] == ["more__a"]


def test_an_output_inside_the_folder_is_no_input(editor: Any, tmp_path: Path) -> None:
    task = job(tmp_path, "noise", out=tmp_path / "photos" / "out")
    box = editor("instruct_pix2pix")
    assert immunize(task, box) == 5
    assert immunize(replace(task, resume=True), box) == 5


def test_names_that_collide_are_told_apart(tmp_path: Path) -> None:
    for name in ("a.png", "a.bmp", "b c.png", "b_c.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    long = tmp_path / ("x" * 100)
    long.mkdir()
    for name in ("y" * 100 + "1.png", "y" * 100 + "2.png"):
        Image.new("RGB", (4, 4)).save(long / name)
    found = {p.image_id for p in find_pictures(tmp_path)}
    assert len(found) == 6
    assert max(map(len, found)) <= 50


@pytest.mark.parametrize(
    ("policy", "size"), [("fit", (512, 320)), ("crop", (512, 512)), ("keep", (960, 640))]
)
def test_resizing(policy: Any, size: tuple[int, int]) -> None:
    resize = Resize(512, policy)
    assert resize.size(1000, 645, 64) == size
    assert resize.apply(Image.new("RGB", (1000, 645)), 64).size == size
    assert Resize(512, "keep").apply(Image.new("RGB", (20, 100)), 64).size == (64, 64)


def test_kinds_of_pictures_become_rgb(tmp_path: Path) -> None:
    deep = np.array([[0, 65535], [256, 32768]], np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert np.asarray(read_rgb(tmp_path / "deep.png"))[..., 0].tolist() == [[0, 255], [1, 128]]
    clear = Image.new("RGBA", (2, 2), (0, 0, 0, 0))
    clear.save(tmp_path / "clear.png")
    assert np.asarray(read_rgb(tmp_path / "clear.png")).min() == 255


def test_a_photograph_that_was_replaced_is_immunized_again(editor: Any, tmp_path: Path) -> None:
    task = job(tmp_path, "noise", resume=True)
    box = editor("instruct_pix2pix")
    immunize(task, box)
    Image.new("RGB", (60, 41), (90, 120, 30)).save(task.images / "portrait.png")
    fresh: dict[str, bool] = {}
    immunize(task, box, on_image=lambda d: fresh.update({d.row["image_id"]: d.fresh}))
    assert [n for n, new in fresh.items() if new] == ["portrait"]
    assert np.asarray(Image.open(task.out / "sources" / "portrait.png")).std((0, 1)).max() == 0


@pytest.mark.parametrize("policy", ["fit", "crop", "keep"])
def test_a_mask_is_resized_as_its_picture_is(editor: Any, tmp_path: Path, policy: Any) -> None:
    """A white square in the picture and in the mask: both are at one place in what is written."""
    square = np.zeros((40, 90), np.uint8)
    square[8:32, 25:60] = 255
    for folder in ("photos", "masks"):
        (tmp_path / folder).mkdir()
        Image.fromarray(square).save(tmp_path / folder / "a.png")
    task = job(tmp_path, "noise", masks=tmp_path / "masks", resize=Resize(32, policy))
    immunize(task, editor("sd_inpaint"))
    mask = np.asarray(Image.open(task.out / "masks" / "a.png"))
    source = np.asarray(Image.open(task.out / "sources" / "a.png"))[..., 0]
    assert set(np.unique(mask)) == {0, 255}
    assert ((source >= 128) == (mask > 0)).all()


def test_a_run_that_made_nothing_does_not_keep_its_folder_from_other_settings(
    editor: Any, tmp_path: Path
) -> None:
    box, task = editor("instruct_pix2pix"), job(tmp_path, "noise")
    own = tmp_path / "own.py"
    own.write_text(
        "def fails(editor, scene, *, budget, config, noise, callback):\n    raise ArithmeticError\n"
    )
    with pytest.raises(UsageError, match=r"the method fails failed \(ArithmeticError; own.py:2\)"):
        immunize(replace(task, method=method(f"{own}:fails")), box)
    before = (task.out / "immunize.json").read_bytes()
    immunize(task, box)
    record = (task.out / "immunize.json").read_bytes()
    assert record != before
    other = replace(task, method=method(f"{own}:fails"))
    with pytest.raises(UsageError, match="other settings"):  # now that there is a result
        immunize(other, box)
    assert (task.out / "immunize.json").read_bytes() == record
