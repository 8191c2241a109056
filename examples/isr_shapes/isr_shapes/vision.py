"""Reads painted scenes: two flat shapes on a textured background, before and after an edit.

Decides from pixels and the prompt alone. It knows how such scenes look (four kinds of shapes, six colours, four ways
to be degraded) and nothing else; what it cannot read it refuses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

KINDS = ("circle", "square", "triangle", "cross")
HUES = {"red": 0.0, "orange": 28.0, "yellow": 52.0, "green": 130.0, "blue": 220.0, "purple": 280.0}
SHAPE_CHROMA = {"red": 0.64, "orange": 0.80, "yellow": 0.75, "green": 0.38, "blue": 0.59, "purple": 0.41}
GROUND_CHROMA = {"red": 0.43, "orange": 0.46, "yellow": 0.44, "green": 0.31, "blue": 0.43, "purple": 0.35}
"""Largest minus smallest channel of an undegraded shape, and of a background, in each colour."""
AREA = {"circle": np.pi, "square": 1.76**2, "triangle": 3 * np.sqrt(3) * 0.65**2, "cross": 2.72 - 0.68**2}
"""Areas in squared radii."""
SQUARE, TRIANGLE, ARM = 0.88, 0.65, 0.34  # half a side, distance of a side, half an arm's width, in radii
TURNS = np.arange(-16.0, 17.0, 4.0)

STANDS_OUT = 0.09  # distance from the background's line of colours at which a pixel belongs to a shape
HUE_OFF = 17.0  # degrees from a named colour beyond which something has not (wholly) got that colour
DONE, HALF = 0.82, 0.30  # share of a change that is there: done above the first, traces above the second
DONE_IF_SPOILT = 0.45  # under heavy damage shares are measured less well, and halves cannot be told apart
SAME_KIND = 0.72  # overlap with the ideal shape below which something is none of the four kinds
NOISE, BLUR, BLOCKS, COLLAPSE = 0.065, 0.015, 0.47, 0.42
"""Damage beyond which it is substantial: standard deviation; Gaussian width as a share of the shorter side; weight of
the blocks; share of colour lost. Between the faint and the strong ones of the scenes' documented gaps."""
FLAT = 0.005  # standard deviation of an edit in which nothing can be made out; no painted one is below 0.03
CELLS = 20  # blocks along the shorter side

_PROMPTS: dict[str, re.Pattern[str]] = {
    "recolour": re.compile(rf"make the ({'|'.join(KINDS)}) ({'|'.join(HUES)})"),
    "replace": re.compile(rf"turn the ({'|'.join(KINDS)}) into an? ({'|'.join(KINDS)})"),
    "remove": re.compile(rf"remove the ({'|'.join(KINDS)})()"),
    "background": re.compile(rf"make the (background) ({'|'.join(HUES)})"),
}


class NotAShapesScene(ValueError):
    """The images are no scene of this kind, or the prompt none of the four that are known."""


@dataclass(frozen=True, slots=True)
class Semantic:
    """Whether the edit shows what was asked: verdict, score 0 to 4, how much of the rest was kept, and why."""

    verdict: str
    score: int
    source_kept: int
    reasoning: str


