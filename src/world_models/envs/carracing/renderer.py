"""Draws the agent's 64×64 frame from the polygons that Gymnasium draws, and nothing else.

The order is Gymnasium's: field, grass, road with its borders, wheels, hull. Skid marks are absent
from ``state_pixels`` in Gymnasium too, and the dashboard is cropped.
"""

import math
from typing import Any

import numpy as np
from gymnasium.envs.box2d import car_dynamics, car_racing
from numba import njit
from numpy.typing import NDArray

from world_models.envs.carracing.raster import (
    COLUMNS,
    LATTICE_COLUMNS,
    LATTICE_ROWS,
    ROWS,
    WIDTH,
    fill_outlined,
    fill_plain,
)
from world_models.envs.carracing.resample import (
    SIZE,
    THIRDS,
    area_weights,
    average_blocks,
    pack,
    shrink,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Frame = NDArray[np.uint8]

_COLORS = (
    (0, 0, 0),  # outside the field, tyres
    (102, 204, 102),  # field
    (102, 230, 102),  # grass
    (102, 102, 102),  # road, and the two tints that it has until the car touches it
    (104, 104, 104),
    (107, 107, 107),
    (255, 255, 255),
    (255, 0, 0),
    (204, 0, 0),  # hull
    (77, 77, 77),  # the patch that turns with a wheel
)
_BLACK, _FIELD, _GRASS, _ROAD, _WHITE, _RED, _HULL, _RIM = 0, 1, 2, 3, 6, 7, 8, 9
_ROAD_LEVEL = 102
_DARKENING = 2
"""pygame's smoothscale truncates twice, so that every level of 2 and more comes out 2 lower."""

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


def _ground() -> Floats:
    """The field, then Gymnasium's grass patches, float64 (401, 4, 2)."""
    d = car_racing.GRASS_DIM
    field = np.array([[(1, 1), (1, -1), (-1, -1), (-1, 1)]]) * _PLAYFIELD
    patch = np.array([(1, 0), (0, 0), (0, 1), (1, 1)]) * d
    places = [(d * x, d * y) for x in range(-20, 20, 2) for y in range(-20, 20, 2)]
    return np.concatenate([field, np.array(places)[:, None, :] + patch])


_GROUND = _ground()
_GROUND_COLORS = np.array([_FIELD] + [_GRASS] * (len(_GROUND) - 1))


@njit(cache=True)
def _look(x: float, y: float, angle: float, t: float) -> tuple[float, float, float, float, float]:
    """Gymnasium's camera: zoom times cosine and sine, translation, and its reach in metres."""
    zoom = _ZOOM_START * max(1.0 - t, 0.0) + _ZOOM * min(t, 1.0)
    c, s = zoom * math.cos(-angle), zoom * math.sin(-angle)
    return c, s, _CENTRE_X - (c * x - s * y), _CENTRE_Y - (s * x + c * y), _REACH / zoom


@njit(cache=True)
def _project(view, polygon, points):  # type: ignore[no-untyped-def]
    """World to whole pixels of the surface, truncated as pygame does, then flipped."""
    c, s, right, up, _ = view
    for i in range(len(polygon)):
        x, y = polygon[i, 0], polygon[i, 1]
        points[i, 0] = int(c * x - s * y + right)
        points[i, 1] = _FLIP - int(s * x + c * y + up)


@njit(cache=True)
def _draw_world(view, x, y, world, lattice, spans):  # type: ignore[no-untyped-def]
    """The polygons that do not move, as ``Renderer.begin`` orders them."""
    polygons, circles, colors, tile_of, tile_colors = world
    inside = max(abs(x), abs(y)) < _PLAYFIELD - view[4]  # nothing but the field is behind the rest
    lattice[:] = _FIELD if inside else _BLACK
    points = np.empty((4, 2), np.int32)
    for i in range(1 if inside else 0, len(polygons)):
        dx, dy = circles[i, 0] - x, circles[i, 1] - y
        reach = circles[i, 2] + view[4]
        if dx * dx + dy * dy > reach * reach:
            continue
        color = colors[i]
        if tile_of[i] >= 0:
            color += (int(tile_colors[tile_of[i], 0]) - _ROAD_LEVEL) // 2
        _project(view, polygons[i], points)
        fill_outlined(lattice, spans, points, color)


@njit(cache=True)
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


@njit(cache=True)
def _draw_car(view, car, shapes, sizes, lattice):  # type: ignore[no-untyped-def]
    """Wheels, each followed by its patch, then the hull's parts; car is ``Renderer._pose``."""
    moved, points = np.empty((8, 2)), np.empty((8, 2), np.int32)
    rim = np.empty((8, 2))
    for part in range(8 + len(sizes) - 1):
        wheel = part // 2 + 1 if part < 8 else 0
        shape, color = shapes[max(part - 7, 0)], _HULL if part >= 8 else _BLACK
        n = sizes[max(part - 7, 0)]
        if part < 8 and part % 2:
            shape, n, color = rim, _rim(car[14 + wheel], rim), _RIM
        px, py, angle = car[3 * wheel], car[3 * wheel + 1], car[3 * wheel + 2]
        c, s = math.cos(angle), math.sin(angle)
        for i in range(n):
            moved[i, 0] = c * shape[i, 0] - s * shape[i, 1] + px
            moved[i, 1] = s * shape[i, 0] + c * shape[i, 1] + py
        if n:
            _project(view, moved[:n], points)
            fill_plain(lattice, points[:n], color)


@njit(cache=True)
def _draw(t, car, world, shapes, sizes, buffers, resampling, out):  # type: ignore[no-untyped-def]
    lattice, spans, blocks = buffers
    palette, weights, starts = resampling
    view = _look(car[0], car[1], car[2], t)
    _draw_world(view, car[0], car[1], world, lattice, spans)
    _draw_car(view, car, shapes, sizes, lattice)
    average_blocks(lattice, palette, blocks)
    shrink(blocks, weights, starts, out)


def _circles(polygons: Floats) -> Floats:
    """Circles around the polygons: x, y and radius, float64 (n, 3)."""
    centres = polygons.mean(axis=1)
    radii = np.linalg.norm(polygons - centres[:, None], axis=2).max(axis=1)
    return np.column_stack([centres, radii])


class Renderer:
    """Buffers and constants of one simulator's picture."""

    def __init__(self) -> None:
        self._buffers = (
            np.zeros((LATTICE_ROWS, LATTICE_COLUMNS), np.uint8),
            np.zeros((2, LATTICE_ROWS), np.float32),
            np.zeros((ROWS, 3, 3, THIRDS), np.float32),
        )
        palette = pack(np.maximum(np.array(_COLORS) - _DARKENING, 0))
        weights = area_weights(ROWS, SIZE)
        starts = np.minimum(np.argmax(weights > 0, axis=1), ROWS - 3)
        rows = np.stack([weights[i, s : s + 3] for i, s in enumerate(starts)])
        self._resampling = (palette, rows.astype(np.float32), starts)
        self._shapes: Any = None
        self._world: Any = None

    def begin(self, game: Any) -> None:
        """Take the new track's polygons; to be called after each reset of the game."""
        n = len(game.tiles)
        kerb_colors = np.where(game.kerb_of % 2 == 0, _WHITE, _RED)
        road = np.concatenate([game.tiles, game.kerbs])
        order = np.argsort(np.concatenate([np.arange(n), game.kerb_of]), kind="stable")
        polygons = np.concatenate([_GROUND, road[order]])
        colors = np.concatenate([np.full(n, _ROAD), kerb_colors])[order]
        tile_of = np.where(order < n, order, -1)
        self._world = (
            polygons,
            _circles(polygons),
            np.concatenate([_GROUND_COLORS, colors]),
            np.concatenate([np.full(len(_GROUND), -1), tile_of]),
            game.tile_colors,
        )
        if self._shapes is None:
            self._shapes = self._car_shapes(game.car)

    @staticmethod
    def _car_shapes(car: Any) -> tuple[Floats, Ints]:
        """Corners of a wheel and of the hull's parts, float64 (5, 8, 2), and their numbers (5,)."""
        fixtures = [car.wheels[0].fixtures[0], *car.hull.fixtures]
        corners = [f.shape.vertices for f in fixtures]
        shapes = np.zeros((len(corners), 8, 2))
        for place, part in zip(shapes, corners, strict=True):
            place[: len(part)] = part
        return shapes, np.array([len(part) for part in corners])

    @staticmethod
    def _pose(car: Any) -> tuple[float, ...]:
        """x, y and angle of the hull and the four wheels, then the wheels' phases: 19 floats."""
        pose: list[float] = []
        for body in (car.hull, *car.wheels):
            place = body.position
            pose += (place.x, place.y, body.angle)
        pose += [w.phase for w in car.wheels]
        return tuple(pose)

    def draw(self, game: Any, out: Frame) -> None:
        """Write what the agent sees now to out, uint8 (64, 64, 3)."""
        pose = self._pose(game.car)
        _draw(game.t, pose, self._world, *self._shapes, self._buffers, self._resampling, out)
