"""Small scenes of two shapes on a textured background: what they are and how they are drawn.

Everything is numpy on float64 images (H, W, 3) in [0, 1]; randomness comes in as a ``numpy.random.Generator``.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Rgb = tuple[float, float, float]

KINDS = ("circle", "square", "triangle", "cross")
HUES = {"red": 0.0, "orange": 28.0, "yellow": 52.0, "green": 130.0, "blue": 220.0, "purple": 280.0}
"""Degrees on the colour wheel of every colour that a prompt can name."""
INK = {
    "red": (0.80, 0.80),
    "orange": (0.86, 0.93),
    "yellow": (0.82, 0.92),
    "green": (0.66, 0.58),
    "blue": (0.74, 0.80),
    "purple": (0.62, 0.66),
}
"""Saturation and value of a shape in each colour; a background is paler by ``PALE``."""
NEUTRALS = {"white": 0.93, "grey": 0.62}
"""Backgrounds without a hue, as their value; no prompt asks for one."""
PALE = 0.62
BACKGROUND_VALUE = 0.86
MIN_HUE_GAP = 50.0
"""Degrees between the hues of things that touch."""
MIN_CHANGE = 60.0
"""Degrees between a thing's hue and the hue that a prompt asks for, so that 'half way' is neither."""

SIZES = (64, 80, 88, 96, 104, 112, 128, 192, 256)
SIZE_WEIGHTS = (0.08, 0.08, 0.08, 0.28, 0.16, 0.12, 0.14, 0.04, 0.02)
ASPECTS = (1.0, 1.0, 1.0, 4 / 3, 3 / 4)
TEXTURES = ("clouds", "weave", "stripes")
JITTER_TEXTURES = (*TEXTURES, "checks", "speckle")
REACH = {"circle": 1.0, "square": 1.25, "triangle": 1.3, "cross": 1.08}
"""Distance of a shape's farthest point from its centre, in radii."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How far the drawn values may vary."""

    hue: float
    ink: float
    radius: tuple[float, float]
    rotation: float
    texture: tuple[float, float]
    shading: tuple[float, float]
    textures: tuple[str, ...]
    odd_sizes: bool


TUNING = Spread(
    hue=3.0,
    ink=0.03,
    radius=(0.15, 0.20),
    rotation=9.0,
    texture=(0.02, 0.05),
    shading=(0.04, 0.12),
    textures=TEXTURES,
    odd_sizes=False,
)
"""The range that the bundled directory is drawn from."""
JITTERED = Spread(
    hue=7.0,
    ink=0.07,
    radius=(0.135, 0.215),
    rotation=14.0,
    texture=(0.015, 0.075),
    shading=(0.02, 0.18),
    textures=JITTER_TEXTURES,
    odd_sizes=True,
)
"""A wider range, with two textures more, on which a judge of these scenes is measured."""


@dataclass(frozen=True, slots=True)
class Paint:
    """A colour name and the values that it was drawn with."""

    name: str
    rgb: Rgb


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One shape; lengths in pixels, the rotation in degrees."""

    kind: str
    paint: Paint
    x: float
    y: float
    radius: float
    rotation: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The background: a colour under a texture and a shading."""

    paint: Paint
    texture: str
    amplitude: float
    period: float
    shading: float
    angle: float
    texture_seed: int


@dataclass(frozen=True, slots=True)
class Scene:
    """Two shapes (fewer after a removal; ``None`` keeps the place) on a background."""

    width: int
    height: int
    ground: Ground
    shapes: tuple[Shape | None, Shape | None]

    @property
    def side(self) -> int:
        """The shorter side, in pixels."""
        return min(self.width, self.height)

    def shape(self, index: int) -> Shape:
        """The shape at a place that has one."""
        shape = self.shapes[index]
        if shape is None:
            raise ValueError(f"shape {index} was removed")
        return shape

    def with_shape(self, index: int, shape: Shape | None) -> Scene:
        """The same scene with another shape, or none, at one place."""
        first, second = self.shapes
        return replace(self, shapes=(shape, second) if index == 0 else (first, shape))

    def with_ground(self, paint: Paint) -> Scene:
        """The same scene with another background colour under the same texture."""
        return replace(self, ground=replace(self.ground, paint=paint))


def hue_gap(a: str, b: str) -> float:
    """Degrees between two colour names; 180 where one of them has no hue."""
    if a not in HUES or b not in HUES:
        return 180.0
    gap = abs(HUES[a] - HUES[b]) % 360.0
    return min(gap, 360.0 - gap)


