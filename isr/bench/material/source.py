"""Where images and captions come from: tables on disk or a data set on the hub, at one revision."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from isr.canonical import sha256_json
from isr.errors import InputError, MissingExtraError, Problem
from isr.files import file_digest, files_below
from isr.reading import read_bytes, read_json

RULE = "caption-keywords/1"
KEYWORDS: Mapping[str, tuple[str, ...]] = {
    "painting": (
        "painting", "painted by", "oil on canvas", "watercolor", "watercolour", "acrylic", "gouache", "fresco",
        "impressionist", "impressionism", "still life",
    ),
    "portrait": (
        "portrait", "headshot", "head shot", "face of", "self-portrait", "photo of a man", "photo of a woman",
        "photo of a girl", "photo of a boy", "actor", "actress", "bride",
    ),
    "landscape": (
        "landscape", "mountain", "mountains", "valley", "lake", "river", "beach", "coast", "forest", "meadow", "desert",
        "waterfall", "sunset over", "sunrise over", "countryside", "seascape", "hills", "glacier", "canyon",
    ),
}  # fmt: skip
"""The rule: the first stratum of which a word stands in the caption, whole and in any case."""

PROMPTS, SELECTION = "prompts.csv", "selection.json"
MAX_BYTES = 64_000_000  # of one image file


class DatasetPart(BaseModel):
    """``[images.dataset]``: which table, which columns, how many images of each stratum."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(min_length=1)
    revision: str = ""
    split: str = "train"
    image: str = "original_image"
    caption: str = "original_prompt"
    prompt: str = "edit_prompt"
    texts: tuple[str, ...] = ()  # further columns of text, kept beside the prompt under their own names
    seed: int = Field(default=0, ge=0)
    strata: dict[str, Annotated[int, Field(ge=1, le=100_000)]] = Field(min_length=1)
    scan: int = Field(default=20_000, ge=1)
    min_side: int = Field(default=256, ge=1)

    @field_validator("strata")
    @classmethod
    def _known(cls, value: dict[str, int]) -> dict[str, int]:
        unknown = sorted(set(value) - set(KEYWORDS))
        if unknown:
            raise ValueError(
                f"strata of the rule {RULE} ({', '.join(KEYWORDS)}), of which {', '.join(unknown)} is none"
            )
        return value

    def rule(self) -> dict[str, Any]:
        """All that decides which rows are taken, besides the rows."""
        return {
            "rule": RULE,
            "keywords": {k: list(v) for k, v in KEYWORDS.items()},
            "seed": self.seed,
            "strata": dict(self.strata),
            "scan": self.scan,
            "min_side": self.min_side,
            "columns": {
                "image": self.image,
                "caption": self.caption,
                "prompt": self.prompt,
                **({"texts": list(self.texts)} if self.texts else {}),
            },
            "split": self.split,
        }


@dataclass(frozen=True)
class Source:
    """A table that can be read from its first row as often as needed.

    ``texts``: (caption, prompt, and those of ``texts``) of each row; ``images``: the image cells of each row. ``identity``: what was read.
    """

    texts: Callable[[], Iterable[tuple[Any, ...]]]
    images: Callable[[], Iterable[Any]]
    identity: Mapping[str, str]


def open_source(spec: DatasetPart, root: Path = Path()) -> Source:
    """The table: a local folder of parquet files or an ImageFolder, else a data set of the hub at a fixed revision."""
    if not importlib.util.find_spec("datasets"):
        raise MissingExtraError(
            "[images.dataset]: expected datasets; found none; pip install 'isr-eval[study]'"
        )
    folder = root / spec.id
    if folder.is_dir():
        return _local(spec, folder)
    if spec.id.startswith((".", "/")) or spec.id.count("/") != 1:
        problem = Problem(
            "images.dataset", "id", "a folder or a hub id owner/name", repr(spec.id), "correct it"
        )
        raise InputError("the data set cannot be opened", [problem])
    return _hub(spec)


def _local(spec: DatasetPart, folder: Path) -> Source:
    kind, files = _files(spec, folder)
    arguments: dict[str, Any] = {"path": kind, "data_dir": str(folder)}
    if kind == "parquet":
        arguments = {"path": kind, "data_files": {spec.split: [str(p) for p in files]}}
    identity = {"id": spec.id, "kind": kind, "files": _digest(files, folder)}
    return _source(spec, arguments, identity, folder.resolve())


