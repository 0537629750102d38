"""Collects episodes with a trained agent: what a random policy never reaches (paper, section 5)."""

from collections.abc import Sequence
from dataclasses import dataclass

from world_models.controller.model import Controller
from world_models.engine.api import Task
from world_models.envs import catalogue
from world_models.envs.policies import spells
from world_models.envs.recorder import Recorder
from world_models.seeding import stream
from world_models.worlds import collect
from world_models.worlds.build import Parts, Payload, RealityPlan
from world_models.worlds.collect import Collector, Limits
from world_models.worlds.episodes import Act
from world_models.worlds.reality import Latent
from world_models.worlds.world import FloatArray

LOCKSTEP = 8
"""Episodes over which V and M are batched. 8 episodes of 2100 frames are 200 MB."""


@dataclass(frozen=True)
class AgentPlan:
    """What an agent's :class:`Collector` is built from; picklable.

    Attributes:
        world: with V and M.
        limits: which part of what is played is kept.
        controller: C's payload.
        noise: share of the steps that are random.
    """

    world: RealityPlan
    limits: Limits
    controller: Payload
    noise: float


def task(
    parts: Parts,
    controller: Controller,
    latent: Latent,
    renderer: str,
    limits: Limits,
    noise: float,
) -> Task:
    """The engine's task, which plays a shard's seeds; the weights travel with it.

    Args:
        parts: V and M.
        controller: C, which fits them.
        latent: whether C sees a sample of z, or mu.
        renderer: a name that the environment's specification lists.
        limits: which part of what is played is kept.
        noise: share of the steps that are random, so that the data show how mistakes are mended.
    """
    world = parts.reality(controller.spec.features, latent, renderer, LOCKSTEP)
    return Task(setup, AgentPlan(world, limits, controller.payload(), noise), collect.work)


def setup(plan: AgentPlan) -> Collector:
    """Start the simulators and load V, M and C, on the worker."""
    controller, world = Controller.from_arrays(*plan.controller), plan.world
    where = catalogue.specification(world.environment)
    chosen = controller.policy(where.actions.squash)
    recorder = Recorder(world.environment, world.num_envs, world.renderer)

    def policy(seeds: Sequence[int]) -> Act:
        if not plan.noise:
            return chosen
        streams = (stream(seed, "agent's mistakes") for seed in seeds)
        mistakes = [spells(where, one, plan.noise) for one in streams]

        def act(features: FloatArray) -> FloatArray:
            actions = chosen(features)
            for i, mistake in enumerate(mistakes):
                random = mistake()
                if random is not None:
                    actions[i] = random
            return actions

        return act

    return Collector(recorder, world.around(recorder), policy, plan.limits)