def uniform(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    """A uniform draw between two bounds."""
    low, high = bounds
    return low + (high - low) * float(rng.random())


def pick(rng: np.random.Generator, items: Sequence[str]) -> str:
    """One of the items, each as likely."""
    return items[int(rng.integers(len(items)))]


def mix_paint(rng: np.random.Generator, name: str, spread: Spread, *, pale: bool = False) -> Paint:
    """A colour near the named one; ``pale`` for a background."""
    lift = 1.0 + spread.ink * (2 * rng.random(2) - 1)
    turn = spread.hue * (2 * float(rng.random()) - 1)
    if name in NEUTRALS:
        value = min(1.0, NEUTRALS[name] * float(lift[1]))
        return Paint(name, (value, value, value))
    saturation, value = INK[name]
    if pale:
        saturation, value = saturation * PALE, BACKGROUND_VALUE
    saturation, value = min(1.0, saturation * float(lift[0])), min(1.0, value * float(lift[1]))
    return Paint(name, colorsys.hsv_to_rgb(((HUES[name] + turn) % 360.0) / 360.0, saturation, value))


def _canvas(rng: np.random.Generator, spread: Spread) -> tuple[int, int]:
    """Width and height in pixels, both between 64 and 256."""
    side = int(rng.choice(SIZES, p=SIZE_WEIGHTS))
    if spread.odd_sizes:
        side = min(256, side + int(rng.integers(0, 13)))
    aspect = ASPECTS[int(rng.integers(len(ASPECTS)))]
    if side in (64, 256) or aspect == 1.0:
        return side, side
    other = max(64, round(side / max(aspect, 1 / aspect)))
    return (side, other) if aspect > 1 else (other, side)


def _places(
    rng: np.random.Generator, width: int, height: int, kinds: Sequence[str], spread: Spread
) -> list[tuple[float, float, float]]:
    """x, y and radius of two shapes that keep apart and inside; any kind may later take either place."""
    side = min(width, height)
    widest = max(REACH.values())
    while True:
        places: list[tuple[float, float, float]] = []
        for _ in kinds:
            radius = side * uniform(rng, spread.radius)
            pad = widest * radius + 0.03 * side
            places.append((uniform(rng, (pad, width - pad)), uniform(rng, (pad, height - pad)), radius))
        (ax, ay, ar), (bx, by, br) = places
        if float(np.hypot(ax - bx, ay - by)) > widest * (ar + br) + 0.05 * side:
            return places


def draw_scene(rng: np.random.Generator, spread: Spread, size: int | None = None) -> Scene:
    """A scene of two shapes of different kinds and colours, each standing out from the background.

    ``size``: of a square canvas in pixels; without it the canvas is drawn too.
    """
    width, height = _canvas(rng, spread) if size is None else (size, size)
    side = min(width, height)
    kinds = [str(k) for k in rng.permutation(KINDS)[:2]]
    ground_name = pick(rng, (*HUES, *NEUTRALS, *NEUTRALS))
    usable = [name for name in HUES if hue_gap(name, ground_name) >= MIN_HUE_GAP]
    inks = [str(n) for n in rng.permutation(usable)[:2]]
    shapes = [
        Shape(
            kind=kind,
            paint=mix_paint(rng, ink, spread),
            x=x,
            y=y,
            radius=r,
            rotation=uniform(rng, (-spread.rotation, spread.rotation)),
        )
        for kind, ink, (x, y, r) in zip(kinds, inks, _places(rng, width, height, kinds, spread), strict=True)
    ]
    ground = Ground(
        paint=mix_paint(rng, ground_name, spread, pale=True),
        texture=pick(rng, spread.textures),
        amplitude=uniform(rng, spread.texture),
        period=side * uniform(rng, (0.05, 0.11)),
        shading=uniform(rng, spread.shading),
        angle=uniform(rng, (0.0, 2 * np.pi)),
        texture_seed=int(rng.integers(2**31)),
    )
    return Scene(width, height, ground, (shapes[0], shapes[1]))


def _grid(width: int, height: int) -> tuple[Array, Array]:
    """x and y of the pixel centres."""
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float64) + 0.5
    return xs, ys


def coverage(shape: Shape, width: int, height: int) -> Array:
    """The share of each pixel that the shape covers: its signed distance, clipped to one pixel's width."""
    xs, ys = _grid(width, height)
    turn = np.deg2rad(shape.rotation)
    dx, dy = xs - shape.x, ys - shape.y
    u = np.cos(turn) * dx + np.sin(turn) * dy
    v = -np.sin(turn) * dx + np.cos(turn) * dy
    return np.clip(_INSIDE[shape.kind](u, v, shape.radius) + 0.5, 0.0, 1.0)


