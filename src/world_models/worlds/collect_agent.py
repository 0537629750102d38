"""Collects episodes with a trained agent: what a random policy never reaches (paper, section 5).

Loaded by name when ``policy: controller`` asks for it, see :mod:`world_models.stages.rollouts`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from world_models.controller.model import Controller
from world_models.engine.api import Task
from world_models.envs import catalogue
from world_models.envs.recorder import Recorder
from world_models.memory.model import Memory
from world_models.vision.model import Vision
from world_models.worlds import collect
from world_models.worlds.build import Parts, Payload, RealityPlan
from world_models.worlds.collect import Collector, Limits
from world_models.worlds.episodes import Act

LOCKSTEP = 8
"""Episodes over which V and M are batched. 8 episodes of 2100 frames are 200 MB."""


@dataclass(frozen=True)
class AgentPlan:
    """What an agent's :class:`Collector` is built from; picklable.

    Attributes:
        world: with V and M.
        limits: which part of what is played is kept.
        controller: C's payload.
    """

    world: RealityPlan
    limits: Limits
    controller: Payload


def task(
    environment: str,
    paths: Mapping[str, Path],
    renderer: str,
    latent: Literal["sample", "mean"],
    limits: Limits,
) -> Task:
    """The engine's task; the artifacts' weights travel with it.

    Args:
        environment: such as ``carracing``.
        paths: folders of ``vae``, ``mdnrnn`` and ``controller``.
        renderer: a name that the environment's specification lists.
        latent: whether C sees a sample of z, or mu.
        limits: which part of what is played is kept.

    Raises:
        InputError: an artifact is missing, damaged, or they do not fit each other.
    """
    vision = Vision.load(paths["vae"], environment)
    memory = Memory.load(paths["mdnrnn"], environment)
    controller = Controller.load(paths["controller"], environment)
    features = controller.spec.features
    parts = Parts(environment, vision, memory)
    controller.check(memory.feature_size(features), memory.action_size)
    world = parts.reality(features, latent, renderer, LOCKSTEP)
    return Task(setup, AgentPlan(world, limits, controller.payload()), collect.work)


def setup(plan: AgentPlan) -> Collector:
    """Start the simulators and load V, M and C, on the worker."""
    controller, world = Controller.from_arrays(*plan.controller), plan.world
    squash = catalogue.specification(world.environment).actions.squash
    recorder = Recorder(world.environment, world.num_envs, world.renderer)

    def policy(seeds: Sequence[int]) -> Act:
        return controller.policy(squash)

    return Collector(recorder, world.around(recorder), policy, plan.limits)
