"""A bench goes on only with the weights with which it was begun."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs isr-eval[sifm]")
pytest.importorskip("diffusers", reason="needs isr-eval[sifm]")

from click.testing import CliRunner

from isr.bench.opening import check_folder, open_bench
from isr.bench.steps import _begin
from isr.cli import cli
from isr.errors import InputError
from tests.bench.studies import ROOT, write
from tests.sifm_ref.checkpoints import merged

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