def _circle(u: Array, v: Array, r: float) -> Array:
    return r - np.hypot(u, v)


def _square(u: Array, v: Array, r: float) -> Array:
    return 0.88 * r - np.maximum(np.abs(u), np.abs(v))


def _triangle(u: Array, v: Array, r: float) -> Array:
    sides = [np.sin(a) * u + np.cos(a) * v for a in (0.0, 2 * np.pi / 3, -2 * np.pi / 3)]
    return 0.65 * r - np.maximum(np.maximum(sides[0], sides[1]), sides[2])


def _cross(u: Array, v: Array, r: float) -> Array:
    along, across = np.abs(u), np.abs(v)
    arm = 0.34 * r
    return np.maximum(np.minimum(r - along, arm - across), np.minimum(arm - along, r - across))


_INSIDE: dict[str, Callable[[Array, Array, float], Array]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "cross": _cross,
}


def smooth_noise(rng: np.random.Generator, height: int, width: int, cell: float) -> Array:
    """Noise in [-1, 1] without detail finer than ``cell`` pixels."""
    rows, cols = int(height / cell) + 3, int(width / cell) + 3
    knots = 2 * rng.random((rows, cols)) - 1
    ys, xs = np.arange(height) / cell, np.arange(width) / cell
    y0, x0 = ys.astype(np.int64), xs.astype(np.int64)
    fy, fx = (ys - y0)[:, None], (xs - x0)[None, :]
    fy, fx = fy * fy * (3 - 2 * fy), fx * fx * (3 - 2 * fx)
    top = knots[np.ix_(y0, x0)] * (1 - fx) + knots[np.ix_(y0, x0 + 1)] * fx
    low = knots[np.ix_(y0 + 1, x0)] * (1 - fx) + knots[np.ix_(y0 + 1, x0 + 1)] * fx
    return np.asarray(top * (1 - fy) + low * fy)


def _texture(ground: Ground, width: int, height: int) -> Array:
    """The texture in about [-1, 1]."""
    rng = np.random.default_rng(ground.texture_seed)
    xs, ys = _grid(width, height)
    wave = 2 * np.pi / ground.period
    u = np.cos(ground.angle) * xs + np.sin(ground.angle) * ys
    v = -np.sin(ground.angle) * xs + np.cos(ground.angle) * ys
    if ground.texture == "weave":
        return np.asarray(np.sin(wave * u) * np.sin(wave * v))
    if ground.texture == "stripes":
        bend = smooth_noise(rng, height, width, 5 * ground.period)
        return np.asarray(np.sin(wave * u + 2.5 * bend))
    if ground.texture == "checks":
        return np.asarray(np.clip(4 * np.sin(wave * xs / 2) * np.sin(wave * ys / 2), -1, 1))
    if ground.texture == "speckle":
        return np.asarray(
            0.6 * smooth_noise(rng, height, width, 1.5) + 0.4 * smooth_noise(rng, height, width, 4)
        )
    coarse = smooth_noise(rng, height, width, 2.5 * ground.period)
    return np.asarray(0.65 * coarse + 0.35 * smooth_noise(rng, height, width, ground.period))


def _light(ground: Ground, width: int, height: int) -> Array:
    """Shading in about [-1, 1]: a slope across the image and darker corners."""
    xs, ys = _grid(width, height)
    x, y = 2 * xs / width - 1, 2 * ys / height - 1
    slope = np.cos(ground.angle) * x + np.sin(ground.angle) * y
    return np.asarray(0.7 * slope - 0.3 * (x * x + y * y))


def render(scene: Scene) -> Array:
    """The scene as an image (H, W, 3) in [0, 1]."""
    width, height = scene.width, scene.height
    light = _light(scene.ground, width, height)
    texture = _texture(scene.ground, width, height)
    tone = 1.0 + scene.ground.shading * light + scene.ground.amplitude * texture
    image = tone[..., None] * np.asarray(scene.ground.paint.rgb)
    xs, ys = _grid(width, height)
    for shape in scene.shapes:
        if shape is None:
            continue
        lit = 1.0 - 0.08 * ((xs - shape.x) + (ys - shape.y)) / shape.radius
        body = (lit + 0.3 * scene.ground.amplitude * texture)[..., None] * np.asarray(shape.paint.rgb)
        cover = coverage(shape, width, height)[..., None]
        image = image * (1 - cover) + body * cover
    return np.clip(image, 0.0, 1.0)
