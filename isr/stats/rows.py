"""From rows of edits to sums by image: codes, checks, weights; and the ``Interval`` that results."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from isr.errors import StatisticsError
from isr.stats.endpoints import FEW_PROMPTS
from isr.types import Floats, Ints

Prompts = Literal["fixed", "random"]
Estimand = Literal["edit-mean", "image-mean"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A value with its confidence interval. ``None`` where something does not exist; ``notes`` says why.

    ``method`` says what was done, ``n`` counts edits, ``clusters`` counts images. ``design_effect`` is the
    variance over that of ``n`` independent edits; ``n_effective = n / max(design_effect, 1)``.
    """

    value: float | None
    low: float | None
    high: float | None
    method: str
    n: int
    clusters: int
    design_effect: float | None
    n_effective: float | None
    notes: tuple[str, ...]


def codes(values: ArrayLike | Sequence[Any]) -> Ints:
    """Integer codes 0 .. G-1 of the distinct values, in sorted order, whatever the order of rows.

    Integers are fastest; strings are hashed, not sorted, row by row.
    """
    if isinstance(values, (list, tuple)) and values and type(values[0]) is str:
        return _codes_of_names(values)  # an array of strings would only be unpacked again
    array = np.asarray(values)
    if array.ndim != 1:
        raise StatisticsError(f"codes: expected one name per edit (1-d), found shape {array.shape}")
    if array.dtype.kind in "bui":
        array = array.astype(np.int64)
        if array.size and int(array.min()) >= 0 and int(array.max()) <= 4 * array.size:
            present = np.zeros(int(array.max()) + 1, dtype=bool)
            present[array] = True
            renamed: Ints = np.cumsum(present, dtype=np.int64) - 1
            return np.asarray(renamed[array], dtype=np.int64)
        return np.asarray(np.unique(array, return_inverse=True)[1], dtype=np.int64)
    if array.dtype.kind == "f":
        return np.asarray(np.unique(array, return_inverse=True)[1], dtype=np.int64)
    return _codes_of_names(array.tolist())


def _codes_of_names(names: Sequence[Any]) -> Ints:
    known: defaultdict[Any, int] = defaultdict(count().__next__)  # numbers names as they come, in one pass
    met = np.fromiter(map(known.__getitem__, names), dtype=np.int64, count=len(names))
    if not all(type(v) is str for v in known):
        return met
    rank = np.empty(len(known), dtype=np.int64)
    rank[np.fromiter(map(known.__getitem__, sorted(known)), dtype=np.int64, count=len(known))] = np.arange(
        len(known)
    )
    return np.asarray(rank[met], dtype=np.int64)


class Rows(NamedTuple):
    """Checked rows: values, image codes, prompt codes, weights (or None), in the caller's order."""

    y: Floats
    image: Ints
    prompt: Ints | None
    weight: Floats | None


def check_rows(
    where: str,
    y: ArrayLike,
    image: ArrayLike,
    prompt: ArrayLike | None,
    prompts: str,
    weights: ArrayLike | None,
) -> Rows:
    value = np.asarray(y)
    if value.ndim != 1 or value.dtype.kind not in "buif":
        raise StatisticsError(
            f"{where}: expected one number per edit (1-d), found {value.dtype} of shape {value.shape}"
        )
    value = value.astype(np.float64)
    image_codes = codes(image)
    prompt_codes = None if prompt is None else codes(prompt)
    weight = None if weights is None else np.asarray(weights, dtype=np.float64)
    for name, other in (("image", image_codes), ("prompt", prompt_codes), ("weights", weight)):
        if other is not None and other.shape != value.shape:
            raise StatisticsError(
                f"{where}: {name}: expected {value.size} entries, one per edit; found {other.shape}"
            )
    if prompts not in ("fixed", "random"):
        raise StatisticsError(f"{where}: prompts: expected 'fixed' or 'random', found {prompts!r}")
    if prompts == "random" and prompt_codes is None:
        raise StatisticsError(f"{where}: prompts='random' needs the prompt of each edit; give prompt=")
    if weight is not None and (not np.isfinite(weight).all() or (weight <= 0).any()):
        raise StatisticsError(
            f"{where}: weights: expected finite numbers above 0; drop the edits that weigh nothing"
        )
    return Rows(value, image_codes, prompt_codes, weight)


