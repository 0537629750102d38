"""The trained agent: V, M and C, opened together and fitting each other."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from world_models.controller.model import Controller
from world_models.engine.api import Task
from world_models.envs import catalogue
from world_models.evaluation import trials
from world_models.memory.model import Memory
from world_models.vision.model import Vision
from world_models.worlds import arena
from world_models.worlds.arena import ArenaPlan
from world_models.worlds.build import Parts, Plan


@dataclass(frozen=True)
class Agent:
    """V, M and C of one environment."""

    environment: str
    vision: Vision
    memory: Memory
    controller: Controller

    @classmethod
    def load(cls, environment: str, vae: Path, mdnrnn: Path, controller: Path) -> Self:
        """Open the three artifacts.

        Raises:
            InputError: one is missing, damaged, of another environment, or they do not fit.
        """
        vision = Vision.load(vae, environment)
        memory = Memory.load(mdnrnn, environment)
        mind = Controller.load(controller, environment)
        memory.check(vision.z_size)
        mind.check(memory.feature_size(mind.spec.features), memory.action_size)
        return cls(environment, vision, memory, mind)

    @property
    def ends_in_dreams(self) -> bool:
        """Whether M predicts reward or end, so that a dream's return says something."""
        return bool(self.memory.predicts)

    def in_reality(
        self,
        batch: int,
        latent: Literal["sample", "mean"],
        renderer: str = catalogue.GENUINE,
    ) -> Task:
        """Trials in the simulator, ``batch`` episodes in lockstep."""
        features = self.controller.spec.features
        return self._task(self._parts.reality(features, latent, renderer, batch))

    def in_dream(self, batch: int, tau: float) -> Task:
        """Trials in M's dream at temperature ``tau``."""
        return self._task(self._parts.dream(self.controller.spec.features, tau, batch))

    @property
    def _parts(self) -> Parts:
        return Parts(self.environment, self.vision, self.memory)

    def _task(self, world: Plan) -> Task:
        squash = catalogue.specification(self.environment).actions.squash
        plan = ArenaPlan(world, self.controller.spec, squash)
        return Task(arena.setup, plan, trials.work)
