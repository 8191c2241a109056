"""``isr immunize`` and ``isr edit`` as a user types them."""

from __future__ import annotations

import json
import os
import signal
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

pytest.importorskip("torch", reason="needs isr-eval[sifm]")
pytest.importorskip("diffusers", reason="needs isr-eval[sifm]")

from isr.cli import cli
from isr.errors import InputError, UsageError
from sifm_ref.registry import typed
from tests import processes
from tests.sifm_ref.photographs import write
from tests.sifm_ref.scenes import picture

ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


def run(*args: object) -> Any:
    return CliRunner().invoke(cli, list(map(str, args)))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    write(tmp_path / "photos")
    (tmp_path / "prompts.csv").write_text(
        "name,prompt,prompt_id,split\n*,make the circle red,red,seen\ngrey,turn day into night,,unseen\n"
    )
    return tmp_path / "photos"


def test_names_of_splits_are_warned_of(tmp_path: Path, checkpoint: Callable[[str], Path]) -> None:
    """A photograph called ``train-1`` makes a directory of which ``load_dataset`` would load a part."""
    (tmp_path / "photos").mkdir()
    Image.fromarray(picture(16, 16, 1)).save(tmp_path / "photos" / "train-1.png")
    done = run(
        "immunize", tmp_path / "photos", "--method", "noise", "--editor", checkpoint("instruct_pix2pix"), "--out",
        tmp_path / "noise", "--resolution", 16,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "warning: names that load_dataset takes for splits" in done.stderr
    assert "train-1" in done.stderr


def test_from_photographs_to_a_score(photos: Path, checkpoint: Callable[[str], Path]) -> None:
    """Every column and file is where the design says; the judge refuses what is no painted scene, and says so."""
    root, folder = photos.parent, checkpoint("instruct_pix2pix")
    for name, more in (("sifm", ("--preset", "balanced", "--set", "timesteps=300")), ("noise", ())):
        done = run(
            "immunize", photos, "--method", name, "--editor", folder, "--out", root / name, "--steps", 2,
            "--resolution", 48, "--prompts", root / "prompts.csv", *more,
        )  # fmt: skip
        assert done.exit_code == 0, done.output
        assert "5 rows, 5 new" in done.stdout
        assert "GiB" in done.stderr
    done = run(
        "edit", root / "sifm", root / "noise", "--editor", f"instruct_pix2pix={folder}", "--prompts",
        root / "prompts.csv", "--out", root / "edits", "--set", "steps=2", "--purifier", "none", "--purifier",
        "jpeg:quality=60", "--json", "--quiet",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["rows"] == 6 * 2 * 2
    assert done.stderr == ""
    valid = run("validate", root / "edits", "--json")
    assert json.loads(valid.stdout)["units_with_control"] == 12
    scored = run(
        "score", root / "edits", "--judge", "shapes-oracle", "--by", "split,purifier", "--quiet", "--json"
    )
    assert scored.exit_code == 3, scored.output  # not one edit is decided
    assert "not one edit is decided" in scored.stderr
    result = json.loads(scored.stdout)
    assert [t["method"] for t in result["treatments"]] == ["noise", "sifm"]
    assert result["treatments"][1]["config"].startswith("balanced-")
    assert result["treatments"][1]["surrogate"].startswith("instruct_pix2pix@")
    rows = [json.loads(line) for line in (root / "edits" / "metadata.jsonl").read_text().splitlines()]
    assert {r["editor"] for r in rows} == {f"{r['surrogate']}[steps=2]" for r in rows}  # names differ ...
    (checkpoint,) = {r["editor_checkpoint"] for r in rows} | {r["surrogate_checkpoint"] for r in rows}
    assert checkpoint.startswith("sha256:")  # ... and the weights do not
    compared = run("compare", root / "edits", "--choose")
    assert compared.exit_code == 0, compared.output
    assert "sifm: other editors: no editor but the surrogate" in compared.stdout
    assert {p.name for p in (root / "edits").iterdir()} == {
        ".records", "controls", "edit.json", "edits", "metadata.jsonl", "protected", "sources",
    }  # fmt: skip


def test_a_method_of_ones_own(photos: Path, checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    own = tmp_path / "mine.py"
    own.write_text(
        "from dataclasses import dataclass\n"
        "@dataclass(frozen=True)\n"
        "class Config:\n"
        "    shift: float = 0.01\n"
        "PRESETS = {'up': Config(), 'down': Config(-0.01)}\n"
        "def lift(editor, scene, *, budget, config, noise, callback):\n"
        "    return scene.source + config.shift\n"
    )
    args = ("immunize", photos, "--editor", checkpoint("sd_img2img"), "--resolution", 32)
    done = run(
        *args, "--method", f"{own}:lift", "--preset", "down", "--set", "shift=-0.02", "--out", tmp_path / "o"
    )
    assert done.exit_code == 0, done.output
    row = json.loads((tmp_path / "o" / "metadata.jsonl").read_text().splitlines()[0])
    assert row["measured_linf"] == round(5 / 255, 8)  # 0.02 is 5.1 levels; rounded toward the source
    assert row["method"] == "lift"


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "-1e400", "x"])
def test_numbers_that_are_none_are_told(value: str, photos: Path, tmp_path: Path) -> None:
    """No setting of an editor, a method or a purifier is NaN or infinite, however it is given."""
    prompts = tmp_path / "prompts.csv"
    common = ("--editor", "instruct_pix2pix", "--out", tmp_path / "out")
    edit = ("edit", tmp_path, "--prompts", prompts, *common)
    for command in (
        (*edit, "--set", f"guidance={value}"),
        (*edit, "--purifier", f"gaussian_noise:sigma={value}"),
        ("immunize", photos, *common, "--method", "sifm", "--set", f"descent.step_size={value}"),
        ("immunize", photos, *common, "--method", "sifm", "--step-size", value),
    ):
        done = run(*command)
        assert isinstance(done.exception, UsageError | SystemExit), (command, done.exception)
        assert done.exit_code != 0
        assert "number" in f"{done.exception} {done.output}" or "is not a valid float" in done.output
    if value != "x":
        with pytest.raises(UsageError, match=r"guidance: expected a finite number; found (nan|-?inf)"):
            typed({"guidance": float(value)}, {"guidance": 7.5}, "editor e", "setting")


@pytest.mark.parametrize("seeds", ["²", "1,²", "٣", "-1", "9" * 5000, "", "1,"])
def test_seeds_that_are_none_are_told(seeds: str, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.csv"
    prompts.write_text("name,prompt\n*,x\n")
    done = run(
        "edit", tmp_path, "--prompts", prompts, "--editor", "x", "--out", tmp_path / "o", f"--seeds={seeds}"
    )
    assert isinstance(done.exception, UsageError)
    assert "expected whole numbers with commas" in str(done.exception)


def test_mistakes_are_told_before_anything_is_loaded(photos: Path, tmp_path: Path) -> None:
    def said(*args: object) -> str:
        done = run("immunize", photos, *args)
        assert done.exit_code != 0
        return f"{done.exception} {done.output}"

    ready = ("--editor", "sd_img2img", "--out", tmp_path / "out")
    assert "--editor and --out" in said("--method", "sifm")
    assert "did you mean sifm" in said("--method", "sfim", *ready)
    assert "expected a field out of layers" in said("--set", "layer=mid_block", *ready)
    assert "pixel units" in said("--eps", "8", *ready)
    assert "one 8-bit level" in said("--eps", "0.0039", *ready)
    assert "expected I/N" in said("--shard", "2/2", *ready)
    for shard in ("²/3", "0/" + "9" * 5000):
        assert "expected I/N" in said("--shard", shard, *ready)
    assert "KEY=VALUE" in said("--set", "layers", *ready)
    assert "at least 1" in said("--batch", 0, *ready)
    (photos / "holiday.HEIC").write_bytes(b"x")
    assert "holiday.HEIC: not taken" in said("--batch", 0, *ready)
    (tmp_path / "some.csv").write_text("name,prompt\ngrey,x\ngray,y\n")
    found = said("--prompts", tmp_path / "some.csv", *ready)
    assert "portrait: 'prompt': expected a prompt" in found
    assert "prompt for gray: 'name': expected an image" in found
    assert not (tmp_path / "out").exists()
    done = run("edit", tmp_path, "--editor", "x", "--prompts", tmp_path / "none.csv", "--out", tmp_path / "e")
    assert "expected a CSV" in str(done.exception)
    (tmp_path / "own.csv").write_text("name,prompt,seed,method\n*,x,1,mine\n")
    done = run("edit", tmp_path, "--editor", "x", "--prompts", tmp_path / "own.csv", "--out", tmp_path / "e")
    assert [p.field for p in done.exception.problems] == ["method", "seed"]


def test_an_editor_that_only_edits(photos: Path, checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    done = run("immunize", photos, "--editor", checkpoint("flux_kontext"), "--out", tmp_path / "out")
    assert "it only edits" in str(done.exception)


def test_the_list() -> None:
    done = run("immunize", ".", "--list")
    assert done.exit_code == 0
    for word in ("sifm", "balanced", "photoguard_diffusion", "hq_edit", "adverse_cleaner", "timbrooks"):
        assert word in done.output


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, photos: Path, tmp_path: Path) -> None:
    from sifm_ref import registry

    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda name: None)
    done = run("immunize", photos, "--editor", "sd_img2img", "--out", tmp_path / "out")
    assert "isr-eval[sifm]" in str(done.exception)


HELD = """
    import sys, time
    from sifm_ref.records import Records
    add = Records.add
    def held(self, key, row):
        if len(list(self._path(key).parent.glob("*.json"))) == 3:
            time.sleep(3600)  # half of the pictures are there: it does not come to its end before it is ended
        add(self, key, row)
    Records.add = held
    from isr.cli import main
    sys.argv = ["isr", *sys.argv[1:]]
    main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_in_a_shell_and_resumed(
    checkpoint: Callable[[str], Path], tmp_path: Path, number: signal.Signals
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for n in range(8):
        Image.fromarray(picture(16, 16, n)).save(photos / f"{n}.png")
    command = [
        "immunize", photos, "--editor", checkpoint("instruct_pix2pix"),
        "--out", tmp_path / "out", "--steps", "10", "--resolution", "16", "--set", "timesteps=300",
    ]  # fmt: skip
    held = [sys.executable, "-c", textwrap.dedent(HELD), *command]
    with processes.started(held, env=ENVIRONMENT) as running:
        processes.wait_for(
            lambda: list((tmp_path / "out" / ".records").glob("*.json")), running, what="the first picture"
        )
        running.send_signal(number)
        ended = processes.finish(running)
    assert ended.returncode == (-9 if number is signal.SIGKILL else 130)
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path / "out" / "protected").glob("[0-9].png")}
    assert 0 < len(kept) < 8
    if number is not signal.SIGKILL:
        assert "--resume" in ended.stderr
        assert (tmp_path / "out" / "metadata.jsonl").is_file()
    again = processes.run([sys.executable, "-m", "isr", *command, "--resume"], env=ENVIRONMENT, check=True)
    done = len(list((tmp_path / "out" / ".records").glob("*.json")))
    assert done == 8
    assert "8 rows" in again.stdout
    assert "8 new" not in again.stdout
    assert len((tmp_path / "out" / "metadata.jsonl").read_text().splitlines()) == 8


def test_an_incomplete_directory_is_edited_when_asked_for(
    photos: Path, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    folder, prompts = checkpoint("instruct_pix2pix"), tmp_path / "all.csv"
    prompts.write_text("name,prompt\n*,make the circle red\n")
    common = ("--editor", folder, "--quiet")
    done = run(
        "immunize", photos, "--method", "noise", "--out", tmp_path / "n", "--resolution", 16, "--shard", "0/5", *common
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    order = (
        "edit", tmp_path / "n", "--prompts", prompts, "--out", tmp_path / "e", "--set", "steps=1", *common
    )  # fmt: skip
    assert len(run(*order).exception.problems) == 4
    done = run(*order, "--partial")
    assert done.exit_code == 0, done.output
    assert "1 rows" in done.stdout


def test_an_editor_of_captions_is_given_their_column(
    photos: Path, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    """What it reads stands beside what judges read; without the column it is warned of, and a gap in it is refused."""
    editor = ["--editor", f"sd_img2img={checkpoint('sd_img2img')}", "--set", "steps=4"]
    made = run(
        "immunize", photos, "--method", "noise", *editor[:2], "--out", tmp_path / "noise", "--resolution", 16
    )
    assert made.exit_code == 0, made.output
    prompts = tmp_path / "prompts.csv"
    prompts.write_text("name,prompt,caption\n*,make it red,a red picture\n", "utf-8")
    arguments = ["edit", tmp_path / "noise", *editor, "--prompts", prompts, "--quiet", "--out"]
    told = run(*arguments, tmp_path / "told")
    assert told.exit_code == 0, told.output
    assert "makes pictures of captions" in told.stderr
    given = run(*arguments, tmp_path / "given", "--editor-prompt", "caption")
    assert given.exit_code == 0, given.output
    assert "makes pictures of captions" not in given.stderr
    rows = [json.loads(x) for x in (tmp_path / "given" / "metadata.jsonl").read_text("utf-8").splitlines()]
    assert {(r["prompt"], r["editor_prompt"]) for r in rows} == {("make it red", "a red picture")}
    other = [json.loads(x) for x in (tmp_path / "told" / "metadata.jsonl").read_text("utf-8").splitlines()]
    assert {r["edit_sha256"] for r in rows}.isdisjoint({r["edit_sha256"] for r in other})
    prompts.write_text("name,prompt,caption\n*,make it red,a red picture\n*,make it blue,\n", "utf-8")
    lacking = run(*arguments, tmp_path / "lacking", "--editor-prompt", "caption")
    assert "none in 1 of 2 rows, e.g. * ('make it blue')" in str(lacking.exception)
    unknown = run(*arguments, tmp_path / "unknown", "--editor-prompt", "captions")
    assert "other columns there: caption" in str(unknown.exception)


def test_several_prompts_of_an_image_are_never_chosen_from_silently(
    photos: Path, checkpoint: Callable[[str], Path]
) -> None:
    root = photos.parent
    (root / "prompts.csv").write_text(
        "name,prompt,prompt_id,split\n*,a hat,hat,seen\n*,at night,night,unseen\n"
    )
    args = (
        "immunize", photos, "--method", "noise", "--editor", checkpoint("instruct_pix2pix"), "--out", root / "noise",
        "--resolution", 16, "--prompts", root / "prompts.csv", "--quiet",
    )  # fmt: skip
    refused = run(*args)
    assert isinstance(refused.exception, InputError)
    assert "several for 5 of 5 images" in str(refused.exception)
    for wrong in ("split=never", "colour=red", "split"):
        refused = run(*args, "--where", wrong)
        assert isinstance(refused.exception, UsageError)
        assert f"--where {wrong}: expected COLUMN=VALUE" in str(refused.exception)
    assert not (root / "noise").exists()
    assert run(*args, "--where", "split=seen").exit_code == 0
    rows = [json.loads(line) for line in (root / "noise" / "metadata.jsonl").read_text().splitlines()]
    assert {r["surrogate_prompt"] for r in rows} == {"a hat"}
