"""Draws the agent's 64×64 frame from the polygons that Gymnasium draws, and nothing else."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from world_models.envs.carracing.disturbed import Changes, shifted
from world_models.envs.carracing.ground import GROUND, circles
from world_models.envs.carracing.raster import (
    BLACK,
    FIELD,
    GRASS,
    LATTICE_COLUMNS,
    LATTICE_ROWS,
    RED,
    ROAD,
    ROWS,
    WHITE,
    draw,
)
from world_models.envs.carracing.resample import (
    THIRDS,
    pack,
    row_weights,
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
_DARKENING = 2
"""pygame's smoothscale truncates twice, so that every level of 2 and more comes out 2 lower."""


_GROUND_COLORS = np.array([FIELD] + [GRASS] * (len(GROUND) - 1))


def _palette(changes: Changes) -> Ints:
    colors = np.array(_COLORS)
    colors[FIELD] = shifted(colors[FIELD], changes.field)
    colors[ROAD : ROAD + 3] = shifted(colors[ROAD : ROAD + 3], changes.road)
    return pack(np.maximum(colors - _DARKENING, 0))


class Renderer:
    """Buffers and constants of one simulator's picture."""

    def __init__(self) -> None:
        self._lattice = np.zeros((LATTICE_ROWS, LATTICE_COLUMNS), np.uint8)
        self._sums = np.zeros((ROWS, 3, THIRDS), np.int64)
        self._starts, self._weights = row_weights()
        self._shapes: Any = None
        self._world: Any = None

    def begin(self, game: Any) -> None:
        """Take the new track's polygons; to be called after each reset of the game.

        Args:
            game: with its ``changes``.
        """
        self._palette = _palette(game.changes)
        self._bar = round(LATTICE_COLUMNS * game.changes.bar)
        n = len(game.tiles)
        kerb_colors = np.where(game.kerb_of % 2 == 0, WHITE, RED)
        road = np.concatenate([game.tiles, game.kerbs])
        order = np.argsort(np.concatenate([np.arange(n), game.kerb_of]), kind="stable")
        polygons = np.concatenate([GROUND, road[order]])
        colors = np.concatenate([np.full(n, ROAD), kerb_colors])[order]
        tile_of = np.where(order < n, order, -1)
        self._world = (
            polygons,
            circles(polygons),
            np.concatenate([_GROUND_COLORS, colors]),
            np.concatenate([np.full(len(GROUND), -1), tile_of]),
            game.tile_colors,
        )
        if self._shapes is None:
            self._shapes = self._car_shapes(game)

    @staticmethod
    def _car_shapes(game: Any) -> tuple[Floats, Ints]:
        """Corners of a wheel and of the hull's parts, float64 (5, 8, 2), and their numbers (5,).

        A blob has the hull's colour and moves with it: it is one more part.
        """
        fixtures = [game.car.wheels[0].fixtures[0], *game.car.hull.fixtures]
        corners = [f.shape.vertices for f in fixtures]
        if game.changes.blob:
            corners.append(game.changes.blob_corners)
        shapes = np.zeros((len(corners), 8, 2))
        for place, part in zip(shapes, corners, strict=True):
            place[: len(part)] = part
        return shapes, np.array([len(part) for part in corners])

    def draw(self, game: Any, out: Frame) -> None:
        """Write what the agent sees now to out, uint8 (64, 64, 3)."""
        shapes, sizes = self._shapes
        draw(game.t, game.car.pose, self._world, shapes, sizes, self._lattice)
        if self._bar:
            self._lattice[:, : self._bar] = self._lattice[:, -self._bar :] = BLACK
        shrink(self._lattice, self._palette, self._starts, self._weights, self._sums, out)
