"""What ``isr score --metrics`` measures: one file of this folder for each kind, found by its place.

A file has ``measures(wanted)``, which yields a ``Measure`` for every number it can give, and an ``Absent`` for every
number that it cannot and why. A file of checkpoints also has ``MODEL_TYPES``: the ``model_type`` in ``config.json``
that it reads. Metrics of other packages are functions of two images (``isr.scoring.registered_metrics``).
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from isr.canonical import sha256_bytes
from isr.edits.images import read_checked
from isr.image_file import decode
from isr.types import ImageRef

if TYPE_CHECKING:
    from PIL.Image import Image

    from isr.scoring.measures._checkpoints import Checkpoint

CONTROL, SOURCE = ("edit", "control"), ("edit", "source")
PROTECTED = ("protected", "source")
PAIRS: Mapping[str, tuple[str, ...]] = {"edit": CONTROL, "protected": PROTECTED}
"""What most compare: the edit with its control edit, and the protected image with its source."""
DOWNLOAD = "download"  # in place of a file of weights: fetch them, which is told before
CAPTION, SOURCE_CAPTION = "caption", "source_caption"
TEXTS = (CAPTION, SOURCE_CAPTION)


class Blank(Exception):
    """There is no number for this edit; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is asked for beside what needs no weights. ``caption``, ``source_caption``: columns of the metadata."""

    lpips_weights: tuple[str, ...] = ()
    dists_weights: str = ""
    checkpoints: tuple[Checkpoint, ...] = ()
    caption: str = ""
    source_caption: str = ""
    fetch: bool = True  # what is to be downloaded is; else it is only said


@dataclass(frozen=True)
class Given:
    """What a measure is given of one edit: pictures and texts in the order of the roles that it names."""

    root: Path
    images: tuple[ImageRef, ...]
    texts: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, ...]:
        """Digests of everything that a value depends on."""
        return (*(i.sha256 for i in self.images), *(sha256_bytes(t.encode()) for t in self.texts))

    def picture(self, image: ImageRef) -> Image:
        return decode(read_checked(self.root, image.path, image.sha256))

    @cached_property
    def tensors(self) -> tuple[Any, ...]:
        """The pictures as float32 (1, 3, H, W) in [0, 1]. Raises ``Blank`` where they differ in size."""
        import torch

        pictures = [self.picture(i) for i in self.images]
        if len({p.size for p in pictures}) > 1:
            raise Blank("images of different sizes")
        return tuple(
            torch.from_numpy(np.asarray(p, np.uint8).copy()).permute(2, 0, 1)[None].float() / 255
            for p in pictures
        )


def _nothing(givens: Sequence[Given]) -> None:
    """Where values are made one by one."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One number of an edit, in one or several columns.

    ``columns``: by the column's prefix, the roles that ``value`` is given. ``mark``: version and digest of everything
    that values rest on; another mark measures again. ``orientation``: 1 if a larger number means more changed, -1 if a
    smaller one does. ``prepare``: is shown some edits before their values are asked for, to make them in one batch.
    """

    name: str
    value: Callable[[Given], Any]
    mark: str
    title: str
    orientation: int
    definition: str = ""
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: PAIRS)
    prepare: Callable[[Sequence[Given]], None] = _nothing
    cut: Callable[[Sequence[str]], str] = lambda texts: ""  # how many of these texts it cannot read whole
    plain: bool = False  # needs no weights: stands first


def of_tensors(function: Callable[..., Any]) -> Callable[[Given], Any]:
    """A function of two tensors as one of what is given."""
    return lambda given: function(*given.tensors)


@dataclass(frozen=True)
class Absent:
    """A number that is not measured, and why."""

    name: str
    why: str


class Kind(Protocol):
    """A file of this folder."""

    def measures(self, wanted: Wanted) -> Iterable[Measure | Absent]: ...


def kinds() -> list[Kind]:
    """The files of this folder, in the order of their names."""
    names = sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))
    return [cast("Kind", importlib.import_module(f"{__name__}.{name}")) for name in names]


def model_types() -> set[str]:
    """The kinds of checkpoints that some file reads."""
    return {t for kind in kinds() for t in getattr(kind, "MODEL_TYPES", ())}