def estimand_weights(rows: Rows, estimand: str, where: str) -> Floats | None:
    """Row weights of the estimand: the caller's, normalised within each image for the image mean."""
    if estimand == "edit-mean":
        return rows.weight
    if estimand != "image-mean":
        raise StatisticsError(f"{where}: estimand: expected 'edit-mean' or 'image-mean', found {estimand!r}")
    base = np.ones(rows.y.size) if rows.weight is None else rows.weight
    out: Floats = base / np.bincount(rows.image, weights=base)[rows.image]
    return out


def in_canonical_order(rows: Rows) -> Rows:
    """Rows in an order that depends on their content alone, so that sums do not depend on the caller's."""
    keys = [
        rows.y,
        *([] if rows.weight is None else [rows.weight]),
        *([] if rows.prompt is None else [rows.prompt]),
    ]
    order = np.lexsort((*keys, rows.image))
    pick = [None if x is None else x[order] for x in (rows.prompt, rows.weight)]
    return Rows(rows.y[order], rows.image[order], pick[0], pick[1])  # type: ignore[arg-type]


def _sums(y: Floats, group: Ints, weight: Floats | None) -> tuple[Floats, Floats]:
    """(sums, sizes) per group, sorted by content so that later sums do not depend on names or order."""
    used = weight if weight is not None else np.ones(y.size)
    size: Floats = np.bincount(group, weights=used).astype(np.float64)
    total: Floats = np.bincount(group, weights=used * y).astype(np.float64)
    order = np.lexsort((size, total))
    return total[order], size[order]


def _cells(rows: Rows) -> Ints:
    assert rows.prompt is not None
    width = int(rows.prompt.max()) + 1
    return np.asarray(np.unique(rows.image * width + rows.prompt, return_inverse=True)[1], dtype=np.int64)


class Groupings(NamedTuple):
    """Sums and sizes by image and, where prompts are a sample, by prompt and by image x prompt."""

    image: tuple[Floats, Floats]
    prompt: tuple[Floats, Floats] | None
    cell: tuple[Floats, Floats] | None
    kish_n: float


def group_rows(rows: Rows, prompts: str, weight: Floats | None) -> Groupings:
    n = rows.y.size
    kish = float(n)
    if weight is not None:
        ordered = np.sort(weight)
        kish = float(ordered.sum() ** 2 / (ordered * ordered).sum())
    by_image = _sums(rows.y, rows.image, weight)
    if prompts == "fixed" or rows.prompt is None:
        return Groupings(by_image, None, None, kish)
    by_prompt = _sums(rows.y, rows.prompt, weight)
    return Groupings(by_image, by_prompt, _sums(rows.y, _cells(rows), weight), kish)


def describe(label: str, estimand: str, prompts: str) -> str:
    what = f"{label} on the mean of image means" if estimand == "image-mean" else label
    by = "image_id and prompt_id" if prompts == "random" else "image_id"
    return f"{what}, clustered by {by}, prompts {prompts}"


def missing_interval(value: float | None, text: str, n: int, clusters: int, *notes: str) -> Interval:
    return Interval(
        value=value,
        low=None,
        high=None,
        method=text,
        n=n,
        clusters=clusters,
        design_effect=None,
        n_effective=None,
        notes=notes,
    )


UNEQUAL = "images have very unequal numbers of edits"


def size_notes(sizes: Floats) -> tuple[str, ...]:
    """That images are worth fewer equal ones, where it is less than half of them."""
    kish = float(sizes.sum() ** 2 / (sizes * sizes).sum())
    if kish >= sizes.size / 2:
        return ()
    return (f"{UNEQUAL}: worth {kish:.1f} equal images out of {sizes.size}",)


def prompt_notes(images: int, prompts: int) -> tuple[str, ...]:
    if min(images, prompts) >= FEW_PROMPTS:
        return ()
    return (
        f"{prompts} prompts are few for a sample of prompts: {min(images, prompts) - 1} degrees of freedom",
    )
