"""Gymnasium's CarRacing without its pictures: the same rewards, ends and car, bit for bit, sooner.

The class is Gymnasium's own; Box2D's world, the contact listener and the car's bodies are
untouched. What changes is how often Python crosses into Box2D: the formulas of ``Car.step`` are
evaluated in plain floats (numpy's scalars give the same bits ten times slower), and the track's
geometry is compiled. ``tests/unit/envs/test_carracing_physics.py`` holds both against Gymnasium.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from world_models.envs.carracing import track
from world_models.envs.carracing.genuine import b2, car_dynamics, car_racing

_DT = 1.0 / car_racing.FPS
_POWER_DT = _DT * car_dynamics.ENGINE_POWER
_INERTIA = car_dynamics.WHEEL_MOMENT_OF_INERTIA
_ROAD_FRICTION = car_dynamics.FRICTION_LIMIT * 1.0
_GRASS_FRICTION = car_dynamics.FRICTION_LIMIT * 0.6
_STIFFNESS = 205000 * car_dynamics.SIZE * car_dynamics.SIZE
_BRAKE_FORCE = 15
_WHITE, _RED = (255, 255, 255), (255, 0, 0)


def _sign(value: float) -> float:
    return 1.0 if value > 0 else (-1.0 if value < 0 else 0.0)


class Car(car_dynamics.Car):
    """Gymnasium's car, its formulas in plain floats and in the original order of operations."""

    def gas(self, gas: float) -> None:
        """Open the throttle towards ``gas`` (clipped to 0–1), by at most 0.1 a step."""
        gas = min(max(gas, 0.0), 1.0)
        for w in self.wheels[2:4]:
            w.gas += min(gas - w.gas, 0.1)

    def step(self, dt: float) -> None:
        """Turn controls into motor speeds and forces on the four wheels; dt is always 1/50 s."""
        assert dt == _DT
        for w in self.wheels:
            self._turn(w)
            self._roll(w)

    def _turn(self, w: Any) -> None:
        joint = w.joint
        error = w.steer - joint.angle
        joint.motorSpeed = _sign(error) * min(50.0 * abs(error), 3.0)

    def _spin(self, w: Any) -> float:
        """The wheel's angular velocity after engine and brake."""
        omega: float = w.omega
        gas = w.gas
        if gas:
            power = _POWER_DT * gas
            omega += power / _INERTIA / (abs(omega) + 5.0)
            self.fuel_spent += power
        brake = w.brake
        if brake >= 0.9:
            omega = 0.0
        elif brake > 0:
            drop = min(_BRAKE_FORCE * brake, abs(omega))
            omega += -_sign(omega) * drop
        w.phase += omega * _DT
        return omega

    def _roll(self, w: Any) -> None:
        side = w.GetWorldVector((1, 0))
        side_x, side_y = side.x, side.y
        forw_x, forw_y = 0.0 - side_y, side_x  # exact: a rotation's other column
        velocity = w.linearVelocity
        v_x, v_y = velocity.x, velocity.y
        omega = self._spin(w)
        f_force = -(forw_x * v_x + forw_y * v_y) + omega * w.wheel_rad
        p_force = -(side_x * v_x + side_y * v_y)
        f_force *= _STIFFNESS
        p_force *= _STIFFNESS
        force = math.sqrt(f_force * f_force + p_force * p_force)
        grass = not w.tiles
        limit = _GRASS_FRICTION if grass else _ROAD_FRICTION
        self._skid(w, grass, force > 2.0 * limit)
        if force > limit:
            f_force = f_force / force * limit
            p_force = p_force / force * limit
        w.omega = omega - _DT * f_force * w.wheel_rad / _INERTIA
        push = (p_force * side_x + f_force * forw_x, p_force * side_y + f_force * forw_y)
        w.ApplyForceToCenter(push, wake=True)

    def _skid(self, w: Any, grass: bool, sliding: bool) -> None:  # noqa: FBT001
        """Keep the marks on the ground, which only the large picture shows."""
        if not sliding:
            w.skid_start = None
            w.skid_particle = None
            return
        mark = w.skid_particle
        if mark and mark.grass == grass and len(mark.poly) < 30:
            position = w.position
            mark.poly.append((position[0], position[1]))
        elif w.skid_start is None:
            w.skid_start = w.position
        else:
            mark = self._create_particle(w.skid_start, w.position, grass)  # type: ignore[no-untyped-call]
            w.skid_particle = mark
            w.skid_start = None


_build: Any = Car
_detector: Any = car_racing.FrictionDetector


class Game(car_racing.CarRacing):
    """Gymnasium's game; ``state_pixels`` is left to the caller.

    ``step`` and ``reset`` return None where Gymnasium's return the frame. Beside Gymnasium's own
    attributes there are ``tiles`` (n, 4, 2), ``tile_colors`` (n, 3), which the contact listener
    changes in place, ``kerbs`` (m, 4, 2) and ``kerb_of`` (m,), the tile that each belongs to.
    """

    road: Any
    car: Any

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode=render_mode)
        self._shape = b2.polygonShape(vertices=[(0, 0), (1, 0), (1, -1), (0, -1)])
        self._fixture = b2.fixtureDef(shape=self._shape, isSensor=True)
        self._body = b2.bodyDef(fixtures=self._fixture)

    def _create_track(self) -> bool:
        points = track.draw_checkpoints(self.np_random)
        self.road = []
        self.start_alpha = track.START_ALPHA
        lap = track.closed_lap(points)
        if not len(lap):
            return False
        border = track.hard_turns(lap)
        self.tiles, self.kerbs = track.road_polygons(lap, border)
        self.kerb_of: NDArray[np.int64] = np.flatnonzero(border)
        shade = np.array([0.01 * (i % 3) * 255 for i in range(3)])
        self.tile_colors = self.road_color + shade[np.arange(len(lap)) % 3, None]
        self._lay_tiles()
        self.track = [tuple(point) for point in lap.tolist()]
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
            tile.road_friction = 1.0
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
        listener = _detector(self, self.lap_complete_percent)
        self.world.contactListener_bug_workaround = listener
        self.world.contactListener = listener
        self.reward = self.prev_reward = self.t = 0.0
        self.tile_visited_count = 0
        self.new_lap = False
        while not self._create_track():
            pass
        self.car = _build(self.world, *self.track[0][1:4])
        self._advance()
        return None, {}

    def _advance(self) -> None:
        self.car.step(_DT)
        self.world.Step(_DT, 6 * 30, 2 * 30)
        self.t += _DT

    def step(  # type: ignore[override]
        self, action: NDArray[np.floating[Any]]
    ) -> tuple[None, float, bool, bool, dict[str, Any]]:
        """One fiftieth of a second; action is (3,): steering, gas, brake."""
        steer, gas, brake = action.tolist()
        car = self.car
        car.steer(-steer)
        car.gas(gas)
        car.brake(brake)
        self._advance()
        self.reward -= 0.1
        car.fuel_spent = 0.0
        reward = self.reward - self.prev_reward
        self.prev_reward = self.reward
        terminated, info = False, {}
        if self.tile_visited_count == len(self.track) or self.new_lap:
            terminated = True
            info["lap_finished"] = True
        place = car.hull.position
        if abs(place.x) > car_racing.PLAYFIELD or abs(place.y) > car_racing.PLAYFIELD:
            terminated = True
            info["lap_finished"] = False
            reward = -100.0
        return None, reward, terminated, False, info
