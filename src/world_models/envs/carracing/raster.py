"""Compiled drawing of Gymnasium's polygons, as pygame would put them on its 1000×800 surface.

The order is Gymnasium's: field, grass, road with its borders, wheels, hull. Skid marks are absent
from ``state_pixels`` in Gymnasium too, and the dashboard is cropped.

Only a lattice of the surface's pixels is computed, ``X`` columns and ``Y`` rows in each pixel of
Gymnasium's 96×96 picture, as palette indices; their average stands for the average over all of the
surface's pixels. Coordinates are those pixels after the surface's flip: x to the right, y down.

numba renews a cached function when its own file changes, not when a file does that it calls: what
is compiled together therefore stands together.
"""

import math

import numpy as np
from numpy.typing import NDArray

from world_models.compiling import compiled
from world_models.envs.carracing.genuine import car_dynamics, car_racing

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

BLACK, FIELD, GRASS, ROAD, WHITE, RED, HULL, RIM = 0, 1, 2, 3, 6, 7, 8, 9
_ROAD_LEVEL = 102
_ZOOM_START = 0.1 * car_racing.SCALE
_ZOOM = car_racing.ZOOM * car_racing.SCALE
_PLAYFIELD = car_racing.PLAYFIELD
_FLIP = car_racing.WINDOW_H - 1
_CENTRE_X, _CENTRE_Y = car_racing.WINDOW_W / 2, car_racing.WINDOW_H / 4
_REACH = math.hypot(WIDTH / 2, car_racing.WINDOW_H - _CENTRE_Y) + 2
"""No pixel that is seen lies farther from the car than this."""
_WHEEL_W = car_dynamics.WHEEL_W * car_dynamics.SIZE
_WHEEL_R = car_dynamics.WHEEL_R * car_dynamics.SIZE
_RIM_ANGLE = 1.2

Floats = NDArray[np.float64]
Lattice = NDArray[np.uint8]
Corners = NDArray[np.int32]
Spans = NDArray[np.float32]
Columns = NDArray[np.int32]


@compiled()
def _first_row(y: np.float32) -> int:
    """The first lattice row at or below y, bounded to the lattice."""
    row = math.ceil((y + _HALF) / _PER_Y - _HALF)
    return min(max(row, 0), LATTICE_ROWS)


@compiled(fastmath=True)
def _to_columns(edge: Spans, columns: Columns) -> None:
    """How many lattice columns lie left of each x, in pixels."""
    for k in range(len(edge)):
        column = (edge[k] + _HALF) * _COLUMNS_PER_PIXEL + _HALF
        columns[k] = np.int32(min(max(column, _ZERO), _WHOLE_ROW))


@compiled(fastmath=True)
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


@compiled()
def _fill_outlined(lattice: Lattice, spans: Spans, points: Corners, color: int) -> None:
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


@compiled()
def _column(x: int) -> int:
    """How many lattice columns lie left of pixel x."""
    return min(max(math.ceil(x * _COLUMNS_PER_PIXEL - _HALF), 0), LATTICE_COLUMNS)


@compiled()
def _crossing(points: Corners, i: int, y: int, high: int) -> tuple[bool, int, float]:
    """Whether the edge that ends in point i crosses row y, and where: its x and what is added."""
    x1, y1, x2, y2 = points[i - 1, 0], points[i - 1, 1], points[i, 0], points[i, 1]
    if y1 > y2:
        x1, y1, x2, y2 = x2, y2, x1, y1
    if y1 == y2 or not (y1 <= y < y2 or (y == high and y2 == high)):
        return False, 0, 0.0
    return True, x1, (y - y1) * (x2 - x1) / (y2 - y1)


@compiled()
def _fill_plain(lattice: Lattice, points: Corners, color: int) -> None:
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


@compiled()
def _look(x: float, y: float, angle: float, t: float) -> tuple[float, float, float, float, float]:
    """Gymnasium's camera: zoom times cosine and sine, translation, and its reach in metres."""
    zoom = _ZOOM_START * max(1.0 - t, 0.0) + _ZOOM * min(t, 1.0)
    c, s = zoom * math.cos(-angle), zoom * math.sin(-angle)
    return c, s, _CENTRE_X - (c * x - s * y), _CENTRE_Y - (s * x + c * y), _REACH / zoom


