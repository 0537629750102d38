"""Random policies: who acts before there is an agent, and whom the agent is compared with.

Each episode has a policy of its own that draws from a stream of its own, so what it does depends
neither on its neighbours in a batch nor on the worker.
"""

from collections.abc import Callable
from math import sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from world_models.envs.specification import Draw, Specification
from world_models.errors import ParameterError

Action = NDArray[np.float32]
Behaviour = Literal["uniform", "held", "drifting", "brownian"]

HOLD = (1, 10)
"""Steps for which ``held`` keeps an action, both ends included (Doom: the authors' code)."""
DT = 1 / 50
"""Time step of the Brownian walk, as in ctallec's replication."""
LEANING, DRIFT = 2.0, (10, 200)
"""Of ``drifting``: greatest leaning, in half ranges of the action, and the steps one lasts."""
_BLOCK = 256  # draws made at once


def make_policy(
    behaviour: str,
    environment: Specification,
    rng: np.random.Generator,
    hold: tuple[int, int] = HOLD,
) -> Draw:
    """A policy for one episode.

    Args:
        behaviour: ``uniform`` draws every action anew (the paper's random baseline in Doom);
            ``held`` keeps each for a random number of steps, and draws them from the environment's
            own driver where it has one; ``drifting`` holds actions too, and leans to one side for
            longer, so that it gets to the walls of Doom's room, where ``held`` hardly ever is;
            ``brownian`` walks through the action space (ctallec).
        environment: its specification.
        rng: the episode's own stream.
        hold: fewest and most steps for which ``held`` and ``drifting`` keep an action.

    Raises:
        ParameterError: an unknown behaviour.
    """
    if behaviour not in _MAKERS:
        known = ", ".join(_MAKERS)
        raise ParameterError(f"There is no random policy {behaviour!r}. Policies: {known}.")
    draw, nearest = _MAKERS[behaviour](environment, rng, hold), environment.actions.nearest
    return lambda: nearest(draw())


def _uniform(environment: Specification, rng: np.random.Generator, _hold: tuple[int, int]) -> Draw:
    low, high = environment.actions.low, environment.actions.high

    def act() -> Action:
        return rng.uniform(low, high).astype(np.float32)

    return act


def _held(environment: Specification, rng: np.random.Generator, hold: tuple[int, int]) -> Draw:
    own = environment.driver
    return _holding(own(rng) if own else _uniform(environment, rng, hold), rng, hold)


def _drifting(environment: Specification, rng: np.random.Generator, hold: tuple[int, int]) -> Draw:
    """How far it leans differs between episodes: some stay about one place, others run far."""
    low, high = environment.actions.low, environment.actions.high
    leaning_by = LEANING * rng.random()
    uniform = _holding(_uniform(environment, rng, hold), rng, hold)
    leaning = _holding(_uniform(environment, rng, hold), rng, DRIFT)

    def act() -> Action:
        sideways = leaning_by * (leaning() - (low + high) / 2)
        return np.minimum(np.maximum(uniform() + sideways, low), high).astype(np.float32)

    return act


def _holding(draw: Draw, rng: np.random.Generator, hold: tuple[int, int]) -> Draw:
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


def spells(
    environment: Specification, rng: np.random.Generator, share: float
) -> Callable[[], Action | None]:
    """Disturbs another policy for an episode: now and then it acts at random for 1 to 10 steps.

    Args:
        environment: its specification; actions are those of the policy ``held``.
        rng: the episode's own stream.
        share: of the steps that are random, on average, 0 ≤ share < 1.

    Returns:
        What gives each step's random action, or None where the other policy acts.
    """
    own, nearest = environment.driver, environment.actions.nearest
    draw = own(rng) if own else _uniform(environment, rng, HOLD)
    mean = sum(HOLD) / 2
    begin = share / (share + mean * (1 - share))
    action, left = np.empty(0, np.float32), 0

    def act() -> Action | None:
        nonlocal action, left
        if left == 0:
            if rng.random() >= begin:
                return None
            action, left = nearest(draw()), int(rng.integers(HOLD[0], HOLD[1] + 1))
        left -= 1
        return action

    return act


def _brownian(environment: Specification, rng: np.random.Generator, _hold: tuple[int, int]) -> Draw:
    low, high = environment.actions.low, environment.actions.high
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


_MAKERS: dict[str, Callable[[Specification, np.random.Generator, tuple[int, int]], Draw]] = {
    "uniform": _uniform,
    "held": _held,
    "drifting": _drifting,
    "brownian": _brownian,
}
