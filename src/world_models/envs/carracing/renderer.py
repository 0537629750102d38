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
    LATTICE,
    ROWS,
    WIDTH,
    fill_outlined,
    fill_plain,
)
from world_models.envs.carracing.resample import SIZE, area_weights, average_blocks, shrink

Floats = NDArray[np.float64]
Frame = NDArray[np.uint8]

_OUTSIDE, _FIELD, _GRASS, _ROAD, _WHITE, _RED, _HULL, _TYRE, _RIM = 0, 1, 2, 3, 6, 7, 8, 9, 10
_COLORS = (
    (0, 0, 0),
    (102, 204, 102),
    (102, 230, 102),
    (102, 102, 102),
    (104, 104, 104),
    (107, 107, 107),
    (255, 255, 255),
    (255, 0, 0),
    (204, 0, 0),
    (0, 0, 0),
    (77, 77, 77),
)
_DARKENING = 2
"""pygame's smoothscale truncates twice, so that every color of 2 and more comes out 2 lower."""
_ZOOM_START = 0.1 * car_racing.SCALE
_ZOOM = car_racing.ZOOM * car_racing.SCALE
_PLAYFIELD = car_racing.PLAYFIELD
_FLIP = car_racing.WINDOW_H - 1
_CENTRE_X, _CENTRE_Y = car_racing.WINDOW_W / 2, car_racing.WINDOW_H / 4
_REACH = math.hypot(WIDTH / 2, car_racing.WINDOW_H - _CENTRE_Y) + 2
"""No pixel that is seen lies farther from the car than this."""
_HALF_W = car_dynamics.WHEEL_W * car_dynamics.SIZE
_WHEEL_R = car_dynamics.WHEEL_R * car_dynamics.SIZE


def _grass() -> Floats:
    """Gymnasium's grass patches, float64 (400, 4, 2)."""
    d = car_racing.GRASS_DIM
    corner = np.array([(1, 0), (0, 0), (0, 1), (1, 1)]) * d
    places = [(d * x, d * y) for x in range(-20, 20, 2) for y in range(-20, 20, 2)]
    return np.array(places)[:, None, :] + corner


_FIELD_POLYGON = np.array([(1, 1), (1, -1), (-1, -1), (-1, 1)]) * _PLAYFIELD
_GRASS_POLYGONS = _grass()


@njit(cache=True, inline="always")
def _project(view: Floats, polygon: Floats, px: Any, py: Any) -> None:
    """World to whole pixels of the surface, truncated as pygame does, before the flip."""
    for i in range(len(polygon)):
        x, y = polygon[i, 0], polygon[i, 1]
        px[i] = int(view[0] * x - view[1] * y + view[2])
        py[i] = int(view[1] * x + view[0] * y + view[3])


@njit(cache=True)
def _near(view: Floats, polygon: Floats) -> bool:
    """Whether a quadrilateral can be in sight: its first corner is, or its diagonal reaches."""
    x, y = polygon[0, 0] - view[4], polygon[0, 1] - view[5]
    reach = view[6] + abs(polygon[2, 0] - polygon[0, 0]) + abs(polygon[2, 1] - polygon[0, 1])
    return bool(x * x + y * y < reach * reach)


@njit(cache=True)
def _outlined(view: Floats, lattice: Any, spans: Any, polygon: Floats, color: int) -> None:
    px, py = np.empty(4, np.int64), np.empty(4, np.int64)
    _project(view, polygon, px, py)
    for i in range(4):
        py[i] = _FLIP - py[i]
    fill_outlined(lattice, spans, px, py, color)


@njit(cache=True)
def _draw_ground(view: Floats, lattice: Any, spans: Any, field: Floats, grass: Floats) -> None:
    margin = _PLAYFIELD - view[6]
    if abs(view[4]) < margin and abs(view[5]) < margin:
        lattice[:] = _FIELD
    else:
        lattice[:] = _OUTSIDE
        _outlined(view, lattice, spans, field, _FIELD)
    for patch in grass:
        if _near(view, patch):
            _outlined(view, lattice, spans, patch, _GRASS)


