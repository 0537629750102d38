"""Random policies: who acts before there is an agent, and whom the agent is compared with.

Each episode has a policy of its own that draws from a stream of its own, so what it does depends
neither on its neighbours in a batch nor on the worker.
"""

from collections.abc import Callable
from math import sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from world_models.errors import ParameterError

Action = NDArray[np.float32]
Policy = Callable[[], Action]
"""Gives the next action, float32 (A,)."""
Behaviour = Literal["uniform", "held", "drifting", "brownian"]

BOUNDS = {
    "carracing": (np.array([-1, 0, 0], np.float32), np.array([1, 1, 1], np.float32)),
    "takecover": (np.array([-1], np.float32), np.array([1], np.float32)),
}
"""Least and greatest action: steering, gas, brake; left to right."""
HOLD = (1, 10)
"""Steps for which ``held`` keeps an action, both ends included (TakeCover: the authors' code)."""
DT = 1 / 50
"""Time step of the Brownian walk, as in ctallec's replication."""
LEANING, DRIFT = 2.0, (10, 200)
"""Of ``drifting``: greatest leaning, in half ranges of the action, and the steps one lasts."""
_BLOCK = 256  # draws made at once


def make_policy(
    behaviour: str, environment: str, rng: np.random.Generator, hold: tuple[int, int] = HOLD
) -> Policy:
    """A policy for one episode.

    Args:
        behaviour: ``uniform`` draws every action anew (the paper's random baseline in TakeCover);
            ``held`` keeps each for a random number of steps, and in CarRacing favours gas over
            the brake; ``drifting`` holds actions too, and leans to one side for longer, so that
            it gets to the walls of TakeCover's room, where ``held`` hardly ever is; ``brownian``
            walks through the action space (CarRacing, ctallec).
        environment: a key of ``BOUNDS``.
        rng: the episode's own stream.
        hold: fewest and most steps for which ``held`` and ``drifting`` keep an action.

    Raises:
        ParameterError: an unknown behaviour or environment.
    """
    if environment not in BOUNDS or behaviour not in _MAKERS:
        known, where = ", ".join(_MAKERS), ", ".join(BOUNDS)
        raise ParameterError(
            f"There is no random policy {behaviour!r} for {environment!r}. "
            f"Policies: {known}; environments: {where}."
        )
    return _MAKERS[behaviour](environment, rng, hold)


def _uniform(environment: str, rng: np.random.Generator, _hold: tuple[int, int]) -> Policy:
    low, high = BOUNDS[environment]

    def act() -> Action:
        return rng.uniform(low, high).astype(np.float32)

    return act


def _held(environment: str, rng: np.random.Generator, hold: tuple[int, int]) -> Policy:
    uniform = _uniform(environment, rng, hold)
    return _holding(_driver(rng) if environment == "carracing" else uniform, rng, hold)


def _drifting(environment: str, rng: np.random.Generator, hold: tuple[int, int]) -> Policy:
    """Each episode has a temper: some dither about one place, others run from wall to wall."""
    low, high = BOUNDS[environment]
    temper = LEANING * rng.random()
    uniform = _holding(_uniform(environment, rng, hold), rng, hold)
    leaning = _holding(_uniform(environment, rng, hold), rng, DRIFT)

    def act() -> Action:
        sideways = temper * (leaning() - (low + high) / 2)
        return np.minimum(np.maximum(uniform() + sideways, low), high).astype(np.float32)

    return act


def _holding(draw: Policy, rng: np.random.Generator, hold: tuple[int, int]) -> Policy:
    """What ``draw`` gives, each for a number of steps drawn evenly from ``hold``."""
    action, left = np.empty(0, np.float32), 0

    def act() -> Action:
        nonlocal action, left
        if left == 0:
            action = draw()
            left = int(rng.integers(hold[0], hold[1] + 1))
        left -= 1
        return action

    return act


def _driver(rng: np.random.Generator) -> Policy:
    """Steering, and gas or one time in ten a light brake, within the episode's own temper.

    Some episodes then crawl along the track, others race and skid off it.
    """
    sharpness, haste = rng.uniform(_CALM, 1, size=2)

    def draw() -> Action:
        steering, pedal = sharpness * rng.uniform(-1, 1), rng.random()
        if rng.random() < _BRAKING:
            return np.array([steering, 0, _LIGHT * pedal], np.float32)
        return np.array([steering, haste * pedal, 0], np.float32)

    return draw


def _brownian(environment: str, rng: np.random.Generator, _hold: tuple[int, int]) -> Policy:
    low, high = BOUNDS[environment]
    action = rng.uniform(low, high).astype(np.float32)
    steps = np.empty((0, len(low)), np.float32)
    t = 0

    def act() -> Action:
        nonlocal action, steps, t
        if t % _BLOCK == 0:
            steps = np.float32(sqrt(DT)) * rng.standard_normal((_BLOCK, len(low)), np.float32)
        now, t = action, t + 1
        action = np.minimum(np.maximum(now + steps[(t - 1) % _BLOCK], low), high)
        return now

    return act


_CALM, _BRAKING, _LIGHT = 0.05, 0.1, 0.5
_MAKERS: dict[str, Callable[[str, np.random.Generator, tuple[int, int]], Policy]] = {
    "uniform": _uniform,
    "held": _held,
    "drifting": _drifting,
    "brownian": _brownian,
}
