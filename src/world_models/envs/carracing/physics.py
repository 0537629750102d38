"""Gymnasium's CarRacing without its pictures: the same rewards, ends and car, bit for bit, sooner.

The class is Gymnasium's own, and Box2D's world and the car's bodies are untouched. What changes is
how often Python crosses into Box2D: the car's formulas (:mod:`world_models.envs.carracing.driving`)
and the track's geometry are compiled, and who touches whom is read, not asked.
``tests/unit/envs/test_carracing_physics.py`` holds both against Gymnasium.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from world_models.envs.carracing import track
from world_models.envs.carracing.car import Car
from world_models.envs.carracing.contacts import FrictionDetector
from world_models.envs.carracing.disturbed import UNCHANGED
from world_models.envs.carracing.driving import DT
from world_models.envs.carracing.genuine import b2, car_racing

_WHITE, _RED = (255, 255, 255), (255, 0, 0)


class Game(car_racing.CarRacing):
    """Gymnasium's game; ``state_pixels`` is left to the caller.

    ``step`` and ``reset`` return None where Gymnasium's return the frame. Beside Gymnasium's own
    attributes there are ``tiles`` (n, 4, 2), ``tile_colors`` (n, 3), which the contact listener
    changes in place, ``kerbs`` (m, 4, 2) and ``kerb_of`` (m,), the tile that each belongs to. Of
    ``changes``, which are set before a reset, friction and the turn act here; the picture is the
    caller's.
    """

    road: Any
    car: Car
    changes = UNCHANGED

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode=render_mode)
        self._shape = b2.polygonShape(vertices=[(0, 0), (1, 0), (1, -1), (0, -1)])
        self._fixture = b2.fixtureDef(shape=self._shape, isSensor=True)
        self._body = b2.bodyDef(fixtures=self._fixture)

    def _create_track(self) -> bool:
        self.road = []
        self.start_alpha = track.START_ALPHA
        lap = track.draw_lap(self.np_random)
        border = track.hard_turns(lap)
        self.tiles, self.kerbs = track.road_polygons(lap, border)
        self.kerb_of: NDArray[np.int64] = np.flatnonzero(border)
        shade = np.array([0.01 * (i % 3) * 255 for i in range(3)])
        self.tile_colors = self.road_color + shade[np.arange(len(lap)) % 3, None]
        self._lay_tiles()
        self.track = [tuple(point) for point in lap.tolist()]
        self.track[0] = self.changes.start(self.track[0])
        return True

    def _lay_tiles(self) -> None:
        create, define, shape = self.world.CreateBody, self._body, self._shape
        fixture = self._fixture
        for i, corners in enumerate(self.tiles.tolist()):
            shape.vertices = corners
            fixture.shape = shape
            tile = create(define)
            tile.userData = tile
            tile.color = self.tile_colors[i]
            tile.road_visited = False
            tile.road_friction = self.changes.friction
            tile.idx = i
            self.road.append(tile)

    @property
    def road_poly(self) -> list[tuple[list[tuple[float, float]], Any]]:
        """What Gymnasium's own picture draws: each tile, then its border if it has one."""
        kerbs = dict(zip(self.kerb_of.tolist(), self.kerbs.tolist(), strict=True))
        polygons = []
        for i, corners in enumerate(self.tiles.tolist()):
            polygons.append((corners, self.tile_colors[i]))
            if i in kerbs:
                polygons.append((kerbs[i], _WHITE if i % 2 == 0 else _RED))
        return polygons

    @road_poly.setter
    def road_poly(self, _: Any) -> None:
        """Gymnasium empties its list at each reset; here the arrays are replaced instead."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[None, dict[str, Any]]:
        """As Gymnasium's: a new track from the game's generator, and one step without action."""
        del options
        super(car_racing.CarRacing, self).reset(seed=seed)
        self._destroy()  # type: ignore[no-untyped-call]
        listener = FrictionDetector(self, self.lap_complete_percent)
        self.world.contactListener_bug_workaround = listener
        self.world.contactListener = listener
        self.reward = self.prev_reward = self.t = 0.0
        self.tile_visited_count = 0
        self.new_lap = False
        while not self._create_track():
            pass
        self.car = Car(self.world, *self.track[0][1:4], self.changes.friction)
        listener.know(self.road, self.car.wheels)
        self._advance()
        return None, {}

    def _advance(self) -> None:
        self.car.step(DT)
        self.world.Step(DT, 6 * 30, 2 * 30)
        self.car.look()
        self.t += DT

    def step(  # type: ignore[override]
        self, action: NDArray[np.floating[Any]]
    ) -> tuple[None, float, bool, bool, dict[str, Any]]:
        """One fiftieth of a second; action is (3,): steering, gas, brake."""
        steer, gas, brake = action.tolist()
        car = self.car
        car.control(-steer, gas, brake)
        self._advance()
        self.reward -= 0.1
        reward = self.reward - self.prev_reward
        self.prev_reward = self.reward
        terminated, info = False, {}
        if self.tile_visited_count == len(self.track) or self.new_lap:
            terminated = True
            info["lap_finished"] = True
        if max(abs(car.pose[0]), abs(car.pose[1])) > car_racing.PLAYFIELD:
            terminated = True
            info["lap_finished"] = False
            reward = -100.0
        return None, reward, terminated, False, info