def _files(spec: DatasetPart, folder: Path) -> tuple[str, list[Path]]:
    """What a local data set is read as, and the files that say what is in it.

    Raises ``InputError`` where there are parquet files and none is of the split.
    """
    every = [p for p in files_below(folder) if p.is_file()]
    files = [p for p in every if p.suffix == ".parquet"]
    if not files:
        return "imagefolder", [p for p in every if p.name.startswith("metadata.")]
    named = [
        p for p in files if spec.split in p.stem or spec.split in p.relative_to(folder).parent.parts
    ]  # as the hub has them: train-00000-of-00001.parquet, or train/0.parquet
    if not named:
        found = ", ".join(p.relative_to(folder).as_posix() for p in files[:3])
        fix = "correct images.dataset.split, or name the files after it"
        raise InputError(
            f"{spec.id}: expected parquet files of the split {spec.split!r}; found {found}; {fix}"
        )
    return "parquet", named


def _digest(files: Sequence[Path], folder: Path) -> str:
    return sha256_json([[p.relative_to(folder).as_posix(), file_digest(p)] for p in files])


def require_same(spec: DatasetPart, out: Path, folder: Path) -> None:
    """Raises ``InputError`` where a local data set is another than the one that was selected from."""
    before = read_json(out / SELECTION).get("source", {})
    if not folder.is_dir() or "files" not in before:
        return
    try:
        kind, files = _files(spec, folder)
    except InputError:  # selected when files of other names were read too
        kind, files = "parquet", [p for p in files_below(folder) if p.suffix == ".parquet" and p.is_file()]
    if (kind, _digest(files, folder)) != (before.get("kind"), before["files"]):
        raise InputError(
            f"{spec.id}: expected the data set that {out / SELECTION} was selected from; found changed files; "
            f"restore them, or give a new --out"
        )


def _hub(spec: DatasetPart) -> Source:
    from huggingface_hub import HfApi

    try:
        sha = HfApi().dataset_info(spec.id, revision=spec.revision or None).sha
    except (
        Exception
    ) as error:  # the hub's client raises a dozen kinds, of which none tells more than its text
        raise InputError(
            f"{spec.id}: expected a data set of the hub (revision {spec.revision or 'the latest'}); found "
            f"{type(error).__name__}: {str(error)[:200]}; check the name and the network, or give a local folder"
        ) from error
    return _source(
        spec, {"path": spec.id, "revision": sha}, {"id": spec.id, "kind": "hub", "revision": str(sha)}, None
    )


def _source(
    spec: DatasetPart, arguments: Mapping[str, Any], identity: Mapping[str, str], folder: Path | None
) -> Source:
    import datasets

    try:
        table = datasets.load_dataset(**arguments, split=spec.split, streaming=True)
        have = list(table.features) if table.features else list(next(iter(table), {}))
    except Exception as error:  # whatever a builder raises for files that are none of its kind
        raise InputError(
            f"{spec.id}: expected a table with the split {spec.split!r}; found {type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]}; check the folder or the name"
        ) from error
    problems = [
        Problem(spec.id, f"images.dataset.{field}", "a column of the data set", f"{name!r} beside {', '.join(have)}", "correct it")
        for field, name in (
            ("image", spec.image), ("caption", spec.caption), ("prompt", spec.prompt), *(("texts", t) for t in spec.texts)
        )
        if name not in have
    ]  # fmt: skip
    if problems:
        raise InputError(f"{spec.id}: columns are missing", problems)

    def texts() -> Iterator[tuple[Any, ...]]:
        wanted = (spec.caption, spec.prompt, *spec.texts)
        for row in table.select_columns(list(dict.fromkeys(wanted))):
            yield tuple(row[name] for name in wanted)

    def images() -> Iterator[Any]:
        raw = table.select_columns([spec.image]).cast_column(spec.image, datasets.Image(decode=False))
        for row in raw:
            yield _bytes(row[spec.image], folder)

    return Source(texts, images, {**identity, "datasets": datasets.__version__})


def _bytes(cell: Any, folder: Path | None) -> Any:
    """The image cell with its bytes: those of the table, or of a file in the local folder and nowhere else."""
    if not isinstance(cell, dict) or cell.get("bytes") is not None or folder is None:
        return cell
    path = Path(str(cell.get("path"))).resolve()
    if not path.is_relative_to(folder) or not path.is_file() or path.stat().st_size > MAX_BYTES:
        return None
    return {"bytes": read_bytes(path, MAX_BYTES)}