@dataclass(frozen=True, slots=True)
class Perceptual:
    """Whether the edit is substantially degraded: verdict, score 0 to 4, and what was seen."""

    verdict: str
    score: int
    reasoning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One shape of the source: kind, centre and radius in pixels, rotation in degrees, its share of each pixel."""

    kind: str
    x: float
    y: float
    radius: float
    turn: float
    cover: Array
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """How the edit is degraded, in the units of ``NOISE``, ``BLUR`` (pixels here), ``BLOCKS`` and ``COLLAPSE``."""

    noise: float
    sigma: float
    blocks: float
    cell: int
    shift: tuple[int, int]
    kept: float  # share of colour and contrast that is left
    side: int

    @property
    def kinds(self) -> dict[str, tuple[float, float]]:
        """What there is and from where on it is substantial."""
        return {
            "noise": (self.noise, NOISE),
            "blur": (self.sigma / self.side, BLUR),
            "blocks": (self.blocks, BLOCKS),
            "colour collapse": (1 - self.kept, COLLAPSE),
        }

    @property
    def substantial(self) -> list[str]:
        return [name for name, (amount, cut) in self.kinds.items() if amount > cut]


@dataclass(frozen=True, slots=True)
class Pair:
    """Source and edit as arrays (H, W, 3) in [0, 1], with what was found in the source."""

    source: Array
    edit: Array
    shapes: tuple[Found, Found]
    ground: Mask
    ground_name: str


def look(prompt: str, source: Image.Image, edit: Image.Image) -> Semantic:
    """Whether ``edit`` shows what ``prompt`` asks of ``source``. Raises ``NotAShapesScene``."""
    task, thing, goal = _read_prompt(prompt)
    pair, damage = _read(source, edit)
    if float(pair.edit.std(axis=(0, 1)).max()) < FLAT:
        return Semantic("fails", 0, 0, "Edit: one flat colour; nothing can be made out.")
    if task == "background":
        share, seen = _ground_share(pair, goal, damage)
        target = None
    else:
        target = next((s for s in pair.shapes if s.kind == thing), None)
        if target is None:
            raise NotAShapesScene(f"the source shows no {thing}")
        measure = {"recolour": _recolour_share, "replace": _replace_share, "remove": _remove_share}[task]
        share, seen = measure(pair, target, goal, damage)
    done = share > (DONE_IF_SPOILT if damage.substantial else DONE)
    score = (4 if share > 0.9 else 3) if done else (1 if share > HALF else 0)
    words = "; ".join(f"{s.name} {s.kind}" for s in pair.shapes)
    reasoning = (
        f"Source: {words}; {pair.ground_name} background. Edit: {seen}; {share:.0%} of the change is there."
    )
    return Semantic("fine" if done else "fails", score, _kept(pair, target, task, damage), reasoning[:300])


def degradation(source: Image.Image, edit: Image.Image) -> Perceptual:
    """Whether ``edit`` is substantially degraded beside ``source``. Raises ``NotAShapesScene``."""
    _, damage = _read(source, edit)
    said = ", ".join(
        f"{name} {amount:.3f} (substantial above {cut:g})" for name, (amount, cut) in damage.kinds.items()
    )
    worst = max(amount / cut for amount, cut in damage.kinds.values())
    score = 0 if worst > 1.6 else 1 if worst > 1 else 3 if worst > 0.3 else 4
    return Perceptual("fails" if worst > 1 else "fine", score, f"Beside the source: {said}."[:300])


def _read_prompt(prompt: str) -> tuple[str, str, str]:
    words = " ".join(prompt.lower().split()).rstrip(".")
    for task, pattern in _PROMPTS.items():
        if found := pattern.fullmatch(words):
            return task, found[1], found[2]
    raise NotAShapesScene(f"no prompt that is known: {prompt[:60]!r}")


# --------------------------------------------------------------------------- colours


def _chroma(rgb: Array) -> tuple[Array, Array]:
    """Coordinates in the plane of colours without grey; mixing with a grey only shortens the vector."""
    r, g, b = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    return r - 0.5 * (g + b), np.sqrt(0.75) * (g - b)


def _hue(rgb: Array) -> float:
    a, b = _chroma(rgb)
    return float(np.degrees(np.arctan2(b, a))) % 360


def _saturation(rgb: Array) -> float:
    a, b = _chroma(rgb)
    return float(np.hypot(a, b))


def _apart(a: float, b: float) -> float:
    gap = abs(a - b) % 360
    return min(gap, 360 - gap)


def _colour_name(rgb: Array) -> str:
    if _saturation(rgb) < 0.06:
        return "grey" if float(rgb.mean()) < 0.78 else "white"
    return min(HUES, key=lambda name: _apart(HUES[name], _hue(rgb)))


def _expected(name: str, chroma: dict[str, float]) -> float:
    """Length of the undegraded colour's vector: between the largest-minus-smallest and a little less."""
    turn = np.radians(HUES[name] % 60)
    mixed = np.tan(turn) / (np.tan(turn) * 0.5 + np.sqrt(0.75)) if turn else 0.0
    return float(chroma[name] * np.sqrt(1 - mixed + mixed * mixed))


# --------------------------------------------------------------------------- shapes


