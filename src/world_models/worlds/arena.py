"""Units of work for the engine: policies play episodes in a world that a worker keeps."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from world_models.controller.policy import ControllerSpec, Squash, policies
from world_models.worlds.build import Plan
from world_models.worlds.episodes import Outcomes, play
from world_models.worlds.world import World


@dataclass(frozen=True)
class ArenaPlan:
    """What a worker sets up once: a world, and the shape of those who play in it."""

    world: Plan
    spec: ControllerSpec
    squash: Squash


@dataclass(frozen=True)
class Arena:
    """What a worker keeps between units: starting simulators costs more than many steps."""

    world: World
    spec: ControllerSpec
    squash: Squash


@dataclass(frozen=True)
class Bout:
    """A unit: k policies play r episodes each, in lockstep. Its result depends on it alone.

    Attributes:
        theta: float32 (k, P).
        seeds: int64 (k · r,), those of policy i at i · r to (i + 1) · r − 1.
        patience: see :func:`~world_models.worlds.episodes.play`.
        max_steps: see there.
    """

    theta: NDArray[np.float32]
    seeds: NDArray[np.int64]
    patience: int | None = None
    max_steps: int | None = None


def setup(plan: ArenaPlan) -> Arena:
    """Build the world, on the worker."""
    return Arena(plan.world.build(), plan.spec, plan.squash)


def work(arena: Arena, bout: Bout) -> Outcomes:
    """Play a bout."""
    act = policies(arena.spec, bout.theta, arena.squash)
    seeds = bout.seeds.tolist()
    return play(arena.world, act, seeds, patience=bout.patience, max_steps=bout.max_steps)
