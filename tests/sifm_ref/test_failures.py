"""What goes wrong in an editor is one error with its remedy: memory, settings, seeds, checkpoints of another kind."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="needs isr-eval[sifm]")
pytest.importorskip("diffusers", reason="needs isr-eval[sifm]")

from click.testing import CliRunner  # noqa: E402

from isr.cli import cli  # noqa: E402
from isr.errors import InputError, IsrError, UsageError  # noqa: E402
from sifm_ref.editing import Job, edit  # noqa: E402
from sifm_ref.editor import Settings  # noqa: E402
from sifm_ref.failures import first_line, is_out_of_memory, others_code  # noqa: E402
from sifm_ref.loading import adapter, load, parse  # noqa: E402
from sifm_ref.pictures import find_pictures  # noqa: E402
from sifm_ref.units import Prompt, meant_for, prompts_for, units_of  # noqa: E402
from tests import processes  # noqa: E402
from tests.sifm_ref.checkpoints import WEIGHTS  # noqa: E402
from tests.sifm_ref.photographs import write  # noqa: E402
from tests.sifm_ref.test_editing import handmade  # noqa: E402

PROMPTS = (Prompt("*", "make the circle red", "red"),)
OUT_OF_MEMORY = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.\nGPU 0 has ..."),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried to allocate"
    ),
    MemoryError(),
)


def command(*args: object, expect: int = 2) -> str:
    """What the command says as a user types it: an error of ours, which ends with its own exit code."""
    done = CliRunner().invoke(cli, list(map(str, args)))
    assert isinstance(done.exception, IsrError), (done.exception, done.output)
    assert done.exception.exit_code == expect
    return str(done.exception)


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda e: type(e).__name__)
def test_memory_that_runs_out_in_an_edit(
    error: Exception, editor: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    """The first picture stays; the second one is named."""
    box, folder = editor("instruct_pix2pix"), handmade(tmp_path / "in", "a", "b")
    whole = type(box).edit

    def failing(self: Any, image: Any, prompt: str, *more: Any) -> Any:
        if len(list((tmp_path / "out" / ".records").glob("*.json"))) == 1:
            raise error
        return whole(self, image, prompt, *more)

    monkeypatch.setattr(type(box), "edit", failing)
    job = Job(directories=(folder,), out=tmp_path / "out", prompts=PROMPTS)
    with pytest.raises(UsageError) as caught:
        edit(job, box)
    for word in ("protected/b.png", "seed 0", "memory ran out", "--resume", "--resolution", "--dtype bf16"):
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)
    assert is_out_of_memory(error)
    assert len(list((tmp_path / "out" / ".records").glob("*.json"))) == 1


def test_memory_that_runs_out_in_a_method(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    write(tmp_path / "photos")
    own = tmp_path / "mine.py"
    own.write_text(
        "import torch\ndef greedy(editor, scene, *, budget, config, noise, callback):\n"
        "    raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 20.00 GiB.')\n"
    )
    said = command(
        "immunize", tmp_path / "photos", "--method", f"{own}:greedy", "--editor", checkpoint("sd_img2img"), "--out",
        tmp_path / "out", "--resolution", 32, "--quiet",
    )  # fmt: skip
    for word in ("memory ran out", "--checkpoint-activations and --timestep-batch 1", "--batch", "--resume"):
        assert word in said


def test_a_method_of_ones_own_that_raises(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    write(tmp_path / "photos")
    own = tmp_path / "mine.py"
    own.write_text("def greedy(editor, scene, **rest):\n    return scene.nothing\n")
    said = command(
        "immunize", tmp_path / "photos", "--method", f"{own}:greedy", "--editor", checkpoint("sd_img2img"), "--out",
        tmp_path / "out", "--resolution", 32, "--quiet",
    )  # fmt: skip
    assert "the method greedy failed (AttributeError: " in said
    assert "; mine.py:2); what was made before stays; correct it" in said  # line 2 of the file


def test_an_editor_of_ones_own_that_raises(tmp_path: Path) -> None:
    own = tmp_path / "ed.py"
    own.write_text(
        "def edit(image, prompt, seed):\n"
        "    if prompt == 'warn': raise RuntimeError('no')\n"
        "    return image.no_such\n"
    )
    folder = handmade(tmp_path / "in", "a")
    box = load(f"{own}:edit", Settings(code=True))
    for text, kind, line in (("warn", "RuntimeError: no", 2), ("x", "AttributeError: ", 3)):
        job = Job(directories=(folder,), out=tmp_path / text, prompts=(Prompt("a", text, "red"),))
        with pytest.raises(UsageError) as caught:
            edit(job, box)
        assert f"the editor {box.name} on a.png (prompt red, seed 0) failed ({kind}" in str(caught.value)
        assert f"; ed.py:{line}); what was made before stays" in str(caught.value)


def test_errors_of_this_package_pass_the_border_and_so_do_its_own_faults() -> None:
    for error in (KeyError("x"), UsageError("said")):
        with pytest.raises(type(error)) as caught, others_code():
            raise error
        assert caught.value is error


def test_what_a_pipeline_says_is_one_line(editor: Any, tmp_path: Path, monkeypatch: Any) -> None:
    box = editor("sd_img2img")

    def failing(self: Any, *args: Any) -> Any:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x32 and 48x16)\nat ...")

    monkeypatch.setattr(type(box), "edit", failing)
    job = Job(directories=(handmade(tmp_path / "in", "a"),), out=tmp_path / "out", prompts=PROMPTS)
    with pytest.raises(
        InputError, match=r"prompt red, seed 0\): expected an edit; found RuntimeError: mat1 and mat2"
    ) as caught:
        edit(job, box)
    assert "\n" not in str(caught.value)
    assert first_line(ValueError("word " * 100)).endswith("word ...")


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("sd_img2img", {"strength": "1.5"}, "strength: expected above 0 and at most 1; found 1.5"),
        ("sd_img2img", {"strength": "0"}, "strength: expected above 0 and at most 1; found 0.0"),
        ("sd3_img2img", {"strength": "nan"}, "strength: expected a finite number; found nan"),
        ("sd_img2img", {"steps": "1"}, r"steps x strength of 1 or more; found 1 x 0.5; give steps=2 or more"),
        ("sd_inpaint", {"steps": "9", "strength": "0.1"}, "found 9 x 0.1; give steps=10 or more"),
        ("instruct_pix2pix", {"steps": "0"}, "steps: expected at least 1; found 0"),
    ],
)
def test_settings_with_which_nothing_would_be_made(
    name: str, settings: dict[str, str], says: str, checkpoint: Callable[[str], Path]
) -> None:
    with pytest.raises(UsageError, match=says):
        load(f"{name}={checkpoint(name)}", Settings(settings=settings))


@pytest.mark.parametrize(
    ("name", "strength"), [("sd_img2img", 0.5), ("sd3_img2img", 0.6), ("sd_inpaint", 0.3)]
)
def test_the_least_number_of_steps_is_the_pipelines_own(name: str, strength: float, editor: Any) -> None:
    """At the fewest steps that are allowed the pipeline makes an edit; with one less it fails."""
    box, image, mask = editor(name), Image.new("RGB", (16, 16)), Image.new("L", (16, 16), 255)
    cls = adapter(name)
    least = next(n for n in range(1, 20) if cls.steps_made(n, strength) >= 1)
    assert least == {"sd_img2img": 2, "sd3_img2img": 1, "sd_inpaint": 4}[name]  # 2 x .5; rounded up; 4 x .3
    before = box.settings
    try:
        box.settings = {**before, "steps": least, "strength": strength}
        box.edit(image, "x", 0, mask)
    finally:
        box.settings = before


@pytest.mark.parametrize("seed", [-1, 2**64, 10**30])
def test_seeds_that_no_generator_takes(seed: int) -> None:
    with pytest.raises(UsageError, match=r"seeds: expected whole numbers from 0 to 2\^64 - 1; found"):
        units_of((), PROMPTS, seeds=(0, seed))


def test_the_largest_seed_makes_an_edit(editor: Any) -> None:
    image = Image.new("RGB", (16, 16))
    assert editor("sd_img2img").edit(image, "x", 2**64 - 1).size == (16, 16)
    with pytest.raises(ValueError, match="Overflow"):
        torch.Generator().manual_seed(2**64)


def test_a_seed_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("name,prompt\n*,x\n")
    said = command(
        "edit", tmp_path, "--editor", "sd_img2img", "--prompts", tmp_path / "p.csv", "--out", tmp_path / "o", "--seeds",
        f"0,{2**64}",
    )  # fmt: skip
    assert said.startswith("seeds: expected")


@pytest.mark.parametrize(
    ("name", "other", "found"),
    [
        (
            "sd_img2img",
            "instruct_pix2pix",
            "StableDiffusionInstructPix2PixPipeline; give --editor instruct_pix2pix=",
        ),
        ("flux_kontext", "sd_img2img", "StableDiffusionImg2ImgPipeline; give --editor sd_img2img="),
        ("hq_edit", "sd_inpaint", "StableDiffusionInpaintPipeline; give --editor sd_inpaint="),
    ],
)
def test_a_checkpoint_of_another_pipeline(
    name: str, other: str, found: str, checkpoint: Callable[[str], Path]
) -> None:
    with pytest.raises(InputError, match=found):
        load(f"{name}={checkpoint(other)}")


def test_a_pipeline_that_no_adapter_knows(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    folder = shutil.copytree(checkpoint("flux_kontext"), tmp_path / "flux")
    said = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**said, "_class_name": "FluxPipeline"}))
    with pytest.raises(
        InputError, match="of FluxKontextPipeline; found one of FluxPipeline; take another checkpoint"
    ):
        load(f"flux_kontext={folder}")


def test_a_newer_pipeline_is_not_loaded_into_the_older(
    checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    """Qwen-Image-Edit-2511 has the parts of the first one and another template: neither name nor place takes it."""
    folder = tmp_path / "plus"
    folder.mkdir()
    for file in checkpoint("sd_img2img").iterdir():
        (folder / file.name).symlink_to(file)
    (folder / "model_index.json").unlink()
    (folder / "model_index.json").write_text('{"_class_name": "QwenImageEditPlusPipeline"}')
    for spec in (f"qwen_image_edit={folder}", str(folder)):
        with pytest.raises(IsrError, match="QwenImageEditPlusPipeline"):
            load(spec)
    with pytest.raises(UsageError, match="write an adapter for it") as caught:
        load(str(folder))
    assert "=" not in str(caught.value)  # no hint that would lead around the refusal


def test_the_identity_says_which_class_made_the_edits(editor: Callable[..., Any]) -> None:
    import diffusers

    said = editor("instruct_pix2pix").identity
    assert said["pipeline"] == "StableDiffusionInstructPix2PixPipeline"
    assert said["diffusers"] == diffusers.__version__


def test_the_same_architecture_under_another_adapter_is_taken(checkpoint: Callable[[str], Path]) -> None:
    assert load(f"hq_edit={checkpoint('instruct_pix2pix')}").name.startswith("hq_edit=instruct_pix2pix@")


@pytest.mark.parametrize(
    ("name", "other", "says"),
    [
        ("sd_img2img", "instruct_pix2pix", "a U-Net that sees 4 channels; found one of 8"),
        ("instruct_pix2pix", "sd_inpaint", "a U-Net that sees 8 channels; found one of 9"),
        ("sd_inpaint", "sd_img2img", "a U-Net that sees 9 channels; found one of 4"),
    ],
)
def test_a_foreign_u_net(
    name: str, other: str, says: str, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    """Under the class name that is asked for."""
    folder = shutil.copytree(checkpoint(other), tmp_path / "mixed")
    shutil.copy(checkpoint(name) / "model_index.json", folder)
    with pytest.raises(InputError, match=says):
        load(f"{name}={folder}")


def test_a_u_net_for_other_texts(editor: Any, monkeypatch: Any) -> None:
    box = editor("sd_img2img")
    monkeypatch.setattr(box.pipe.text_encoder.config, "hidden_size", 768)
    with pytest.raises(InputError, match="a U-Net for texts of width 768; found one for 32"):
        type(box)(box.pipe, name="mine")


@pytest.fixture
def half(checkpoint: Callable[[str], Path], tmp_path: Path) -> Path:
    """A folder that holds only the files of the variant fp16."""
    folder = shutil.copytree(checkpoint("sd_img2img"), tmp_path / "half")
    for file in folder.rglob("*.safetensors"):
        file.rename(file.with_name(file.name.replace(".safetensors", ".fp16.safetensors")))
    assert (folder / "unet" / WEIGHTS.replace(".safetensors", ".fp16.safetensors")).is_file()
    return folder


def test_a_variant_is_named_and_can_be_loaded(half: Path) -> None:
    with pytest.raises(InputError, match=r"found files of the variant fp16; add --variant fp16"):
        load(f"sd_img2img={half}")
    box = load(f"sd_img2img={half}", Settings(variant="fp16"))
    assert box.name.endswith("[variant=fp16]")
    assert box.identity["variant"] == "fp16"


def test_a_checkpoint_in_one_file(tmp_path: Path, checkpoint: Callable[[str], Path]) -> None:
    file = tmp_path / "model.safetensors"
    shutil.copy(checkpoint("sd_img2img") / "unet" / WEIGHTS, file)
    for spec in (str(file), f"sd_img2img={file}", "./gone.ckpt"):
        with pytest.raises(
            InputError, match=r"a checkpoint in one file; make a folder of it: .*from_single_file"
        ):
            load(spec)
    with pytest.raises(InputError, match="expected a folder; found none there"):
        parse("./nowhere")


IN_TURN = """
import sys
from isr.cli import main

