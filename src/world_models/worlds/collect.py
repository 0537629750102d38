"""Units of work for the engine: a shard's worth of episodes, played and compressed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from world_models.envs import catalogue
from world_models.envs.policies import make_policy
from world_models.envs.recorder import Recorder
from world_models.seeding import stream
from world_models.storage.shards import Episode, encode_shard
from world_models.worlds.blind import Blind
from world_models.worlds.episodes import Act, play
from world_models.worlds.world import FloatArray, World


@dataclass(frozen=True)
class Limits:
    """Which part of what is played is kept.

    Attributes:
        max_steps: steps after which an episode is left.
        patience: steps without a positive reward after which it is left; None: never.
        min_length: steps; shorter episodes are dropped.
    """

    max_steps: int
    patience: int | None
    min_length: int


@dataclass(frozen=True)
class RandomPlan:
    """What a random :class:`Collector` is built from; picklable.

    Attributes:
        environment: such as ``carracing``.
        renderer: ``fast``, ``genuine`` or a name of the simulator's own.
        behaviour: name of the random policy, see :mod:`~world_models.envs.policies`.
        hold: fewest and most steps for which a held action is kept.
        limits: see there.
    """

    environment: str
    renderer: str
    behaviour: str
    hold: tuple[int, int]
    limits: Limits


@dataclass(frozen=True)
class Collector:
    """What a worker keeps between units.

    Attributes:
        recorder: the simulators, and what happens in them.
        world: through which the policy sees them.
        policy: makes the policies for episodes of these seeds.
        limits: see there.
    """

    recorder: Recorder
    world: World
    policy: Callable[[Sequence[int]], Act]
    limits: Limits


def setup_random(plan: RandomPlan) -> Collector:
    """Start the simulators, on the worker."""
    where = catalogue.specification(plan.environment)

    def policy(seeds: Sequence[int]) -> Act:
        streams = (stream(seed, "random policy") for seed in seeds)
        members = [make_policy(plan.behaviour, where, s, plan.hold) for s in streams]

        def act(_features: FloatArray) -> FloatArray:
            return np.stack([member() for member in members])

        return act

    # One simulator: without V and M there is nothing to batch, and one episode is in memory.
    recorder = Recorder(plan.environment, 1, plan.renderer)
    return Collector(recorder, Blind(recorder), policy, plan.limits)


def work(collector: Collector, seeds: NDArray[np.int64]) -> bytes:
    """Play episodes of these seeds: a shard of those long enough, or nothing if none is."""
    kept = _kept(collector, seeds.tolist())
    first = next(kept, None)
    return b"" if first is None else encode_shard(_chain(first, kept))


def _kept(collector: Collector, seeds: list[int]) -> Iterator[Episode]:
    limits, size = collector.limits, collector.world.num_envs
    for start in range(0, len(seeds), size):
        block = seeds[start : start + size]
        act = collector.policy(block)
        most, patience = limits.max_steps, limits.patience
        play(collector.world, act, block, max_steps=most, patience=patience)
        for episode in collector.recorder.episodes():
            if len(episode) >= limits.min_length:
                yield episode


def _chain(first: Episode, rest: Iterator[Episode]) -> Iterator[Episode]:
    yield first
    yield from rest
