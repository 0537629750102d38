"""Compiled drawing of convex polygons, as pygame would put them on Gymnasium's 1000×800 surface.

Only a lattice of the surface's pixels is computed, ``X`` columns and ``Y`` rows in each pixel of
Gymnasium's 96×96 picture, as palette indices; their average stands for the average over all of the
surface's pixels. Coordinates are those pixels after the surface's flip: x to the right, y down.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

WIDTH, HEIGHT = 1000, 700
"""What is seen of the surface: the lowest 100 of its 800 rows are the dashboard."""
COLUMNS, ROWS = 96, 84
X, Y = 4, 2
LATTICE_ROWS, LATTICE_COLUMNS = ROWS * Y, COLUMNS * X
_PER_Y = np.float32(HEIGHT / LATTICE_ROWS)
_OUTLINE = np.float32(0.62)
"""How far gfxdraw's antialiased outline reaches beyond an upright edge's line, in pixels."""
_COLUMNS_PER_PIXEL, _WHOLE_ROW = np.float32(LATTICE_COLUMNS / WIDTH), np.float32(LATTICE_COLUMNS)
_FAR = np.float32(1e6)
_HALF, _ZERO, _ONE = np.float32(0.5), np.float32(0.0), np.float32(1.0)

Lattice = NDArray[np.uint8]
Corners = NDArray[np.int32]
Spans = NDArray[np.float32]
Columns = NDArray[np.int32]


@njit(cache=True)
def _first_row(y: np.float32) -> int:
    """The first lattice row at or below y, bounded to the lattice."""
    row = math.ceil((y + _HALF) / _PER_Y - _HALF)
    return min(max(row, 0), LATTICE_ROWS)


@njit(cache=True, fastmath=True)
def _to_columns(edge: Spans, columns: Columns) -> None:
    """How many lattice columns lie left of each x, in pixels."""
    for k in range(len(edge)):
        column = (edge[k] + _HALF) * _COLUMNS_PER_PIXEL + _HALF
        columns[k] = np.int32(min(max(column, _ZERO), _WHOLE_ROW))


@njit(cache=True, fastmath=True)
def _widen(spans: Spans, x1: int, y1: int, x2: int, y2: int) -> None:
    """Extend the rows' spans by an edge, drawn as a line one pixel thick; y1 <= y2."""
    tall, wide = np.float32(y2 - y1), np.float32(x2 - x1)
    slope = wide / max(tall, _ONE)
    side = max(_ZERO, _OUTLINE - _HALF * abs(slope)) if y2 > y1 else _HALF
    level = wide if y2 == y1 else _ZERO
    start = np.float32(x1)
    first, stop = _first_row(y1 - _HALF), _first_row(y2 + _HALF)
    top = (np.float32(first) + _HALF) * _PER_Y - _HALF - np.float32(y1)
    left, right = spans[0, first:stop], spans[1, first:stop]
    for k in range(stop - first):
        y = top + _PER_Y * np.float32(k)
        a = start + slope * min(max(y - _HALF, _ZERO), tall)
        b = start + slope * min(max(y + _HALF, _ZERO), tall) + level
        left[k] = min(left[k], min(a, b) - side)
        right[k] = max(right[k], max(a, b) + side)


@njit(cache=True)
def fill_outlined(lattice: Lattice, spans: Spans, points: Corners, color: int) -> None:
    """gfxdraw.aapolygon and filled_polygon; points int32 (n, 2), spans is scratch (2, rows)."""
    low, high = points[0, 1], points[0, 1]
    for i in range(1, len(points)):
        low, high = min(low, points[i, 1]), max(high, points[i, 1])
    first, stop = _first_row(low - _HALF), _first_row(high + _HALF)
    left, right = spans[0, first:stop], spans[1, first:stop]
    left[:] = _FAR
    right[:] = -_FAR
    for i in range(len(points)):
        x1, y1, x2, y2 = points[i - 1, 0], points[i - 1, 1], points[i, 0], points[i, 1]
        if y1 > y2:
            x1, y1, x2, y2 = x2, y2, x1, y1
        _widen(spans, x1, y1, x2, y2)
    columns = np.empty((2, stop - first), np.int32)
    _to_columns(left, columns[0])
    _to_columns(right, columns[1])
    for k in range(stop - first):
        lattice[first + k, columns[0, k] : columns[1, k]].fill(color)


@njit(cache=True)
def _column(x: int) -> int:
    """How many lattice columns lie left of pixel x."""
    return min(max(math.ceil(x * _COLUMNS_PER_PIXEL - _HALF), 0), LATTICE_COLUMNS)


@njit(cache=True)
def _crossing(points: Corners, i: int, y: int, high: int) -> tuple[bool, int, float]:
    """Whether the edge that ends in point i crosses row y, and where: its x and what is added."""
    x1, y1, x2, y2 = points[i - 1, 0], points[i - 1, 1], points[i, 0], points[i, 1]
    if y1 > y2:
        x1, y1, x2, y2 = x2, y2, x1, y1
    if y1 == y2 or not (y1 <= y < y2 or (y == high and y2 == high)):
        return False, 0, 0.0
    return True, x1, (y - y1) * (x2 - x1) / (y2 - y1)


@njit(cache=True)
def fill_plain(lattice: Lattice, points: Corners, color: int) -> None:
    """pygame.draw.polygon; points int32 (n, 2).

    Its rounding depends on the order of the corners: of a row's two crossings, the one that is
    found first is rounded down, the other up.
    """
    low, high = points[0, 1], points[0, 1]
    for i in range(1, len(points)):
        low, high = min(low, points[i, 1]), max(high, points[i, 1])
    for k in range(_first_row(low - _HALF), _first_row(high + _HALF)):
        y = round((k + 0.5) * _PER_Y - 0.5)
        found, a, b = 0, 0, 0
        for i in range(len(points)):
            crosses, x, more = _crossing(points, i, y, high)
            if crosses and found == 0:
                a = x + math.floor(more)
            elif crosses:
                b = x + math.ceil(more)
            found += crosses
        if found > 1:
            lattice[k, _column(min(a, b)) : _column(max(a, b) + 1)].fill(color)