specs, rest = sys.argv[1:4], sys.argv[4:]
for spec in specs:
    sys.argv[1:] = ["edit", *rest, "--editor", spec]
    try:
        main()
    except SystemExit as ended:
        print(spec, ended.code)
"""


@pytest.mark.slow
def test_a_hub_id_without_a_network(tmp_path: Path) -> None:
    """``HF_HUB_OFFLINE`` is read when the hub's client is imported: a process of its own, one for all."""
    (tmp_path / "p.csv").write_text("name,prompt\n*,x\n")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "empty")}
    specs = ("someone/model", "sd_img2img=someone/model", "sd_img2img")
    done = processes.run(
        [
            sys.executable,
            "-c",
            IN_TURN,
            *specs,
            tmp_path,
            "--prompts",
            tmp_path / "p.csv",
            "--out",
            tmp_path / "o",
        ],
        env=environment,
    )
    assert done.stdout.splitlines() == [f"{spec} 2" for spec in specs], done.stderr
    assert done.stderr.count("HF_HUB_OFFLINE is set, and the files are not in the cache") == len(specs)
    assert "Traceback" not in done.stderr


class Counted(str):
    """A name that counts how often it is compared; equal names are looked up by their hash."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        Counted.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def test_prompts_find_their_images_in_one_pass() -> None:
    """Twice the images with a prompt each are twice the comparisons, not four times."""
    counts = []
    for n in (200, 400):
        Counted.compared = 0
        prompts = [Prompt(Counted(f"p{i}"), "x") for i in range(n)]
        assert len(prompts_for(prompts, {f"id{i}": f"p{i}" for i in range(n)})) == n
        stems = {f"id{i}": {f"id{i}", f"p{i}"} for i in range(n)}
        assert [len(some) for _, some in meant_for(prompts, stems)] == [1] * n
        counts.append(Counted.compared)
    assert counts[1] <= 2.5 * counts[0]


def test_pictures_of_one_name_are_told_apart_in_one_pass(tmp_path: Path, monkeypatch: Any) -> None:
    calls = []
    monkeypatch.setattr(
        "sifm_ref.pictures._slug", lambda text: calls.append(text) or Counted(text.split(".")[0])
    )
    counts = []
    for n in (100, 200):
        folder = tmp_path / str(n)
        folder.mkdir()
        for i in range(n):
            Image.new("RGB", (1, 1)).save(folder / f"{i:04}.png")
        Counted.compared = 0
        assert len(find_pictures(folder)) == n
        counts.append(Counted.compared)
    assert counts[1] <= 2.5 * counts[0]
