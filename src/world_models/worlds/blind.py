"""Simulators for policies that do not look: the random ones."""

from collections.abc import Mapping, Sequence

import numpy as np

from world_models.envs.vector import Lockstep
from world_models.worlds.world import BoolArray, FloatArray, Step


class Blind:
    """A :class:`~world_models.worlds.world.World` without V and M; features are float32 (m, 0)."""

    z_size = feature_size = 0

    def __init__(self, simulators: Lockstep) -> None:
        self._simulators = simulators
        self.num_envs: int = simulators.num_envs
        self.action_size = simulators.action_size
        self._nothing = np.zeros((0, 0), np.float32)

    @property
    def figures(self) -> Sequence[Mapping[str, float]]:
        """See :class:`~world_models.worlds.world.World`."""
        return self._simulators.figures

    def reset(self, seeds: Sequence[int]) -> FloatArray:
        """Start an episode for each seed."""
        self._simulators.reset(seed=[int(seed) for seed in seeds])
        self._nothing = np.zeros((len(seeds), 0), np.float32)
        return self._nothing

    def step(self, actions: FloatArray) -> Step:
        """Act in all members."""
        _, rewards, terminated, truncated, _ = self._simulators.step(actions)
        return Step(self._nothing, rewards, terminated, truncated)

    def retire(self, mask: BoolArray) -> None:
        """Let members stand still from now on; mask bool (m,)."""
        self._simulators.retire(mask)

    def close(self) -> None:
        """Close the simulators."""
        self._simulators.close()