def _inside(kind: str, u: Array, v: Array, r: float) -> Array:
    """Signed distance to the border, positive inside."""
    if kind == "circle":
        return np.asarray(r - np.hypot(u, v))
    if kind == "square":
        return np.asarray(SQUARE * r - np.maximum(np.abs(u), np.abs(v)))
    if kind == "triangle":
        sides = [np.sin(a) * u + np.cos(a) * v for a in (0.0, 2 * np.pi / 3, -2 * np.pi / 3)]
        return np.asarray(TRIANGLE * r - np.maximum(np.maximum(sides[0], sides[1]), sides[2]))
    x, y = np.abs(u), np.abs(v)
    return np.asarray(np.maximum(np.minimum(r - x, ARM * r - y), np.minimum(ARM * r - x, r - y)))


def _draw(kind: str, x: float, y: float, r: float, turn: float, shape: tuple[int, int]) -> Array:
    """Share of each pixel that a shape covers; the image is (H, W)."""
    out = np.zeros(shape)
    reach = int(1.45 * r) + 3
    top, left = max(0, int(y) - reach), max(0, int(x) - reach)
    bottom, right = min(shape[0], int(y) + reach + 1), min(shape[1], int(x) + reach + 1)
    ys, xs = np.mgrid[top:bottom, left:right] + 0.5
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    dx, dy = xs - x, ys - y
    out[top:bottom, left:right] = np.clip(_inside(kind, c * dx + s * dy, c * dy - s * dx, r) + 0.5, 0, 1)
    return out


def _read(source: Image.Image, edit: Image.Image) -> tuple[Pair, Damage]:
    if source.size != edit.size:
        raise NotAShapesScene(f"sizes differ: {source.size} and {edit.size}")
    if min(source.size) < 48:
        raise NotAShapesScene(f"too small: {source.size}")
    return _understood(source.size, source.convert("RGB").tobytes(), edit.convert("RGB").tobytes())


@lru_cache(maxsize=16)
def _understood(size: tuple[int, int], source: bytes, edit: bytes) -> tuple[Pair, Damage]:
    """Both questions about an edit begin with the same look at it."""
    pair = Pair(_array(size, source), _array(size, edit), *_segment(size, source))
    return pair, _damage(pair)


def _array(size: tuple[int, int], pixels: bytes) -> Array:
    return np.asarray(np.frombuffer(pixels, np.uint8).reshape(size[1], size[0], 3) / 255.0)


