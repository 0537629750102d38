"""CarRacing under a disturbance: as Tang, Nguyen and Ha (2020) changed it, and two of ours.

"Neuroevolution of Self-Interpretable Agents" tests trained agents, a World Models agent among them,
under three changes, whose sizes are those of its code (``car_racing_variants``):

- ``colours``: of each episode, one number from U(−s, s), in units of full brightness, is added to
  all three channels of the road, and another to those of the field. The lighter patches of grass
  keep their colour. Published with s = 0.2.
- ``bars``: black bars left and right, 75 of the window's 1,000 pixels wide, at s = 1.
- ``blob``: a red square with a side of 8 m, at s = 1, that keeps its place to the right in front
  of the car.

``friction`` takes the share s of the road's grip. Off the road it stays what it is, 0.6 of the
road's: Gymnasium's wheels never grip less than that, so s goes up to 0.4.

``turned`` turns the car at its start by s half-turns: at s = 1 it drives the other way round, and
bends that went to the left go to the right. The game and its rewards do not ask for the way.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from world_models.envs.carracing.picture import Pictured
from world_models.envs.disturbance import Disturbance

Floats = NDArray[np.float64]

BLOB_COLOR = (204, 0, 0)
"""The hull's own."""
_BAR = 75 / 1000
_BLOB_CORNER, _BLOB_SIDE = (21.0, 7.6), 8.0
"""Of the corner nearest to the car and of the side, in metres, in the hull's coordinates."""


@dataclass(frozen=True)
class Changes:
    """What is other in one episode.

    Attributes:
        road: added to the levels of the road's three channels.
        field: added to those of the field.
        friction: of the road's tiles; Gymnasium's is 1.
        bar: width of each bar, as a share of the picture's.
        blob: side of the blob, m.
        turn: of the car at its start, in half-turns.
    """

    road: int = 0
    field: int = 0
    friction: float = 1.0
    bar: float = 0.0
    blob: float = 0.0
    turn: float = 0.0

    def start(self, place: tuple[Any, Any, Any, Any]) -> tuple[Any, Any, Any, Any]:
        """Where the car begins: the track's first point (alpha, angle, x, y), turned."""
        alpha, angle, x, y = place
        return alpha, angle + math.pi * self.turn, x, y

    @property
    def blob_corners(self) -> Floats:
        """In the hull's coordinates, m, float64 (4, 2)."""
        square = np.array([(0, 1), (1, 1), (1, 0), (0, 0)])
        return np.array(_BLOB_CORNER) + self.blob * square


UNCHANGED = Changes()


def draw(disturbance: Disturbance, rng: np.random.Generator) -> Changes:
    """The changes of one episode, from the episode's own stream."""
    kind, strength = disturbance
    if kind == "colours":
        road, field = np.rint(255 * strength * rng.uniform(-1, 1, 2)).astype(int).tolist()
        return Changes(road=road, field=field)
    if kind == "friction":
        return Changes(friction=1 - strength)
    if kind == "bars":
        return Changes(bar=_BAR * strength)
    if kind == "turned":
        return Changes(turn=strength)
    return Changes(blob=_BLOB_SIDE * strength) if kind == "blob" else UNCHANGED


def shifted(color: Any, by: int) -> NDArray[np.int64]:
    """A colour with all its channels brighter or darker by so many levels, int64 (..., 3)."""
    return np.clip(np.array(color, np.int64) + by, 0, 255)


class Disturbed(Pictured):
    """Gymnasium's own game and picture with ``changes``, which are set before each reset."""

    changes = UNCHANGED
    road: Any
    track: Any
    car: Any
    surf: Any
    road_color: Any
    bg_color: Any

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """A new track. Gymnasium's first step is without action, and no tile is touched yet."""
        self._init_colors()  # type: ignore[no-untyped-call]
        self.road_color = shifted(self.road_color, self.changes.road)
        self.bg_color = shifted(self.bg_color, self.changes.field)
        frame, info = super().reset(**kwargs)
        for tile in self.road:
            tile.road_friction = self.changes.friction
        return frame, info

    def _create_track(self) -> bool:
        made: bool = super()._create_track()  # type: ignore[no-untyped-call]
        if made:
            self.track[0] = self.changes.start(self.track[0])
        return made

    def _render_road(self, zoom: float, translation: Any, angle: float) -> None:
        super()._render_road(zoom, translation, angle)
        if self.changes.blob:
            transform = self.car.hull.transform
            blob = [tuple(transform * corner) for corner in self.changes.blob_corners.tolist()]
            place = (zoom, translation, angle)
            self._draw_colored_polygon(self.surf, blob, BLOB_COLOR, *place)  # type: ignore[no-untyped-call]

    def _render_indicators(self, W: int, H: int) -> None:
        width = round(W * self.changes.bar)
        for left in (0, W - width):
            self.surf.fill((0, 0, 0), (left, 0, width, H))
        super()._render_indicators(W, H)  # type: ignore[no-untyped-call]
