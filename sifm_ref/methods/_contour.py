"""A region whose outline is moved inwards at random: DiffusionGuard's augmentation of masks, without OpenCV.

``outline`` is its ``findContours`` (``RETR_EXTERNAL``, ``CHAIN_APPROX_SIMPLE``) of the largest region, ``filled`` its
``drawContours`` (``FILLED``), to the pixel as in OpenCV 4.10; 5.0 leaves out what half a pixel rounds outwards. Points are
(x, y).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

Region = NDArray[np.bool_]  # (H, W)
Points = NDArray[np.int64]  # (N, 2)

_AROUND = ((1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1))  # counter-clockwise, y down
_ONE = 1 << 16  # of the fixed point numbers with which polygons are filled


def radius_of(region: Region) -> float:
    """``get_mask_radius_list`` of the release: 2.2 times that of a disk of this area (three channels, and a formula of its own)."""
    return math.sqrt(int(region.sum()) * math.pi / 2)


def shrunk(
    region: Region, draw: torch.Generator, *, strength: float, iterations: int, smoothness: float
) -> Region:
    """A region inside ``region``: its outline, moved so often and so far as is drawn (``get_mask``, ``contour_shrink``).

    Points of the largest outline get whole offsets of up to ``strength`` times a part of the radius, smoothed along the
    outline by ``smoothness`` times the radius; those that leave the region go back to the nearest point of the outline.
    """
    from scipy.ndimage import gaussian_filter

    radius = radius_of(region)
    reach = int(_uniform(draw, 0, radius) * strength)
    inside = region
    for _ in range(int(_uniform(draw, 1, iterations))):
        points = outline(inside)
        if points is None:
            return region
        moved = points.copy()
        for axis in (0, 1):
            offsets = torch.randint(-reach, reach + 1, (len(points),), generator=draw).numpy()
            moved[:, axis] += gaussian_filter(offsets, sigma=radius * smoothness)
            moved[:, axis] = moved[:, axis].clip(0, region.shape[1 - axis] - 1)
        out = ~inside[moved[:, 1], moved[:, 0]]
        away = np.hypot(*(points[None, :, axis] - moved[out, None, axis] for axis in (0, 1)))
        moved[out] = points[away.argmin(axis=1)]
        inside = filled(moved, region.shape)
    return inside


def outline(region: Region) -> Points | None:
    """The corners of the outer border (Suzuki and Abe 1985) of the part that it encloses the most of; ``None`` for nothing."""
    from scipy.ndimage import find_objects, label

    parts, _ = label(region, np.ones((3, 3)))
    best: tuple[float, Points] | None = None
    for number, place in enumerate(find_objects(parts), 1):
        height, width = (s.stop - s.start for s in place)
        if best is not None and (height - 1) * (width - 1) < best[0]:
            continue  # it cannot enclose more
        corner = np.array([place[1].start - 1, place[0].start - 1])
        points = _border(np.pad(parts[place] == number, 1)) + corner
        area = _area(points)
        if best is None or area >= best[0]:
            best = area, points
    return None if best is None else best[1]


def _border(part: Region) -> Points:
    """The corners of the outer border of one part, from its first pixel on, row by row; its margin is empty."""
    rows = part.tolist()
    y0, x0 = divmod(int(part.argmax()), part.shape[1])
    turn = next((s for s in (3, 2, 1, 0, 7, 6, 5) if rows[y0 + _AROUND[s][1]][x0 + _AROUND[s][0]]), None)
    if turn is None:
        return np.array([[x0, y0]])
    last = (x0 + _AROUND[turn][0], y0 + _AROUND[turn][1])
    corners = []
    x, y, before = x0, y0, turn ^ 4
    while True:
        turn = (turn + 1) % 8
        while not rows[y + _AROUND[turn][1]][x + _AROUND[turn][0]]:
            turn = (turn + 1) % 8
        if turn != before:
            corners.append((x, y))
            before = turn
        after = (x + _AROUND[turn][0], y + _AROUND[turn][1])
        if after == (x0, y0) and (x, y) == last:
            return np.array(corners)
        x, y = after
        turn = (turn + 4) % 8


def _area(points: Points) -> float:
    x, y = points[:, 0], points[:, 1]
    return abs(int((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())) / 2


def filled(points: Points, shape: tuple[int, ...]) -> Region:
    """The polygon of the points with its border: even-odd between its edges, and the edges as lines of pixels."""
    out = np.zeros(shape, bool)
    ends = np.roll(points, -1, axis=0)
    for place in map(_line, points, ends):
        out[place[:, 1], place[:, 0]] = True
    down = np.where(
        (points[:, 1] <= ends[:, 1])[:, None, None], np.stack([points, ends], 1), np.stack([ends, points], 1)
    )
    down = down[down[:, 0, 1] != down[:, 1, 1]]
    (x0, y0), (x1, y1) = down[:, 0].T, down[:, 1].T
    slope = np.trunc((x1 - x0) * _ONE / (y1 - y0)).astype(np.int64)
    edge = np.repeat(np.arange(len(down)), y1 - y0)
    y = np.concatenate([np.arange(a, b) for a, b in zip(y0, y1, strict=True)] or [np.zeros(0, np.int64)])
    x = x0[edge] * _ONE + (y - y0[edge]) * slope[edge]
    order = np.lexsort((x, y))
    nearest = (x[order] + _ONE // 2) // _ONE
    left, right, row = nearest[::2], nearest[1::2], y[order][::2]
    some = left <= right
    runs = np.zeros((shape[0], shape[1] + 1), np.int64)
    np.add.at(runs, (row[some], left[some]), 1)
    np.add.at(runs, (row[some], right[some] + 1), -1)
    found: Region = out | (runs[:, :-1].cumsum(axis=1) > 0)
    return found


def _line(start: Points, end: Points) -> Points:
    """The pixels of a line between two points, both included (Bresenham 1965), drawn from its left end."""
    if end[0] < start[0]:
        start, end = end, start
    way = end - start
    major = int(abs(way[1]) > abs(way[0]))
    long, short = int(abs(way[major])), int(abs(way[1 - major]))
    steps = np.arange(long + 1)
    out = np.empty((long + 1, 2), np.int64)
    out[:, major] = start[major] + np.sign(way[major]) * steps
    aside = (2 * short * steps + long - 1) // (2 * long) if long else 0 * steps
    out[:, 1 - major] = start[1 - major] + np.sign(way[1 - major]) * aside
    return out


def _uniform(draw: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=draw, dtype=torch.float64))