@lru_cache(maxsize=64)
def _segment(size: tuple[int, int], pixels: bytes) -> tuple[tuple[Found, Found], Mask, str]:
    """The two shapes of a source, the pixels that are surely background, and the background's colour."""
    from scipy import ndimage

    image = _array(size, pixels)
    side = min(size)
    rim = max(2, side // 40)
    frame = np.ones(image.shape[:2], np.bool_)
    frame[rim:-rim, rim:-rim] = False
    colour = np.median(image[frame], axis=0)
    line = colour / np.linalg.norm(colour)
    away = np.linalg.norm(image - (image @ line)[..., None] * line, axis=-1)
    smooth = ndimage.uniform_filter(away, 3)
    labels, count = ndimage.label(smooth > STANDS_OUT)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    big = [int(i) + 1 for i in np.argsort(sizes)[::-1] if sizes[i] > 0.02 * side * side]
    if len(big) != 2:
        raise NotAShapesScene(f"{len(big)} shapes on a background where two are expected")
    shapes = []
    for label in big:
        near = ndimage.binary_dilation(labels == label, iterations=2)
        level = float(np.percentile(away[labels == label], 80))
        shapes.append(_classify(np.where(near, np.clip(away / level, 0, 1), 0.0), image))
    covered = shapes[0].cover + shapes[1].cover
    ground = ~ndimage.binary_dilation(covered > 0.02, iterations=max(2, side // 32))
    first, second = shapes
    return (first, second), ground, _colour_name(image[ground].mean(axis=0))


def _classify(cover: Array, image: Array) -> Found:
    total = float(cover.sum())
    ys, xs = np.mgrid[0 : cover.shape[0], 0 : cover.shape[1]] + 0.5
    x, y = float((cover * xs).sum() / total), float((cover * ys).sum() / total)
    best: tuple[float, Found] | None = None
    for kind in KINDS:
        r = float(np.sqrt(total / AREA[kind]))
        for turn in TURNS if kind != "circle" else TURNS[:1]:
            ideal = _draw(kind, x, y, r, turn, cover.shape)
            overlap = float(np.minimum(ideal, cover).sum() / np.maximum(ideal, cover).sum())
            if best is None or overlap > best[0]:
                best = (overlap, Found(kind=kind, x=x, y=y, radius=r, turn=float(turn), cover=ideal, name=""))
    assert best is not None
    if best[0] < SAME_KIND:
        raise NotAShapesScene("a shape that is none of the four kinds")
    f = best[1]
    colour = _weighted(image, f.cover > 0.9)
    return Found(
        kind=f.kind, x=f.x, y=f.y, radius=f.radius, turn=f.turn, cover=f.cover, name=_colour_name(colour)
    )


def _weighted(image: Array, where: Array | Mask) -> Array:
    """Mean colour under a weight."""
    w = np.asarray(where, np.float64)
    return np.asarray((image * w[..., None]).sum(axis=(0, 1)) / max(float(w.sum()), 1e-9))


# --------------------------------------------------------------------------- damage


def _damage(pair: Pair) -> Damage:
    side = min(pair.edit.shape[:2])
    noise = _noise(pair)
    cell = max(3, round(side / CELLS))
    weight, shift = _blocks(pair, cell) if noise < NOISE else (0.0, (0, 0))
    kept = _colour_kept(pair)
    sigma = _blur(pair, kept) if noise < NOISE and weight < BLOCKS else 0.0
    return Damage(
        noise=noise, sigma=sigma, blocks=weight, cell=cell, shift=shift, kept=min(kept, 1.0), side=side
    )


def _noise(pair: Pair) -> float:
    """Standard deviation of pixel noise that the edit has and the source has not (Immerkaer, 1996)."""
    levels = []
    for region in (pair.ground, *(s.cover > 0.99 for s in pair.shapes)):
        if region.sum() > 60:
            spread = [_rough(image, region) for image in (pair.edit, pair.source)]
            levels.append(np.sqrt(np.maximum(spread[0] ** 2 - spread[1] ** 2, 0)))
    return max((float(np.median(x)) for x in levels), default=0.0)


def _rough(image: Array, region: Mask) -> Array:
    """Noise level of each channel, from second differences in both directions."""
    d = image[1:-1, 1:-1]
    lap = 4 * d - 2 * (image[:-2, 1:-1] + image[2:, 1:-1] + image[1:-1, :-2] + image[1:-1, 2:])
    lap = lap + image[:-2, :-2] + image[:-2, 2:] + image[2:, :-2] + image[2:, 2:]
    inner = lap[region[1:-1, 1:-1]]
    return np.asarray(np.median(np.abs(inner), axis=0) / 0.6745 / 6)


def _mosaic(image: Array, cell: int, shift: tuple[int, int]) -> Array:
    height, width = image.shape[:2]
    rows, cols = (np.arange(height) + shift[0]) // cell, (np.arange(width) + shift[1]) // cell
    row_starts = np.flatnonzero(np.diff(rows, prepend=-1))
    col_starts = np.flatnonzero(np.diff(cols, prepend=-1))
    sums = np.add.reduceat(np.add.reduceat(image, row_starts, axis=0), col_starts, axis=1)
    n_rows = np.diff(np.append(row_starts, height))[:, None]
    n_cols = np.diff(np.append(col_starts, width))[None, :]
    count = (n_rows * n_cols).astype(np.float64)
    means = sums / (count[..., None] if image.ndim == 3 else count)
    return np.asarray(means[rows - rows[0]][:, cols - cols[0]])


def _blocks(pair: Pair, cell: int) -> tuple[float, tuple[int, int]]:
    """Weight of blocks of this size, and their offset: their own mosaic leaves less of a mixture than others do."""
    shifts = [(i, j) for i in range(cell) for j in range(cell)]
    axis = _main_axis(pair.edit)
    near = ~pair.ground  # where shapes have their borders; a checked background may fit the blocks by chance
    left, before = (
        [_unlike_mosaic(i @ axis, near, cell, s) for s in shifts] for i in (pair.edit, pair.source)
    )
    best = int(np.argmin(left))
    others = [k for k, s in enumerate(shifts) if s[0] != shifts[best][0] and s[1] != shifts[best][1]]
    usual = float(np.median([left[k] for k in others]))
    own = before[best] / max(float(np.median([before[k] for k in others])), 1e-4)  # checks that happen to fit
    if usual < 1e-4:
        return 0.0, (0, 0)
    return max(0.0, 1 - left[best] / usual / min(own, 1.0)), shifts[best]


def _main_axis(image: Array) -> Array:
    """The direction in which the image's colours differ most."""
    flat = image.reshape(-1, 3) - image.mean(axis=(0, 1))
    return np.asarray(np.linalg.eigh(flat.T @ flat)[1][:, -1])


def _unlike_mosaic(image: Array, where: Mask, cell: int, shift: tuple[int, int]) -> float:
    return float(np.sqrt(((image - _mosaic(image, cell, shift))[where] ** 2).mean()))


def _colour_kept(pair: Pair) -> float:
    """Share of colour that the most colourful thing of the edit still has, by what its hue has undamaged."""
    shares = []
    for shape in pair.shapes:
        colour = _weighted(pair.edit, _core(shape))
        name = _colour_name(colour)
        if name in HUES and _apart(_hue(colour), HUES[name]) < 25:
            ground = _weighted(pair.edit, pair.ground)
            same = float(np.abs(colour - ground).max()) < 0.05  # removed: it is the background that shows
            table = GROUND_CHROMA if same else SHAPE_CHROMA
            shares.append(_saturation(colour) / _expected(name, table))
        elif name in HUES:
            shares.append(_saturation(colour) / _expected(name, SHAPE_CHROMA))
    colour = _weighted(pair.edit, pair.ground)
    name = _colour_name(colour)
    if name in HUES:
        shares.append(_saturation(colour) / _expected(name, GROUND_CHROMA))
    for shape in pair.shapes:  # contrast to the background, where the thing kept its hue
        before = _weighted(pair.source, _core(shape)) - _weighted(pair.source, pair.ground)
        after = _weighted(pair.edit, _core(shape)) - _weighted(pair.edit, pair.ground)
        along = float(after @ before) / float(before @ before)
        if np.linalg.norm(after - along * before) < 0.2 * np.linalg.norm(before):
            shares.append(along)
    return float(max(shares, default=0.0))


def _core(shape: Found) -> Mask:
    """The pixels of a shape that lie deepest in it."""
    from scipy import ndimage

    depth = ndimage.distance_transform_edt(shape.cover > 0.5)
    return np.asarray(depth >= 0.6 * depth.max())


def _blur(pair: Pair, kept: float) -> float:
    """Width of the Gaussian that best explains the sharpest border between a shape and the background."""
    from scipy import ndimage

    widths = []
    for shape in pair.shapes:
        window = ndimage.binary_dilation(
            shape.cover > 0.02, iterations=max(4, min(pair.edit.shape[:2]) // 12)
        )
        ground = _weighted(pair.edit, pair.ground)
        colour = _weighted(pair.edit, _core(shape))
        step = colour - ground
        size = float(np.linalg.norm(step))
        if size < 0.12 * max(kept, 0.15):
            continue
        u = (pair.edit - ground) @ step / size**2
        rise = ndimage.gaussian_gradient_magnitude(u, 0.7)
        top = float(np.percentile(rise[window], 97))
        widths.append(np.sqrt(max((1 / (np.sqrt(2 * np.pi) * max(top, 1e-6))) ** 2 - 0.7**2 - 0.35**2, 0.0)))
    return float(min(widths, default=0.0))


def _as_damaged(cover: Array, damage: Damage) -> Array:
    """A cover as the damage would leave it."""
    from scipy import ndimage

    if damage.sigma > 0.3:
        cover = ndimage.gaussian_filter(cover, damage.sigma)
    if damage.blocks > 0.1:
        w = min(damage.blocks, 1.0)
        cover = (1 - w) * cover + w * _mosaic(cover, damage.cell, damage.shift)
    return cover


# --------------------------------------------------------------------------- what was asked


def _colour_share(colour: Array, before: Array, goal: str, chroma: dict[str, float], kept: float) -> float:
    """How far a colour is on its way to the named one: by hue, and by strength where the hue cannot tell."""
    off = _apart(_hue(colour), HUES[goal])
    strength = _saturation(colour) / (_expected(goal, chroma) * max(kept, 0.1))
    if off > 2.5 * HUE_OFF or strength < 0.25:
        return max(0.0, 0.3 - off / 600)
    by_hue = 1.0 if off <= HUE_OFF else max(0.0, 1 - (off - HUE_OFF) / HUE_OFF)
    if _saturation(before) > 0.06:
        gap = _apart(_hue(before), HUES[goal])
        by_strength = 1.0 if gap < 100 else min(1.0, strength / 0.85)
    else:
        by_strength = min(1.0, strength / 0.93)
    return float(min(by_hue, by_strength))


def _ground_share(pair: Pair, goal: str, damage: Damage) -> tuple[float, str]:
    colour = _weighted(pair.edit, pair.ground)
    before = _weighted(pair.source, pair.ground)
    kept = _shape_contrast_kept(pair, damage)
    share = _colour_share(colour, before, goal, GROUND_CHROMA, kept)
    goal_pixels = _near_goal(pair.edit, pair.ground, goal, GROUND_CHROMA, kept, damage)
    if not damage.substantial:
        share = min(share, goal_pixels)
    return share, f"the background is {_colour_name(colour)}"


def _near_goal(
    image: Array, where: Mask, goal: str, chroma: dict[str, float], kept: float, damage: Damage
) -> float:
    """Share of the pixels there whose smoothed colour is as good as the goal's."""
    from scipy import ndimage

    width = 5 if damage.noise > 0.015 else 3
    smooth = ndimage.uniform_filter(image, (width, width, 1))
    a, b = _chroma(smooth[where])
    turn = np.radians(HUES[goal])
    length = _expected(goal, chroma) * max(kept, 0.1)
    return float(
        (
            np.hypot(a - length * np.cos(turn), b - length * np.sin(turn))
            < (0.32 + 2 * damage.noise) * length
        ).mean()
    )


def _shape_contrast_kept(pair: Pair, damage: Damage) -> float:
    """Colour that the shapes kept, the larger: they are not what a prompt about the background changes."""
    kept = []
    for shape in pair.shapes:
        before, after = (_saturation(_weighted(i, _core(shape))) for i in (pair.source, pair.edit))
        kept.append(after / max(before, 1e-6))
    return float(np.clip(max(kept), 0.05, 1.05))


def _recolour_share(pair: Pair, target: Found, goal: str, damage: Damage) -> tuple[float, str]:
    cover = _as_damaged(target.cover, damage)
    ground = _weighted(pair.edit, pair.ground)
    where = target.cover > 0.6
    mean = _weighted(pair.edit, where)
    part = float(cover[where].mean())
    colour = ground + (mean - ground) / max(part, 0.3)
    before = _weighted(pair.source, _core(target))
    kept = damage.kept
    share = _colour_share(colour, before, goal, SHAPE_CHROMA, kept)
    if not damage.substantial:
        inner = target.cover > 0.99
        share = min(
            share,
            _near_goal(pair.edit, inner if inner.sum() > 20 else where, goal, SHAPE_CHROMA, kept, damage)
            + 0.1,
        )
    return share, f"the {target.kind} is {_colour_name(colour)}"


def _presence(pair: Pair, target: Found) -> Array:
    """How much of the target's colour each pixel of the edit has beyond the background's, in parts of the source's."""
    inside = target.cover > 0.9
    other = next(s for s in pair.shapes if s is not target)
    clear = pair.ground & (other.cover < 0.01)
    ratio = _weighted(pair.edit, clear) / np.maximum(_weighted(pair.source, clear), 1e-3)
    ground = _filled(pair, target) * ratio
    step = _weighted(pair.source, inside) - _weighted(_filled(pair, target), inside)
    return np.asarray((pair.edit - ground) @ step / float(step @ step))


def _filled(pair: Pair, target: Found) -> Array:
    """The source's background under the target too: a plane fitted to the background's brightness."""
    ys, xs = np.mgrid[0 : pair.source.shape[0], 0 : pair.source.shape[1]]
    x, y = xs / pair.source.shape[1] - 0.5, ys / pair.source.shape[0] - 0.5
    basis = np.stack([np.ones_like(x), x, y, x * x, y * y], axis=-1)
    flat, values = basis[pair.ground], pair.source[pair.ground]
    fit, *_ = np.linalg.lstsq(flat, values, rcond=None)
    return np.asarray(basis @ fit)


def _stray(pair: Pair, target: Found) -> float:
    """How far the target's place is from the background's colour in any direction, in parts of the source's contrast."""
    filled = _filled(pair, target)
    inside = target.cover > 0.9
    ratio = _weighted(pair.edit, pair.ground) / np.maximum(_weighted(pair.source, pair.ground), 1e-3)
    step = _weighted(pair.source, inside) - _weighted(filled, inside)
    now = _weighted(pair.edit, inside) - _weighted(filled, inside) * ratio
    return float(np.linalg.norm(now) / np.linalg.norm(step))


def _remove_share(pair: Pair, target: Found, goal: str, damage: Damage) -> tuple[float, str]:
    left = _stray(pair, target) / max(damage.kept, 0.1)
    share = float(np.clip(1 - left, 0, 1))
    return share, f"the {target.kind} is " + (
        "gone" if share > DONE else "there in part" if share > HALF else "there"
    )


def _replace_share(pair: Pair, target: Found, goal: str, damage: Damage) -> tuple[float, str]:
    presence = _presence(pair, target) / max(damage.kept, 0.1)
    window = _draw("circle", target.x, target.y, 1.45 * target.radius, 0, presence.shape) > 0.5
    kind, cover = _best_kind(presence, window, target, damage)
    ideal, old = _as_damaged(cover, damage), _as_damaged(target.cover, damage)
    gained, lost = np.clip(ideal - old, 0, 1) * window, np.clip(old - ideal, 0, 1) * window
    if kind != goal:
        goal_cover = _as_damaged(_fit(presence, window, target, goal, damage)[1], damage)
        gained, lost = np.clip(goal_cover - old, 0, 1) * window, np.clip(old - goal_cover, 0, 1) * window
    weight = float((gained**2).sum() + (lost**2).sum())
    change = float((gained * (presence - old)).sum() + (lost * (old - presence)).sum())
    share = float(np.clip(change / max(weight, 1e-6), 0, 1))
    if kind != goal:
        share = min(share, DONE_IF_SPOILT - 0.05)
    return share, f"in its place a {kind}"


def _best_kind(presence: Array, window: Mask, target: Found, damage: Damage) -> tuple[str, Array]:
    fits = {kind: _fit(presence, window, target, kind, damage) for kind in KINDS}
    kind = min(fits, key=lambda k: fits[k][0])
    return kind, fits[kind][1]


def _fit(presence: Array, window: Mask, target: Found, kind: str, damage: Damage) -> tuple[float, Array]:
    """Squared error and cover of the best rotation of a kind at the target's place."""
    turns = (target.turn,) if kind == target.kind else TURNS[:1] if kind == "circle" else TURNS
    best = (np.inf, target.cover)
    for turn in turns:
        cover = _draw(kind, target.x, target.y, target.radius, float(turn), presence.shape)
        error = float(((presence - _as_damaged(cover, damage))[window] ** 2).mean())
        if error < best[0]:
            best = (error, cover)
    return best


def _kept(pair: Pair, target: Found | None, task: str, damage: Damage) -> int:
    """How much of what was not asked about is as it was, 0 to 4."""
    changes = []
    for shape in pair.shapes:
        if shape is not target:
            changes.append(_change(pair, _core(shape), damage.kept))
    if task != "background":
        changes.append(_change(pair, pair.ground, damage.kept))
    worst = max(changes, default=0.0)
    return 4 if worst < 0.12 else 3 if worst < 0.2 else 2 if worst < 0.5 else 1


def _change(pair: Pair, where: Mask, kept: float) -> float:
    before, after = (np.array(_chroma(_weighted(i, where))) for i in (pair.source, pair.edit))
    return float(np.linalg.norm(after - before * min(kept, 1.0)))
