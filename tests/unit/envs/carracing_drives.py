"""Ways to drive CarRacing in tests: each gives the next action from the game and the step."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Action = NDArray[np.float32]
Drive = Callable[[Any, int], Action]


def action(steer: float, gas: float, brake: float) -> Action:
    return np.array([steer, gas, brake], np.float32)


def towards(game: Any, x: float, y: float, speed: float) -> Action:
    """Steer at a point, at a speed in metres a second."""
    hull = game.car.hull
    dx, dy = x - hull.position[0], y - hull.position[1]
    error = (math.atan2(-dx, dy) - hull.angle + math.pi) % (2 * math.pi) - math.pi
    fast = math.hypot(*hull.linearVelocity) > speed
    return action(float(np.clip(-2 * error, -1, 1)), 0.0 if fast else 0.5, 0.2 * fast)


def pilot(speed: float, ahead: int = 5) -> Drive:
    """Follows the track by looking at where it goes, so many tiles ahead; below 0: backwards."""

    def drive(game: Any, step: int) -> Action:
        track = np.array(game.track)[:, 2:]
        nearest = np.hypot(*(track - tuple(game.car.hull.position)).T).argmin()
        x, y = track[(nearest + ahead) % len(track)]
        return towards(game, x, y, speed)

    return drive


def held(seed: int) -> Drive:
    """Random actions held for ten steps."""
    rng = np.random.default_rng(seed)
    last = action(0, 0, 0)

    def drive(game: Any, step: int) -> Action:
        nonlocal last
        if step % 10 == 0:
            brake = rng.uniform(0, 1) * (rng.random() < 0.2)
            last = action(rng.uniform(-1, 1), rng.uniform(0, 1), brake)
        return last

    return drive


def outwards(game: Any, step: int) -> Action:
    """Off the track and out of the field, straight away from its centre."""
    x, y = game.car.hull.position
    return towards(game, 10 * x, 10 * y, 40)


def skid(game: Any, step: int) -> Action:
    """Full gas, then the wheel turned over and the brakes on, again and again."""
    if step % 100 < 60:
        return action(0, 1, 0)
    return action(1 if step % 200 < 100 else -1, 0, 0.95 if step % 100 > 85 else 0.3)
