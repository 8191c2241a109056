"""A bench goes on only with the weights with which it was begun, and with the pictures that it made."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs isr-eval[sifm]")
pytest.importorskip("diffusers", reason="needs isr-eval[sifm]")

from click.testing import CliRunner
from PIL import Image

from isr.bench.cells import plan
from isr.bench.making import edit_cells, immunize_cells
from isr.bench.opening import check_folder, marks, open_bench
from isr.bench.steps import _begin
from isr.bench.study import Study
from isr.bench.workers import _do, _Editors
from isr.cli import cli
from isr.errors import InputError, IsrError
from tests.bench.studies import ROOT, write
from tests.sifm_ref.checkpoints import broken, merged
from tests.sifm_ref.conftest import checkpoint
from tests.sifm_ref.test_kept import SPOILING

__all__ = ["checkpoint"]
MODEL = ROOT / "examples" / "shapes" / "editor" / "model"


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """The study file of a bench that was begun with a copy of the shapes' editor in ``model``."""
    place = shutil.copytree(MODEL, tmp_path / "model", symlinks=False)
    study = write(
        tmp_path / "s",
        place,
        purifiers=f'["none", "jpeg:quality=75", "vae:checkpoint={tmp_path / "second"}"]',
    )
    shutil.copytree(MODEL, tmp_path / "second", symlinks=False)
    bench = open_bench(study, None)
    bench.out.mkdir()
    assert _begin(bench) == []
    assert _begin(open_bench(study, None)) == []
    return study


def swap(place: Path) -> None:
    shutil.rmtree(place)
    merged(MODEL, place)


@pytest.mark.parametrize(("name", "word"), [("model", "editor tiny"), ("second", "purifier vae:checkpoint=")])
def test_other_weights_in_a_place_of_the_study_are_refused(
    begun: Path, tmp_path: Path, name: str, word: str
) -> None:
    swap(tmp_path / name)
    for more in (("--dry-run",), ("--quiet",), ("--only", "results", "--quiet")):
        done = CliRunner().invoke(cli, ["bench", str(begun), *more])
        said = f"{done.output} {done.exception}"
        assert word in said, said
        assert "the weights with which this bench was begun" in said
        assert "put them back" in said
    assert sorted(p.name for p in (begun.parent / "little.bench").iterdir() if p.name[0] != ".") == [
        "bench.json"
    ]


def test_a_new_name_is_a_new_editor(begun: Path, tmp_path: Path) -> None:
    text = (
        begun.read_text()
        .replace('name = "tiny"', 'name = "merged"')
        .replace(f"{tmp_path}/model", f"{tmp_path}/other")
    )
    merged(MODEL, tmp_path / "other")
    begun.write_text(text)
    assert any("merged" in line for line in _begin(open_bench(begun, None)))


def test_a_bench_of_before_kept_no_weights_and_it_is_said(begun: Path) -> None:
    file = begun.parent / "little.bench" / "bench.json"
    said = json.loads(file.read_text())
    del said["weights"]
    file.write_text(json.dumps(said))
    (line,) = _begin(open_bench(begun, None))
    assert "whether these are the same weights is not known" in line
    assert _begin(open_bench(begun, None)) == []


def test_a_record_that_was_spoilt_is_refused(begun: Path) -> None:
    (begun.parent / "little.bench" / "bench.json").write_text('{"study": {"name": "little"}, "weights": 7}')
    with pytest.raises(InputError, match="expected the studies of a bench"):
        check_folder(open_bench(begun, None))


