"""Gymnasium's CarRacing with Gymnasium's own picture, bit for bit, drawn sooner.

Gymnasium turns and scales every patch of grass and every tile of the track in Python before it
finds that it lies outside the window: some 700 polygons, of which few are seen. Here a circle
around each is tested against the window first, all at once. Those that may be seen are drawn by
Gymnasium's own method, in its order. ``tests/unit/envs/test_carracing_frames.py`` holds the
pictures against Gymnasium's, and ``benchmarks/carracing.py`` the times.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from world_models.envs.carracing.genuine import car_racing
from world_models.envs.carracing.ground import GROUND, circles

Floats = NDArray[np.float64]
Corners = list[tuple[float, float]]
Place = tuple[float, tuple[float, float], float]
"""Of the world in the window: zoom (pixels a metre), shift (pixels), angle (rad)."""

_WINDOW = np.array([car_racing.WINDOW_W, car_racing.WINDOW_H], np.float64)
_EDGE = 2.0
"""Pixels: its smoothed outline may reach one beyond a polygon, and the sums are rounded."""


def _seen(around: Floats, place: Place) -> list[int]:
    """Which circles, float64 (n, 3), reach into the window, in order."""
    zoom, shift, angle = place
    cos, sin = np.cos(angle), np.sin(angle)
    pixels = around[:, :2] @ np.array([[cos, sin], [-sin, cos]]) * zoom + shift
    reach = around[:, 2:] * zoom + _EDGE
    return np.flatnonzero(((pixels > -reach) & (pixels < _WINDOW + reach)).all(1)).tolist()


def _field_fills_window(place: Place) -> bool:
    """Whether no corner of the window can lie beyond the field."""
    zoom, (x, y), angle = place
    width, height = (_WINDOW / 2).tolist()
    reach = (math.hypot(width, height) + _EDGE) / zoom
    x, y = (width - x) / zoom, (height - y) / zoom
    cos, sin = math.cos(angle), math.sin(angle)
    far_x, far_y = abs(cos * x + sin * y), abs(cos * y - sin * x)
    return bool(max(far_x, far_y) + reach < car_racing.PLAYFIELD)


_FIELD, *_GRASS = GROUND.tolist()
_AROUND_GRASS = circles(GROUND[1:])


class Pictured(car_racing.CarRacing):
    """Gymnasium's own game, whose picture leaves out early what lies outside the window."""

    surf: Any
    bg_color: Any
    grass_color: Any
    road_poly: list[tuple[Corners, Any]]
    _laid: list[tuple[Corners, Any]] | None = None
    _around_road: Floats

    def _render_road(self, zoom: float, translation: tuple[float, float], angle: float) -> None:
        place = zoom, translation, angle
        if _field_fills_window(place):
            self.surf.fill([int(c) for c in self.bg_color])  # the same pixels, sooner
        else:
            self._polygon(_FIELD, self.bg_color, place, clip=False)
        for i in _seen(_AROUND_GRASS, place):
            self._polygon(_GRASS[i], self.grass_color, place)
        if self._laid is not self.road_poly:  # Gymnasium makes another list for another track
            self._laid = self.road_poly
            self._around_road = circles(np.array([corners for corners, _ in self._laid]))
        for i in _seen(self._around_road, place):
            corners, color = self._laid[i]
            self._polygon([(x, y) for x, y in corners], [int(c) for c in color], place)

    def _polygon(self, corners: Corners, color: Any, place: Place, *, clip: bool = True) -> None:
        self._draw_colored_polygon(self.surf, corners, color, *place, clip=clip)  # type: ignore[no-untyped-call]
