"""Evaluation's units of work: a batch of episodes, some of them recorded."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from world_models.controller.policy import policies
from world_models.envs import catalogue
from world_models.envs.disturbance import NONE, Disturbance
from world_models.envs.policies import Behaviour, make_policy
from world_models.envs.vector import Lockstep
from world_models.evaluation.recordings import Recording
from world_models.seeding import stream
from world_models.worlds.arena import Arena
from world_models.worlds.blind import Blind
from world_models.worlds.episodes import Act, Outcomes, play
from world_models.worlds.world import FloatArray, Step


@dataclass(frozen=True)
class Trial:
    """A unit: one C plays an episode for each seed, in lockstep.

    Attributes:
        theta: C's parameters, float32 (P,).
        seeds: int64 (m,).
        record: the first so many episodes are recorded.
    """

    theta: NDArray[np.float32]
    seeds: NDArray[np.int64]
    record: int = 0


@dataclass(frozen=True)
class Played:
    """Result of a unit, in the order of its seeds."""

    seeds: NDArray[np.int64]
    outcomes: Outcomes
    recordings: tuple[Recording, ...] = ()


@dataclass
class _Recorder:
    members: int
    z_size: int
    actions: list[FloatArray] = field(default_factory=list)
    z: list[FloatArray] = field(default_factory=list)

    def __call__(self, features: FloatArray, actions: FloatArray, _step: Step) -> None:
        self.actions.append(actions[: self.members].copy())
        self.z.append(features[: self.members, : self.z_size].copy())

    def recordings(self, seeds: NDArray[np.int64], lengths: NDArray[np.int64]) -> list[Recording]:
        actions, z = np.stack(self.actions), np.stack(self.z)
        return [
            Recording(int(seeds[i]), actions[: lengths[i], i], z[: lengths[i], i])
            for i in range(min(self.members, len(seeds)))
        ]


def work(arena: Arena, trial: Trial) -> Played:
    """Play a trial; the state is made by :func:`world_models.worlds.arena.setup`."""
    act = policies(arena.spec, trial.theta, arena.squash)
    recorder = _Recorder(trial.record, arena.world.z_size) if trial.record else None
    outcomes = play(arena.world, act, trial.seeds.tolist(), observe=recorder)
    shown = recorder.recordings(trial.seeds, outcomes.lengths) if recorder else []
    return Played(trial.seeds, outcomes, tuple(shown))


@dataclass(frozen=True)
class RandomPlan:
    """The random policy in a simulator.

    Attributes:
        environment: such as ``carracing``.
        policy: how it draws its actions.
        num_envs: episodes in lockstep.
        disturbance: what is changed in the simulators.
    """

    environment: str
    policy: Behaviour
    num_envs: int
    disturbance: Disturbance = NONE


@dataclass(frozen=True)
class RandomPlayer:
    """What a worker keeps between units of the random policy."""

    plan: RandomPlan
    world: Blind


def setup_random(plan: RandomPlan) -> RandomPlayer:
    """Start the simulators, on the worker.

    The fast renderer serves: rewards, ends and the game itself are the same with either.
    """
    where = (plan.environment, plan.num_envs, catalogue.FAST)
    return RandomPlayer(plan, Blind(Lockstep(*where, disturbance=plan.disturbance)))


def work_random(player: RandomPlayer, seeds: NDArray[np.int64]) -> Played:
    """Let the random policy play; each episode's draws depend on its seed alone."""
    act = _random(player.plan, seeds)
    return Played(seeds, play(player.world, act, seeds.tolist()))


def _random(plan: RandomPlan, seeds: NDArray[np.int64]) -> Act:
    where = catalogue.specification(plan.environment)
    streams = (stream(int(seed), "random policy") for seed in seeds)
    members = [make_policy(plan.policy, where, one) for one in streams]

    def act(_features: FloatArray) -> FloatArray:
        return np.stack([member() for member in members]).astype(np.float32)

    return act
