"""Checkpoint folders through transformers: what they are, and pictures and texts as unit vectors by them.

A folder is known by ``model_type`` in its ``config.json`` and by the content of its files, never by its name. Weights
are safetensors only, code of the folder is never run, and nothing is downloaded.
"""

from __future__ import annotations

import importlib.util
import logging
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isr.edits.images import read_checked
from isr.errors import InputError, MissingExtraError, UsageError
from isr.files import files_below
from isr.foreign import ForeignCodeError, loaded
from isr.image_file import decode
from isr.reading import Unreadable, read_json
from isr.scoring.measures import Given
from isr.types import ImageRef
from sifm_ref.checkpoints import WEIGHTS, fingerprint

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger("isr")
OPTION = "--metric-model"
BATCH = 16  # pictures or texts in one pass
KEPT = 4096  # vectors in memory, of the pictures and texts that were used last
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}\Z")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A folder of a model: ``name`` stands in columns, ``kind`` is its ``model_type``, ``digest`` that of its content."""

    name: str
    folder: Path
    kind: str
    digest: str

    @property
    def where(self) -> str:
        return f"{OPTION} {self.folder}"


def open_checkpoint(spec: str, known: set[str]) -> Checkpoint:
    """The checkpoint that ``FOLDER`` or ``NAME=FOLDER`` names. ``known``: model types that are read.

    Raises ``UsageError`` for a folder that is none, of another kind, or without safetensors.
    """
    name, _, place = spec.rpartition("=")
    if Path(spec).is_dir():
        name, place = "", spec
    folder = Path(place)
    if not folder.is_dir():
        raise UsageError(
            f"{OPTION} {spec}: expected a folder on this machine (FOLDER or NAME=FOLDER); found none; nothing is downloaded: "
            "get the checkpoint first"
        )
    where = f"{OPTION} {folder}"
    name = name or re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).strip(".-_")[:40]
    if not _NAME.match(name):
        raise UsageError(
            f"{where}: expected a short name of letters, digits, dots and dashes for its columns; found {name!r}; "
            f"give it as NAME={folder}"
        )
    if not importlib.util.find_spec("transformers") or not importlib.util.find_spec("safetensors"):
        raise MissingExtraError(
            f"{where}: expected transformers; found none; pip install 'isr-eval[metrics,transformers]'"
        )
    kind = _kind(folder, where)
    if kind not in known:
        raise UsageError(
            f"{where}: expected a checkpoint whose config.json has the model_type {', '.join(sorted(known))}; "
            f"found {kind[:40]!r}; give another folder"
        )
    try:
        digest = fingerprint(str(folder))["fingerprint"]
        _require_whole(folder, where)
    except InputError as error:
        raise UsageError(f"{OPTION} {error}") from error
    return Checkpoint(name=name, folder=folder, kind=kind, digest=digest)


def _kind(folder: Path, where: str) -> str:
    try:
        said = read_json(folder / "config.json", 2**22)
    except Unreadable as error:
        found = "none" if error.missing else error.found
        raise UsageError(
            f"{where}: expected a folder with config.json, as transformers saves a model; found {found}; check the path"
        ) from error
    return str(said.get("model_type", "")) if isinstance(said, dict) else ""


def _require_whole(folder: Path, where: str) -> None:
    """Raises ``UsageError`` where a file of weights is cut off: its head says how long it is."""
    from safetensors import SafetensorError, safe_open

    for file in files_below(folder, hidden=False):
        if file.suffix == WEIGHTS:
            try:
                with safe_open(file, framework="pt") as opened:
                    opened.keys()
            except (SafetensorError, OSError) as error:
                raise UsageError(
                    f"{where}: expected whole safetensors; found {file.name}, which cannot be read ({error}); get it again"
                ) from error


