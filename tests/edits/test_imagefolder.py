"""``load_dataset("imagefolder", ...)`` loads every kind of directory that we make, all rows and pictures of it."""

from __future__ import annotations

import gc
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from isr.cli import cli
from isr.edits.columns import names_a_split
from tests.directories import make_directory, picture

datasets = pytest.importorskip("datasets", reason="needs datasets, which reads ImageFolders")

ROOT = Path(__file__).resolve().parents[2]


def load(root: Path, cache: Path) -> Any:
    """What ``datasets`` makes of a directory; it asks no host for it."""
    datasets.disable_progress_bars()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves a metadata.csv open
        found = datasets.load_dataset("imagefolder", data_dir=str(root), cache_dir=str(cache))
        gc.collect()
    return found


def require_whole(root: Path, cache: Path, rows: int, pictures: tuple[str, ...]) -> None:
    """Asserts that there is one split with all rows, in each of which these columns are pictures."""
    found = load(root, cache)
    assert list(found) == ["train"]  # datasets calls it so where no name speaks of a split
    assert found["train"].num_rows == rows
    for column in pictures:
        assert found["train"][rows - 1][column].size[0] > 1


def test_the_example(tmp_path: Path) -> None:
    require_whole(
        ROOT / "examples" / "shapes", tmp_path / "hf", 144, ("image", "source", "control", "protected")
    )


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_metadata_of_each_kind_and_three_methods(kind: str, tmp_path: Path) -> None:
    rows = make_directory(tmp_path / "e", images=2, methods=("a", "b", "c"))
    if kind != "jsonl":
        pandas = pytest.importorskip("pandas")
        frame = pandas.DataFrame(rows)
        (tmp_path / "e/metadata.jsonl").unlink()
        if kind == "csv":
            frame.to_csv(tmp_path / "e/metadata.csv", index=False)
        else:
            frame.to_parquet(tmp_path / "e/metadata.parquet")
    (tmp_path / "e/isr.toml").write_text('by = ["method"]\n')
    require_whole(tmp_path / "e", tmp_path / "hf", 18, ("image", "source", "control"))


def test_what_isr_init_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With files of several names and in folders of their own, and with a method that was added."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(
        ["src/cat", *(f"{m}/seed{s}/cat" for m in ("sifm", "pge", "clean") for s in "12")]
    ):
        path = Path("out", f"{name}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(number).save(path)
    Path("p.csv").write_text("image,prompt\ncat,make it red\n")
    for method, more in (("sifm", ()), ("pge", ("--add",))):
        words = [
            "init",
            "e",
            "--edits",
            f"out/{method}/seed{{seed}}/{{image}}.png",
            "--prompts",
            "p.csv",
            *more,
        ]
        words += ["--control", "out/clean/seed{seed}/{image}.png", "--source", "out/src/{image}.png"]
        done = CliRunner().invoke(cli, [*words, "--column", f"method={method}"])
        assert done.exit_code == 0, done.output
    require_whole(tmp_path / "e", tmp_path / "hf", 4, ("image", "source", "control"))


def test_a_name_that_it_takes_for_a_split(tmp_path: Path) -> None:
    """What ``isr validate`` warns of is so: of two rows one is loaded, without its columns, or none."""
    rows = make_directory(tmp_path / "e", images=2, prompts=1)
    (tmp_path / "e" / rows[0]["file_name"]).rename(tmp_path / "e/edits/train-0.png")
    rows[0]["file_name"] = "edits/train-0.png"
    (tmp_path / "e/metadata.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    assert names_a_split("edits/train-0.png")
    found = load(tmp_path / "e", tmp_path / "hf")["train"]
    assert (found.num_rows, found.column_names) == (1, ["image"])
    said = CliRunner().invoke(cli, ["validate", str(tmp_path / "e")]).stdout
    assert "takes for splits (train, test, val, dev, ...): edits/train-0.png" in said
