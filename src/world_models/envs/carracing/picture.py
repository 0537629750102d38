"""Gymnasium's CarRacing with Gymnasium's own picture, bit for bit, drawn sooner.

Gymnasium turns and scales every patch of grass and every tile of the track in Python before it
finds that it lies outside the window: some 700 polygons, of which a dozen are seen. Here circles
around them are asked first, all at once. The others are drawn by Gymnasium's own methods, in its
order. ``tests/unit/envs/test_carracing_frames.py`` holds the pictures against Gymnasium's, and
``benchmarks/carracing.py`` the times.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from world_models.envs.carracing.genuine import car_racing

Floats = NDArray[np.float64]
Corners = list[tuple[float, float]]
Place = tuple[float, tuple[float, float], float]
"""Of the world in the window: zoom (pixels a metre), shift (pixels), angle (rad)."""

_WINDOW = np.array([car_racing.WINDOW_W, car_racing.WINDOW_H], np.float64)
_EDGE = 2.0
"""Pixels around a polygon that its smoothed outline may reach, and then some."""


class _Circles(NamedTuple):
    """Around polygons: centres float64 (n, 2) and radii float64 (n,), in metres."""

    centres: Floats
    radii: Floats

    def seen(self, place: Place) -> list[int]:
        """Which of them reach into the window, in order."""
        zoom, shift, angle = place
        cos, sin = np.cos(angle), np.sin(angle)
        pixels = self.centres @ np.array([[cos, sin], [-sin, cos]]) * zoom + shift
        reach = (self.radii * zoom + _EDGE)[:, None]
        return np.flatnonzero(((pixels > -reach) & (pixels < _WINDOW + reach)).all(1)).tolist()


def _around(polygons: list[Corners]) -> _Circles:
    corners = np.array(polygons, np.float64)  # (n, 4, 2)
    centres = corners.mean(1)
    return _Circles(centres, np.sqrt(((corners - centres[:, None]) ** 2).sum(-1).max(1)))


def _field_fills_window(place: Place) -> bool:
    zoom, (x, y), angle = place
    width, height = (_WINDOW / 2).tolist()
    reach = (math.hypot(width, height) + _EDGE) / zoom
    x, y = (width - x) / zoom, (height - y) / zoom
    cos, sin = math.cos(angle), math.sin(angle)
    far_x, far_y = abs(cos * x + sin * y), abs(cos * y - sin * x)
    return bool(max(far_x, far_y) + reach < car_racing.PLAYFIELD)


def _square(x: float, y: float, side: float) -> Corners:
    return [(x + side, y), (x, y), (x, y + side), (x + side, y + side)]


_END, _PATCH = car_racing.PLAYFIELD, car_racing.GRASS_DIM
_FIELD: Corners = [(_END, _END), (_END, -_END), (-_END, -_END), (-_END, _END)]
_GRASS = [
    _square(_PATCH * x, _PATCH * y, _PATCH) for x in range(-20, 20, 2) for y in range(-20, 20, 2)
]
_AROUND_GRASS = _around(_GRASS)


class Pictured(car_racing.CarRacing):
    """Gymnasium's own game; of its picture, what lies outside the window costs next to nothing."""

    surf: Any
    bg_color: Any
    grass_color: Any
    road_poly: list[tuple[Corners, Any]]
    _laid: list[tuple[Corners, Any]] | None = None
    _around_road: _Circles

    def _render_road(self, zoom: float, translation: tuple[float, float], angle: float) -> None:
        place = zoom, translation, angle
        if _field_fills_window(place):
            self.surf.fill([int(c) for c in self.bg_color])  # the same pixels, six times as fast
        else:
            self._polygon(_FIELD, self.bg_color, place, clip=False)
        for i in _AROUND_GRASS.seen(place):
            self._polygon(_GRASS[i], self.grass_color, place)
        if self._laid is not self.road_poly:  # Gymnasium makes another list for another track
            self._laid = self.road_poly
            self._around_road = _around([corners for corners, _ in self._laid])
        for i in self._around_road.seen(place):
            corners, color = self._laid[i]
            self._polygon([(x, y) for x, y in corners], [int(c) for c in color], place)

    def _polygon(self, corners: Corners, color: Any, place: Place, *, clip: bool = True) -> None:
        self._draw_colored_polygon(self.surf, corners, color, *place, clip=clip)  # type: ignore[no-untyped-call]
