"""Compiled drawing of convex polygons, as pygame would put them on Gymnasium's 1000×800 surface.

Only a lattice of the surface's pixels is computed, ``X`` a column and ``Y`` a row of Gymnasium's
96×96 picture, as palette indices; their average stands for the average over all pixels. Coordinates
are pixels of the surface after its flip: x to the right, y downwards.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

WIDTH, HEIGHT = 1000, 700
"""What is seen of the surface: the lowest 100 of its 800 rows are the dashboard."""
COLUMNS, ROWS = 96, 84
X, Y = 4, 4
LATTICE = (ROWS * Y, COLUMNS * X)
_PER_X = WIDTH / LATTICE[1]
_PER_Y = HEIGHT / LATTICE[0]
_OUTLINE = 0.62
"""How far gfxdraw's antialiased outline reaches beyond an edge's line, in pixels."""

Lattice = NDArray[np.uint8]
Ints = NDArray[np.int64]
Spans = NDArray[np.float32]


@njit(cache=True, fastmath=True, inline="always")
def _first_row(y: float) -> int:
    """The first lattice row at or below y, bounded to the lattice."""
    return min(max(math.ceil((y + 0.5) / _PER_Y - 0.5), 0), LATTICE[0])


@njit(cache=True, fastmath=True)
def _widen(spans: Spans, x1: int, y1: int, x2: int, y2: int) -> None:
    """Extend each row's span by one edge, drawn as a line one pixel thick."""
    if y1 > y2:
        x1, y1, x2, y2 = x2, y2, x1, y1
    first, stop = _first_row(y1 - 0.5), _first_row(y2 + 0.5)
    slope = np.float32((x2 - x1) / max(y2 - y1, 1))
    base = np.float32(x1)
    tall = np.float32(y2 - y1)
    side = np.float32(max(0.0, _OUTLINE - 0.5 * abs(slope))) if y2 > y1 else np.float32(0.5)
    flat = np.float32(x2 - x1) if y2 == y1 else np.float32(0.0)
    zero, half = np.float32(0.0), np.float32(0.5)
    top = np.float32((first + 0.5) * _PER_Y - 0.5 - y1)
    step = np.float32(_PER_Y)
    left, right = spans[0], spans[1]
    for k in range(first, stop):
        y = top + step * np.float32(k - first)
        a = base + slope * min(max(y - half, zero), tall)
        b = base + slope * min(max(y + half, zero), tall) + flat
        left[k] = min(left[k], min(a, b) - side)
        right[k] = max(right[k], max(a, b) + side)


@njit(cache=True, fastmath=True)
def fill_outlined(lattice: Lattice, spans: Spans, px: Ints, py: Ints, color: int) -> None:
    """gfxdraw.aapolygon and filled_polygon of a convex polygon with corners at whole pixels."""
    first, stop = _first_row(py.min() - 0.5), _first_row(py.max() + 0.5)
    if first >= stop or px.max() < -1 or px.min() > WIDTH:
        return
    for k in range(first, stop):
        spans[0, k] = np.float32(1e9)
        spans[1, k] = np.float32(-1e9)
    n = len(px)
    for i in range(n):
        j = i + 1 if i + 1 < n else 0
        _widen(spans, px[i], py[i], px[j], py[j])
    _paint(lattice, spans, first, stop, color)


@njit(cache=True, fastmath=True)
def _paint(lattice: Lattice, spans: Spans, first: int, stop: int, color: int) -> None:
    """Fill the spans (ends included, in pixels) of rows first to stop - 1."""
    per = np.float32(1.0 / _PER_X)
    half = np.float32(0.5)
    for k in range(first, stop):
        a = math.ceil((spans[0, k] + half) * per - half)
        b = math.floor((spans[1, k] + half) * per - half)
        row = lattice[k]
        for j in range(max(a, 0), min(b, LATTICE[1] - 1) + 1):
            row[j] = color


@njit(cache=True)
def fill_plain(lattice: Lattice, px: Ints, py: Ints, color: int) -> None:
    """pygame.draw.polygon of a convex polygon, in the surface's y before the flip.

    Its rounding depends on the order of the corners: the first crossing of a row is rounded down,
    the second up.
    """
    low, high = py.min(), py.max()
    n = len(px)
    for k in range(_first_row(low - 0.5), _first_row(high + 0.5)):
        y = round((k + 0.5) * _PER_Y - 0.5)
        found, a, b = 0, 0, 0
        for i in range(n):
            x1, y1, x2, y2 = px[i - 1], py[i - 1], px[i], py[i]
            if y1 == y2:
                continue
            if y1 > y2:
                x1, y1, x2, y2 = x2, y2, x1, y1
            if y1 <= y < y2 or (y == high and y2 == high):
                x = (y - y1) * (x2 - x1) / (y2 - y1)
                if found == 0:
                    a = x1 + math.floor(x)
                else:
                    b = x1 + math.ceil(x)
                found += 1
        if found < 2:
            continue
        first = math.ceil(min(a, b) / _PER_X - 0.5)
        last = math.floor((max(a, b) + 1) / _PER_X - 0.5)
        for j in range(max(first, 0), min(last, LATTICE[1] - 1) + 1):
            lattice[k, j] = color