NOISE = """
[[methods]]
name = "noise"
method = "noise"
eps = [0.03]
"""


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a bench whose pictures are made: 1 image, 2 prompts, noise; by its own tasks, in this process."""
    study = write(tmp_path_factory.mktemp("once") / "s", MODEL, images=1, purifiers='["none"]')
    text = study.read_text()
    study.write_text(text[: text.index("[[methods]]")] + NOISE)
    assert CliRunner().invoke(cli, ["bench", str(study), "--only", "images", "--quiet"]).exit_code == 0
    bench, editors = open_bench(study, None), _Editors(0)
    for cell in (*immunize_cells(bench), *edit_cells(bench)):
        _do(cell.task((0, 1)), editors, lambda told: None)
        cell.remember()
    assert CliRunner().invoke(cli, ["bench", str(study), "--only", "score,results", "--quiet"]).exit_code == 0
    return study.parent


@pytest.fixture
def made(once: Path, tmp_path: Path) -> Path:
    """The study file of such a bench, scored, in a folder of its own."""
    return shutil.copytree(once, tmp_path / "s") / "study.toml"


@pytest.mark.parametrize("how", ["truncate", "blacken"])
def test_a_picture_that_was_exchanged_is_never_scored(how: str, made: Path) -> None:
    """Blackened edits were scored as a perfect immunization, in silence."""
    score = ["bench", str(made), "--only", "score,results", "--quiet"]
    more = [["bench", str(made), "--quiet"], ["bench", str(made), "--only", "edit", "--quiet"]]
    out = made.parent / "little.bench"
    before = (out / "results.json").read_bytes()
    for pattern, word in (
        ("edits/*/edits/*.png", "edit(s)"),
        ("immunized/*/protected/*.png", "edit(s) and image(s)"),
    ):
        file = next(out.glob(pattern))
        kept = file.read_bytes()
        SPOILING[how](file)
        for command in (score, *(more if how == "blacken" else ())):
            done = CliRunner().invoke(cli, command)
            assert isinstance(done.exception, InputError), done.output
            said = str(done.exception)
            assert f"1 {word} are other than were made; nothing was done" in said
            assert str(file) in said
            assert "put it back; or delete it, and the same command makes it again" in said
        file.write_bytes(kept)
    assert CliRunner().invoke(cli, score).exit_code == 0
    assert (out / "results.json").read_bytes() == before


def test_an_image_of_the_bench_that_was_exchanged_is_written_again(made: Path) -> None:
    (image,) = (made.parent / "little.bench" / "images").glob("*.png")
    kept = image.read_bytes()
    SPOILING["blacken"](image)
    done = CliRunner().invoke(cli, ["bench", str(made), "--only", "images"])
    assert f"{image.name} was another than was written, and is written again" in done.stderr
    assert image.read_bytes() == kept


def test_pictures_of_before_are_scored_and_it_is_said(made: Path) -> None:
    """Their rows keep no digests."""
    out = made.parent / "little.bench"
    for table in (*out.glob("immunized/*/metadata.jsonl"), *out.glob("edits/*/metadata.jsonl")):
        rows = [json.loads(line) for line in table.read_text().splitlines()]
        bare = [{k: v for k, v in r.items() if not k.endswith("_sha256")} for r in rows]
        table.write_text("".join(json.dumps(r) + "\n" for r in bare))
    done = CliRunner().invoke(cli, ["bench", str(made), "--only", "score,results", "--quiet"])
    assert done.exit_code == 0
    assert "3 pictures were made by an earlier version" in done.stderr
    assert any("not known" in n for n in json.loads((out / "results.json").read_text())["notes"])


def test_an_edit_of_nan_ends_the_bench_in_words(tmp_path: Path, checkpoint: Callable[[str], Path]) -> None:
    place = broken(checkpoint("instruct_pix2pix"), tmp_path / "broken", "vae", float("nan"))
    study = write(tmp_path / "s", place, images=1, purifiers='["none"]')
    text = study.read_text()
    study.write_text(text[: text.index("[[methods]]")] + NOISE)
    CliRunner().invoke(cli, ["bench", str(study), "--only", "images", "--quiet"])
    bench, editors = open_bench(study, None), _Editors(0)
    (immunized,), (edits,) = immunize_cells(bench), edit_cells(bench)
    _do(immunized.task((0, 1)), editors, lambda told: None)
    with pytest.raises(IsrError, match=r"first in vae\.decoder"):
        _do(edits.task((0, 1)), editors, lambda told: None)
    assert not list((bench.out / "edits").rglob("*.png")) or not list(
        (bench.out / "edits").glob("*/metadata.jsonl")
    )
    done = CliRunner().invoke(cli, ["bench", str(study), "--only", "score", "--quiet"])
    assert "expected all edits of this study" in str(done.exception)


@pytest.mark.parametrize(
    "text",
    ['method = "mist"\nset = {{ target = {place} }}', 'method = "blurguard"\nset = {{ over = {over} }}'],
)
def test_another_picture_in_the_place_of_a_target_is_another_treatment(tmp_path: Path, text: str) -> None:
    """Wrapped or not; the same bytes elsewhere are told by the study's own words."""
    pytest.importorskip("torch", reason="needs isr-eval[sifm]")
    place = tmp_path / "target.png"
    words = text.format(place=json.dumps(str(place)), over=json.dumps(f"ace:target={place}"))
    text = (
        'name = "s"\njudges = ["shapes-oracle"]\n[images]\nfolder = "x"\nprompts = "x.csv"\n'
        f'[[editors]]\nname = "e"\neditor = "instruct_pix2pix"\n[[methods]]\nname = "m"\n{words}\n'
    )
    found = Study.model_validate(tomllib.loads(text))
    folders = []
    for level in (0, 0, 255):
        Image.new("RGB", (8, 8), (level, 0, 0)).save(place)
        folders.append(plan(found, marks(found, tmp_path)).immunizations[0].folder)
    assert folders[0] == folders[1] != folders[2]