@compiled()
def _project(view, polygon, points):  # type: ignore[no-untyped-def]
    """World to whole pixels of the surface, truncated as pygame does, then flipped."""
    c, s, right, up, _ = view
    for i in range(len(polygon)):
        x, y = polygon[i, 0], polygon[i, 1]
        points[i, 0] = int(c * x - s * y + right)
        points[i, 1] = _FLIP - int(s * x + c * y + up)


@compiled()
def _draw_world(view, x, y, world, lattice):  # type: ignore[no-untyped-def]
    """The polygons that do not move, in their order, but for those out of sight."""
    polygons, circles, colors, tile_of, tile_colors = world
    inside = max(abs(x), abs(y)) < _PLAYFIELD - view[4]  # nothing but the field is behind the rest
    lattice[:] = FIELD if inside else BLACK
    points, spans = np.empty((4, 2), np.int32), np.empty((2, LATTICE_ROWS), np.float32)
    for i in range(1 if inside else 0, len(polygons)):
        dx, dy = circles[i, 0] - x, circles[i, 1] - y
        reach = circles[i, 2] + view[4]
        if dx * dx + dy * dy > reach * reach:
            continue
        color = colors[i]
        if tile_of[i] >= 0:
            color += (int(tile_colors[tile_of[i], 0]) - _ROAD_LEVEL) // 2
        _project(view, polygons[i], points)
        _fill_outlined(lattice, spans, points, color)


@compiled()
def _rim(phase: float, polygon: Floats) -> int:
    """Shape the grey patch that turns with the wheel; its number of corners, 0 if hidden."""
    s1, s2 = math.sin(phase), math.sin(phase + _RIM_ANGLE)
    if s1 > 0 and s2 > 0:
        return 0
    c1, c2 = math.cos(phase), math.cos(phase + _RIM_ANGLE)
    if s1 > 0:
        c1 = np.sign(c1)
    if s2 > 0:
        c2 = np.sign(c2)
    for i in range(4):
        polygon[i, 0] = _WHEEL_W if i in (1, 2) else -_WHEEL_W
        polygon[i, 1] = _WHEEL_R * (c1 if i < 2 else c2)
    return 4


@compiled()
def _draw_car(view, car, shapes, sizes, lattice):  # type: ignore[no-untyped-def]
    """Wheels, each followed by its patch, then the hull's parts; car as ``draw`` has it."""
    moved, points = np.empty((8, 2)), np.empty((8, 2), np.int32)
    rim = np.empty((8, 2))
    for part in range(8 + len(sizes) - 1):
        wheel = part // 2 + 1 if part < 8 else 0
        shape, color = shapes[max(part - 7, 0)], HULL if part >= 8 else BLACK
        n = sizes[max(part - 7, 0)]
        if part < 8 and part % 2:
            shape, n, color = rim, _rim(car[14 + wheel], rim), RIM
        px, py, angle = car[3 * wheel], car[3 * wheel + 1], car[3 * wheel + 2]
        c, s = math.cos(angle), math.sin(angle)
        for i in range(n):
            moved[i, 0] = c * shape[i, 0] - s * shape[i, 1] + px
            moved[i, 1] = s * shape[i, 0] + c * shape[i, 1] + py
        if n:
            _project(view, moved[:n], points)
            _fill_plain(lattice, points[:n], color)


@compiled()
def draw(t, car, world, shapes, sizes, lattice):  # type: ignore[no-untyped-def]
    """Fill the lattice with what is seen at one moment.

    Args:
        t: seconds since the start, for the camera's zoom.
        car: x, y, angle of the hull and of the four wheels, then the wheels' phases, float64 (19,).
        world: the field, the grass and the road in the order of drawing, as five arrays: corners
            float64 (n, 4, 2), circles around them float64 (n, 3), colors int64 (n,), and for road
            tiles, whose tint varies, the number of the tile int64 (n,), else -1, and the tiles'
            colors float64 (tiles, 3).
        shapes: corners of a wheel and of the hull's parts, float64 (parts, 8, 2).
        sizes: how many corners each has, int64 (parts,).
        lattice: palette indices, uint8 (LATTICE_ROWS, LATTICE_COLUMNS), written.
    """
    view = _look(car[0], car[1], car[2], t)
    _draw_world(view, car[0], car[1], world, lattice)
    _draw_car(view, car, shapes, sizes, lattice)
