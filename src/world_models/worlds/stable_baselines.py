"""The batched dream for Stable-Baselines3, which has a vector interface of its own.

``PPO("MlpPolicy", DreamVecEnv(64, checkpoint="models/takecover/mdnrnn", tau=1.15)).learn(100_000)``
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from world_models.worlds.dream_env import DreamVectorEnv, Observation

Members = int | Iterable[int] | None
"""Which members of a batch: one, several, or all."""


class DreamVecEnv(VecEnv):
    """Many dreams in one batch, as a ``VecEnv``.

    A dream that ended has its last observation in ``infos[i]["terminal_observation"]``, and
    ``"TimeLimit.truncated"`` says whether only the cap ended it.
    """

    def __init__(self, num_envs: int, **dream: Any) -> None:
        """Load M.

        Args:
            num_envs: dreams in the batch.
            dream: as for :class:`~world_models.worlds.dream_env.DreamVectorEnv`: ``checkpoint``,
                ``tau``, ``cap``, ``vae``, ``ends``, ``render_mode``.
        """
        self.dream = DreamVectorEnv(num_envs, autoreset_mode=AutoresetMode.SAME_STEP, **dream)
        spaces = self.dream.single_observation_space, self.dream.single_action_space
        super().__init__(num_envs, *spaces)
        self.metadata = self.dream.metadata
        self._actions: Observation = np.zeros(self.dream.action_space.shape or (), np.float32)

    def reset(self) -> Observation:
        """Start all dreams, with the seeds that ``seed`` has set, if any: float32 (n, F)."""
        seeds = None if all(seed is None for seed in self._seeds) else self._seeds
        observations, _ = self.dream.reset(seed=seeds)
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: Observation) -> None:
        """Note what is to be done, (n, A)."""
        self._actions = actions

    def step_wait(
        self,
    ) -> tuple[Observation, NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Act: observations float32 (n, F), rewards float32 (n,), ends bool (n,), infos."""
        observations, rewards, terminated, truncated, found = self.dream.step(self._actions)
        done = terminated | truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for member in np.flatnonzero(done):
            infos[member] = {
                "terminal_observation": found["final_obs"][member],
                "TimeLimit.truncated": bool(truncated[member]),
            }
        return observations, rewards.astype(np.float32), done, infos

    def close(self) -> None:
        """Nothing is held open."""

    def get_images(self) -> list[NDArray[np.uint8] | None]:
        """What each dream looks like, uint8 (64, 64, 3) each; None without a render mode."""
        return list(self.dream.render() or [None] * self.num_envs)

    def get_attr(self, attr_name: str, indices: Members = None) -> list[Any]:
        """An attribute, which all dreams share, once for each of ``indices``."""
        return [getattr(self.dream, attr_name)] * self._count(indices)

    def set_attr(self, attr_name: str, value: Any, indices: Members = None) -> None:
        """Refused: the dreams of a batch share one M.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(f"{attr_name}: dreams of a batch share what they are made with.")

    def env_method(
        self, method_name: str, *arguments: Any, indices: Members = None, **options: Any
    ) -> list[Any]:
        """Refused: there is no environment for each dream.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(f"{method_name}: dreams of a batch have no methods of their own.")

    def env_is_wrapped(self, wrapper_class: type[Any], indices: Members = None) -> list[bool]:
        """No dream is wrapped by itself."""
        return [False] * self._count(indices)

    def _count(self, indices: Members) -> int:
        return len(list(self._get_indices(indices)))
