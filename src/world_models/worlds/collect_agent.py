"""Collects episodes with a trained agent: what a random policy never reaches (paper, section 5).

Loaded by name when ``policy: controller`` asks for it, see :mod:`world_models.stages.rollouts`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from world_models.controller.model import Controller
from world_models.controller.policy import Sizes
from world_models.engine.api import Task
from world_models.envs import catalogue
from world_models.envs.recorder import Recorder
from world_models.memory.model import Memory
from world_models.vision.model import Vision
from world_models.worlds import collect
from world_models.worlds.build import Payload
from world_models.worlds.collect import Collector, Limits
from world_models.worlds.episodes import Act
from world_models.worlds.reality import Reality

LOCKSTEP = 8
"""Episodes over which V and M are batched. 8 episodes of 2100 frames are 200 MB."""


@dataclass(frozen=True)
class AgentPlan:
    """What an agent's :class:`Collector` is built from; picklable.

    Attributes:
        environment: such as ``carracing``.
        renderer: ``fast``, ``genuine`` or a name of the simulator's own.
        latent: whether C sees a sample of z, or mu.
        limits: which part of what is played is kept.
        vae: V's payload.
        mdnrnn: M's payload; not used if C sees z alone.
        controller: C's payload.
    """

    environment: str
    renderer: str
    latent: Literal["sample", "mean"]
    limits: Limits
    vae: Payload
    mdnrnn: Payload
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
        renderer: see :class:`AgentPlan`.
        latent: see there.
        limits: see there.

    Raises:
        InputError: an artifact is missing, damaged, or they do not fit each other.
    """
    vision = Vision.load(paths["vae"], environment)
    memory = Memory.load(paths["mdnrnn"], environment)
    controller = Controller.load(paths["controller"], environment)
    memory.check(vision.z_size)
    controller.check(Sizes(vision.z_size, memory.parts["h"], memory.action_size))
    parts = (vision.payload(), memory.payload(), controller.payload())
    plan = AgentPlan(environment, renderer, latent, limits, *parts)
    return Task(setup, plan, collect.work)


def setup(plan: AgentPlan) -> Collector:
    """Start the simulators and load V, M and C, on the worker."""
    controller = Controller.from_arrays(*plan.controller)
    spec = controller.spec
    squash = catalogue.specification(plan.environment).actions.squash
    recorder = Recorder(plan.environment, LOCKSTEP, plan.renderer)
    world = Reality(
        recorder,
        Vision.from_arrays(*plan.vae),
        None if spec.features == "z" else Memory.from_arrays(*plan.mdnrnn),
        features=spec.features,
        latent=plan.latent,
    )

    def policy(seeds: Sequence[int]) -> Act:
        return controller.policy(squash)

    return Collector(recorder, world, policy, plan.limits)
