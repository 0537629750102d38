"""Several simulators in this process, stepped in lockstep."""

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from world_models.envs import catalogue
from world_models.envs.disturbance import NONE, Disturbance

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]
Frames = NDArray[np.uint8]
Stepped = tuple[Frames, FloatArray, BoolArray, BoolArray, dict[str, Any]]


class Lockstep(gymnasium.vector.VectorEnv[Frames, FloatArray, NDArray[Any]]):
    """A vector of simulators whose finished members stand still until the next reset.

    A reset may start fewer episodes than there are simulators: m of them, and all arrays are then
    of length m. The frames, uint8 (m, 64, 64, 3), are one buffer that every step writes into:
    copy what is to last. Standing still costs nothing and gives the last frame, reward 0 and both
    flags False; a flag is True once, on the step that ended the episode.

    Args:
        environment: one of ``catalogue.names()``.
        num_envs: simulators.
        renderer: ``fast``, ``genuine``, or a name of the simulator's own.
        render_mode: None, or ``rgb_array`` for :meth:`render`.
        disturbance: what is changed in all of them.

    Attributes:
        action_size: A, numbers in an action.

    Raises:
        ParameterError: an unknown environment, renderer, mode or disturbance.
        EnvironmentMissingError: the simulator cannot start on this machine.
    """

    metadata = {"autoreset_mode": AutoresetMode.DISABLED, "render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(
        self,
        environment: str,
        num_envs: int,
        renderer: str,
        render_mode: str | None = None,
        disturbance: Disturbance = NONE,
    ) -> None:
        assert num_envs > 0, num_envs
        self.num_envs, self.render_mode = num_envs, render_mode
        self._simulators: list[catalogue.Simulator] = []
        try:
            for _ in range(num_envs):
                made = catalogue.create(environment, renderer, render_mode, disturbance)
                self._simulators.append(made)
        except BaseException:
            self.close_extras()
            raise
        first = self._simulators[0]
        self.metadata = {**first.metadata, **self.metadata}
        self.single_observation_space = first.observation_space
        self.single_action_space = first.action_space
        self.observation_space = batch_space(first.observation_space, num_envs)
        self.action_space = batch_space(first.action_space, num_envs)
        assert first.action_space.shape is not None
        assert first.observation_space.shape is not None
        self.action_size: int = first.action_space.shape[0]
        self._buffer = np.zeros((num_envs, *first.observation_space.shape), np.uint8)
        self._live = np.zeros(0, np.bool_)
        self._figures: list[Mapping[str, float]] = []

    @property
    def figures(self) -> tuple[Mapping[str, float], ...]:
        """What the simulators said at the end of each of the m episodes, by name; often nothing."""
        return tuple(self._figures)

    @property
    def live(self) -> BoolArray:
        """Which episodes are under way, bool (m,); not to be written to."""
        return self._live

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Frames, dict[str, Any]]:
        """Start an episode for each seed, m ≤ num_envs of them; an int counts up from there.

        With ``options={"reset_mask": mask}``, bool (num_envs,), only those members start anew and
        the others stay as they are.
        """
        seeds = self._seeds(seed)
        mask = (options or {}).get("reset_mask")
        chosen = np.ones(len(seeds), np.bool_) if mask is None else np.asarray(mask, np.bool_)
        if mask is None:
            self._live = np.zeros(len(seeds), np.bool_)
            self._figures = [{} for _ in seeds]
        assert chosen.shape == self._live.shape == (len(seeds),), "a mask has a flag a member"
        for i in np.flatnonzero(chosen):
            self._buffer[i], _ = self._simulators[i].reset(seed=seeds[i])
            self._figures[i] = {}
        self._live |= chosen
        return self._buffer[: len(seeds)], {}

    def step(self, actions: FloatArray) -> Stepped:
        """Act in the members that are under way; actions float32 (m, A), rewards float32 (m,)."""
        m = len(self._live)
        assert len(actions) == m, (len(actions), m)
        rewards = np.zeros(m, np.float32)
        terminated, truncated = np.zeros(m, np.bool_), np.zeros(m, np.bool_)
        for i in np.flatnonzero(self._live):
            self._buffer[i], rewards[i], terminated[i], truncated[i], info = self._simulators[
                i
            ].step(actions[i])
            if terminated[i] or truncated[i]:
                self._figures[i] = info.get("episode_figures", {})
        self._live = self._live & ~(terminated | truncated)
        return self._buffer[:m], rewards, terminated, truncated, {}

    def retire(self, mask: BoolArray) -> None:
        """Let members stand still from now on; mask bool (m,)."""
        self._live = self._live & ~mask

    def render(self) -> tuple[Any, ...] | None:
        """Each simulator's large picture."""
        if self.render_mode is None:
            return None
        return tuple(simulator.render() for simulator in self._simulators)

    def close_extras(self, **_: Any) -> None:
        """Close the simulators; called by ``close()``."""
        for simulator in self._simulators:
            simulator.close()

    def _seeds(self, seed: int | Sequence[int | None] | None) -> list[int | None]:
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, int | np.integer):
            return [int(seed) + i for i in range(self.num_envs)]
        seeds = [None if s is None else int(s) for s in seed]
        assert 0 < len(seeds) <= self.num_envs, (len(seeds), self.num_envs)
        return seeds
