"""What a study measures: fields as isr score has its options, checked before anything is made."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs isr-eval[sifm]")
pytest.importorskip("diffusers", reason="needs isr-eval[sifm]")

from isr.bench.results import one_of_each
from isr.bench.study import Study, read_study
from isr.bench.study_metrics import measured_with, metric_options, require_measures
from isr.errors import InputError, UsageError
from isr.scoring.options import Options
from tests.bench.test_study import GOOD

FIELDS = """
metrics = true
lpips_weights = ["w/vgg16.ckpt", "download"]
dists_weights = "w/weights.pt"
metric_models = ["clip", "b=models/siglip"]
caption = "target"
source_caption = "before"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "scenes").mkdir()
    (tmp_path / "prompts.csv").write_text("name,prompt,target,before\n*,x,y,z\n")
    return tmp_path


def study(folder: Path, fields: str) -> Study:
    (folder / "study.toml").write_text(fields + GOOD)
    return read_study(folder / "study.toml")


def test_fields_are_options_with_paths_beside_the_study(folder: Path) -> None:
    (folder / "clip").mkdir()
    found = metric_options(study(folder, FIELDS), folder)
    assert found == {
        "metrics": True,
        "lpips_weights": (str(folder / "w/vgg16.ckpt"), "download"),
        "dists_weights": str(folder / "w/weights.pt"),
        "metric_models": (str(folder / "clip"), f"b={folder / 'models/siglip'}"),
        "caption": "target",
        "source_caption": "before",
    }
    assert Options(directory=folder, **found).metric_models == found["metric_models"]
    assert metric_options(study(folder, ""), folder) == {"metrics": False}


def test_a_study_that_says_nothing_of_it_keeps_its_digest(folder: Path) -> None:
    plain = study(folder, "metrics = true\n")
    assert not {"lpips_weights", "dists_weights", "metric_models", "caption"} & plain.choices().keys()
    assert plain.digest != study(folder, 'metrics = true\nlpips_weights = ["a"]\n').digest


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ('lpips_weights = ["a"]', "lpips_weights: metrics = true beside it: none"),
        ('metrics = true\nmetric_models = ["a"]\ncaption = "nothing"', "caption: a column of the prompts' table, out of before, prompt, target: 'nothing'"),
        ('metrics = true\ncaption = "target"', "caption: metric_models beside it, which read it: none"),
        ('metrics = true\nsource_caption = "before"', "source_caption: caption beside it: none"),
    ],
)  # fmt: skip
def test_fields_that_lead_nowhere(folder: Path, fields: str, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        study(folder, fields + "\n")
    assert expected in [f"{p.field}: {p.expected}: {p.found}" for p in caught.value.problems]


def test_what_values_rest_on_is_the_content(folder: Path) -> None:
    (folder / "w").mkdir()
    for name in ("vgg16.ckpt", "weights.pt"):
        (folder / "w" / name).write_bytes(b"1")
    one: Any = study(
        folder, FIELDS.replace('metric_models = ["clip", "b=models/siglip"]', 'metric_models = ["a=m"]')
    )
    (folder / "m").mkdir()
    (folder / "m" / "model.safetensors").write_bytes(b"1")
    before = measured_with(one, folder)
    assert before[1] == "download"
    assert before[-2:] == ["target", "before"]
    assert before[3][0] == "a"
    for file in ("w/vgg16.ckpt", "w/weights.pt", "m/model.safetensors"):
        (folder / file).write_bytes(b"2")
        after = measured_with(one, folder)
        assert after != before
        before = after
    (folder / "w/vgg16.ckpt").unlink()
    with pytest.raises(UsageError, match=r"metrics: .*vgg16\.ckpt.*; put back what was measured with"):
        measured_with(one, folder)
    assert measured_with(study(folder, "metrics = true\n"), folder) == []


def test_weights_that_are_not_there_are_told_before_anything_is_made(folder: Path) -> None:
    pytest.importorskip("piq", reason="needs isr-eval[metrics]")
    one = study(folder, 'metrics = true\nlpips_weights = ["none.ckpt"]\n')
    with pytest.raises(
        UsageError, match=r"metrics: --lpips-weights .*none\.ckpt: expected a file that can be read"
    ):
        require_measures(one, folder, fetch=False)


def test_nothing_is_downloaded_where_it_is_only_said(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("piq", reason="needs isr-eval[metrics]")
    import torch

    monkeypatch.setattr(torch, "hub", SimpleNamespace())
    require_measures(study(folder, 'metrics = true\nlpips_weights = ["download"]\n'), folder, fetch=False)
    assert "a run would fetch about 530 MB from the network" in caplog.text


def test_one_name_with_two_definitions_is_told() -> None:
    """One editor's run was measured with other weights: their figures under one name are not one quantity."""
    found = one_of_each(
        {"A": {"edit:x": "by one", "edit:y": "same"}, "B": {"edit:x": "by two", "edit:y": "same"}, "C": {}}
    )
    assert found == {
        "edit:x": "NOT ONE QUANTITY, finish the scoring: on A: by one; on B: by two",
        "edit:y": "same",
    }
