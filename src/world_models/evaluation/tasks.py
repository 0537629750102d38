"""An agent's trials as tasks for the engine: in the simulator, and in M's dream."""

from typing import Literal

from world_models.agent import Agent
from world_models.engine.api import Task
from world_models.envs import catalogue
from world_models.envs.disturbance import NONE, Disturbance
from world_models.evaluation import trials
from world_models.worlds import arena
from world_models.worlds.arena import ArenaPlan
from world_models.worlds.build import Plan
from world_models.worlds.parts import Ends


def in_reality(
    agent: Agent,
    batch: int,
    latent: Literal["sample", "mean"],
    renderer: str = catalogue.GENUINE,
    disturbance: Disturbance = NONE,
) -> Task:
    """Trials in the simulator, ``batch`` episodes in lockstep; C sees a sample of z, or mu."""
    features = agent.controller.spec.features
    return _task(agent, agent.parts.reality(features, latent, renderer, batch, disturbance))


def in_dream(agent: Agent, batch: int, tau: float, ends: Ends) -> Task:
    """Trials in M's dream at temperature ``tau``, ``batch`` dreams in lockstep."""
    return _task(agent, agent.parts.dream(agent.controller.spec.features, tau, batch, ends))


def _task(agent: Agent, world: Plan) -> Task:
    squash = agent.specification.actions.squash
    return Task(arena.setup, ArenaPlan(world, agent.controller.spec, squash), trials.work)