class Encoder:
    """A checkpoint as a function of pictures and of texts to unit vectors, each made once and in batches.

    ``model``: the class's name in transformers, made with ``options``. ``picture``, ``text``: the model's vectors of what
    its processor and its tokenizer give.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        model: str,
        *,
        picture: Callable[[Any, Any], Tensor],
        text: Callable[[Any, Any], Tensor] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.checkpoint = checkpoint
        self._class, self._picture, self._text, self._options = model, picture, text, options or {}
        self._kept: OrderedDict[str, Tensor] = OrderedDict()
        self._loaded: Any = None

    # ------------------------------------------------------------------------------------ what it consists of

    def check(self) -> None:
        """Loads everything once and drops the weights. Raises ``UsageError``: before a judge is asked, not after."""
        _ = self.processor
        if self._text is not None:
            _ = self.tokenizer
        self._load()
        self._loaded = None

    @cached_property
    def processor(self) -> Any:
        from transformers import AutoImageProcessor

        return self._from("an image processor (preprocessor_config.json)", AutoImageProcessor, backend="pil")

    @cached_property
    def tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return self._from("a tokenizer", AutoTokenizer)

    @property
    def length(self) -> int:
        """Tokens that its text side reads."""
        from transformers import AutoConfig

        return int(self._from("config.json", AutoConfig).text_config.max_position_embeddings)

    def _from(self, what: str, kind: Any, **options: Any) -> Any:
        place = str(self.checkpoint.folder)
        try:
            with _quiet():
                return loaded(
                    lambda: kind.from_pretrained(
                        place, local_files_only=True, trust_remote_code=False, **options
                    )
                )
        except ForeignCodeError as error:
            raise UsageError(
                f"{self.checkpoint.where}: expected {what} that transformers loads; found: {error}; complete the folder"
            ) from error

    def _load(self) -> Any:
        if self._loaded is None:
            import torch
            import transformers

            kind = getattr(transformers, self._class)
            model, said = self._from(
                f"a {self._class} in safetensors",
                kind,
                output_loading_info=True,
                use_safetensors=True,
                dtype=torch.float32,
                **self._options,
            )
            if missing := sorted(said["missing_keys"]):
                raise UsageError(
                    f"{self.checkpoint.where}: expected all weights of a {self._class}; found none for {len(missing)} of "
                    f"them ({', '.join(missing[:2])}), which would be random; give the whole checkpoint"
                )
            self._loaded = model.eval().to("cuda" if torch.cuda.is_available() else "cpu")
        return self._loaded

    @property
    def sees(self) -> str:
        """How its processor changes a picture, in words."""
        p = self.processor
        parts = []
        if getattr(p, "do_resize", False):
            how = {0: "nearest", 1: "Lanczos", 2: "bilinear", 3: "bicubic"}.get(int(p.resample), "as it says")
            parts.append(f"made {_size(p.size)} ({how})")
        if getattr(p, "do_center_crop", False):
            parts.append(f"its middle {_size(p.crop_size)}")
        return f"{', '.join(parts) or 'at its own size'}, by {type(p).__name__}"

    # ------------------------------------------------------------------------------------------------ vectors

    def show(self, givens: Sequence[Given]) -> None:
        """Makes the vectors of pictures and texts that are not known yet, in batches."""
        images = {i.sha256: (g.root, i) for g in givens for i in g.images}
        for some in _batches([v for k, v in images.items() if k not in self._kept]):
            self._keep([i.sha256 for _, i in some], self._picture(self._load(), self._pixels(some)))
        texts = [t for g in givens for t in g.texts]
        for batch in _batches([t for t in dict.fromkeys(texts) if f"text:{t}" not in self._kept]):
            if self._text is not None:
                self._keep([f"text:{t}" for t in batch], self._text(self._load(), self._tokens(batch)))

    def vectors(self, given: Given) -> tuple[Tensor, ...]:
        """The unit vectors of what is given: pictures, then texts."""
        names = [*(i.sha256 for i in given.images), *(f"text:{t}" for t in given.texts)]
        if any(n not in self._kept for n in names):
            self.show([given])
        for name in names:
            self._kept.move_to_end(name)
        return tuple(self._kept[n] for n in names)

    def cut(self, texts: Sequence[str]) -> str:
        """How many texts are longer than the model reads, in words; ``""`` where none is."""
        length = self.length
        long = sum(len(self.tokenizer(t)["input_ids"]) > length for t in set(texts))
        return f"{self.checkpoint.name}: {long} caption(s) are cut after {length} tokens" if long else ""

    def _pixels(self, some: Sequence[tuple[Path, ImageRef]]) -> Any:
        import torch

        made = [
            self.processor(images=decode(read_checked(root, i.path, i.sha256)), return_tensors="pt")[
                "pixel_values"
            ]
            for root, i in some
        ]
        return torch.cat(made).to(self._load().device)

    def _tokens(self, texts: Sequence[str]) -> Any:
        made = self.tokenizer(
            list(texts), padding="max_length", truncation=True, max_length=self.length, return_tensors="pt"
        )
        return made.to(self._load().device)

    def _keep(self, names: Sequence[str], vectors: Tensor) -> None:
        unit = vectors.float().cpu()
        unit = unit / unit.norm(dim=-1, keepdim=True)
        for name, vector in zip(names, unit, strict=True):
            self._kept[name] = vector.clone()
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without bars and words of transformers, which are on stderr: what is wrong with a folder is ours to say."""
    from transformers.utils import logging as theirs

    before, bars = theirs.get_verbosity(), theirs.is_progress_bar_enabled()
    theirs.set_verbosity_error()
    theirs.disable_progress_bar()
    try:
        yield
    finally:
        theirs.set_verbosity(before)
        if bars:
            theirs.enable_progress_bar()


def _batches(some: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(some), BATCH):
        yield some[start : start + BATCH]


def _size(size: Any) -> str:
    said = dict(size)
    if "shortest_edge" in said:
        return f"{said['shortest_edge']} on its shorter side"
    return f"{said.get('height')}x{said.get('width')}"