@njit(cache=True)
def _draw_road(
    view: Floats, lattice: Any, spans: Any, tiles: Floats, colors: Floats, kerbs: Floats, of: Any
) -> None:
    m = 0
    for i in range(len(tiles)):
        if _near(view, tiles[i]):
            tint = int(colors[i, 0]) - 102
            _outlined(view, lattice, spans, tiles[i], _ROAD + tint // 2)
        if m < len(of) and of[m] == i:
            if _near(view, kerbs[m]):
                _outlined(view, lattice, spans, kerbs[m], _WHITE if i % 2 == 0 else _RED)
            m += 1


@njit(cache=True)
def _plain(view: Floats, body: Floats, lattice: Any, polygon: Floats, color: int) -> None:
    """A polygon fixed to a body at (x, y, angle)."""
    n = len(polygon)
    world = np.empty((n, 2))
    c, s = math.cos(body[2]), math.sin(body[2])
    for i in range(n):
        x, y = polygon[i, 0], polygon[i, 1]
        world[i, 0] = c * x - s * y + body[0]
        world[i, 1] = s * x + c * y + body[1]
    px, py = np.empty(n, np.int64), np.empty(n, np.int64)
    _project(view, world, px, py)
    for i in range(n):
        py[i] = _FLIP - py[i]
    fill_plain(lattice, px, py, color)


@njit(cache=True)
def _rim(phase: float, polygon: Floats) -> bool:
    """The grey patch that turns with the wheel; False where it is hidden."""
    s1, s2 = math.sin(phase), math.sin(phase + 1.2)
    if s1 > 0 and s2 > 0:
        return False
    c1, c2 = math.cos(phase), math.cos(phase + 1.2)
    if s1 > 0:
        c1 = np.sign(c1)
    if s2 > 0:
        c2 = np.sign(c2)
    polygon[0, 0], polygon[0, 1] = -_HALF_W, _WHEEL_R * c1
    polygon[1, 0], polygon[1, 1] = _HALF_W, _WHEEL_R * c1
    polygon[2, 0], polygon[2, 1] = _HALF_W, _WHEEL_R * c2
    polygon[3, 0], polygon[3, 1] = -_HALF_W, _WHEEL_R * c2
    return True


@njit(cache=True)
def _draw_car(
    view: Floats, lattice: Any, bodies: Floats, wheel: Floats, hull: Floats, sizes: Any
) -> None:
    rim = np.empty((4, 2))
    for i in range(1, 5):
        _plain(view, bodies[i], lattice, wheel, _TYRE)
        if _rim(bodies[i, 3], rim):
            _plain(view, bodies[i], lattice, rim, _RIM)
    for i in range(len(sizes)):
        _plain(view, bodies[0], lattice, hull[i, : sizes[i]], _HULL)


@njit(cache=True)
def _camera(x: float, y: float, angle: float, t: float) -> Floats:
    """Rotation times zoom, translation, then the car's place and how far one sees, in metres."""
    zoom = _ZOOM_START * max(1.0 - t, 0.0) + _ZOOM * min(t, 1.0)
    c, s = zoom * math.cos(-angle), zoom * math.sin(-angle)
    view = np.empty(7)
    view[0], view[1] = c, s
    view[2] = _CENTRE_X - (c * x - s * y)
    view[3] = _CENTRE_Y - (s * x + c * y)
    view[4], view[5], view[6] = x, y, _REACH / zoom
    return view


@njit(cache=True)
def _draw(t, bodies, road, car, ground, buffers, resampling, out):  # type: ignore[no-untyped-def]
    lattice, spans, planes = buffers
    view = _camera(bodies[0, 0], bodies[0, 1], bodies[0, 2], t)
    _draw_ground(view, lattice, spans, ground[0], ground[1])
    _draw_road(view, lattice, spans, road[0], road[1], road[2], road[3])
    _draw_car(view, lattice, bodies, car[0], car[1], car[2])
    average_blocks(lattice, resampling[0], planes)
    shrink(planes, resampling[1], resampling[2], out)


class Renderer:
    """Buffers and constants of one simulator's picture."""

    def __init__(self) -> None:
        self._buffers = (
            np.zeros(LATTICE, np.uint8),
            np.zeros((2, LATTICE[0]), np.float32),
            np.zeros((3, ROWS, COLUMNS), np.float32),
        )
        palette = np.maximum(np.array(_COLORS, np.float32) - _DARKENING, 0)
        weights = area_weights(ROWS, SIZE)
        starts = np.minimum(np.argmax(weights > 0, axis=1), ROWS - 3)
        rows = np.stack([weights[i, s : s + 3] for i, s in enumerate(starts)])
        self._resampling = (palette, rows.astype(np.float32), starts)
        self._ground = (_FIELD_POLYGON, _GRASS_POLYGONS)
        self._bodies = np.zeros((5, 4))
        self._car: Any = None
        self._road: Any = None

    def begin(self, game: Any) -> None:
        """Take the new track's polygons; to be called after each reset of the game."""
        self._road = (game.tiles, game.tile_colors, game.kerbs, game.kerb_of)
        if self._car is None:
            wheel = np.array(game.car.wheels[0].fixtures[0].shape.vertices)
            parts = [f.shape.vertices for f in game.car.hull.fixtures]
            sizes = np.array([len(p) for p in parts])
            hull = np.zeros((len(parts), sizes.max(), 2))
            for place, part in zip(hull, parts, strict=True):
                place[: len(part)] = part
            self._car = (wheel, hull, sizes)

    def draw(self, game: Any, out: Frame) -> None:
        """Write what the agent sees now to out, uint8 (64, 64, 3)."""
        bodies = self._bodies
        car = game.car
        hull = car.hull
        bodies[0] = (*hull.position, hull.angle, 0.0)
        for i, w in enumerate(car.wheels):
            bodies[i + 1] = (*w.position, w.angle, w.phase)
        _draw(
            game.t,
            bodies,
            self._road,
            self._car,
            self._ground,
            self._buffers,
            self._resampling,
            out,
        )
