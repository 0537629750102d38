"""The dream as Gymnasium environments, so that any library can train in it.

``gymnasium.make("world_models:WorldModels/Dream-v0", checkpoint="models/takecover/mdnrnn",
tau=1.15)``, and ``gymnasium.make_vec(…, num_envs=64, …)`` for many at once.
"""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from world_models.envs import catalogue
from world_models.envs.actions import checked
from world_models.envs.frames import SIZE
from world_models.errors import ParameterError
from world_models.memory.model import Memory
from world_models.seeding import stream
from world_models.storage import artifact
from world_models.vision.model import Vision
from world_models.worlds.dream import Dream
from world_models.worlds.parts import Ends

LIMIT = 1e6
"""Bound of the observation space: wider than what any M says, but finite."""

# OpenMP's threads do not exist in a forked child (Gymnasium's AsyncVectorEnv), which would wait
# for them for ever.
os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))

Observation = NDArray[np.float32]
Frame = NDArray[np.uint8]


class _Setting:
    """What single and vector environment share: M, spaces, and V for pictures."""

    def __init__(
        self,
        checkpoint: str | Path,
        tau: float,
        cap: int | None,
        vae: str | Path | None,
        ends: Ends,
        num_envs: int,
    ) -> None:
        if ends not in get_args(Ends):
            raise ParameterError(f"ends = {ends!r}: a dream's ends are 'threshold' or 'drawn'.")
        folder = Path(checkpoint)
        self.environment = artifact.open_artifact(folder, "mdnrnn", verify=False).environment
        self.specification = catalogue.specification(self.environment)
        self.memory = Memory.load(folder)
        self.vision = Vision.load(Path(vae), self.environment) if vae is not None else None
        if self.vision is not None:
            self.memory.check(self.vision.z_size)
        self.features = self.memory.paper_features
        self.dream = Dream(
            self.memory,
            tau=tau,
            cap=self.specification.cap if cap is None else cap,
            num_envs=num_envs,
            features=self.features,
            ends=ends,
        )

    def observation_space(self) -> gymnasium.Space[Any]:
        high = np.full(self.memory.feature_size(self.features), LIMIT, np.float32)
        return gymnasium.spaces.Box(-high, high, dtype=np.float32)

    def action_space(self) -> gymnasium.Space[Any]:
        actions = self.specification.actions
        return gymnasium.spaces.Box(actions.low, actions.high, dtype=np.float32)

    def check_render_mode(self, mode: str | None) -> str | None:
        if mode not in (None, "rgb_array"):
            raise ParameterError(f"render_mode = {mode!r}: a dream is rendered as 'rgb_array'.")
        return mode

    def frames(self, observations: Observation) -> Frame:
        z = np.ascontiguousarray(observations[:, : self.memory.z_size])
        return tiles(z) if self.vision is None else self.vision.decode(z)


def tiles(z: Observation) -> Frame:
    """Pictures of z (n, Z), uint8 (n, 64, 64, 3): a grey tile for each number, from -3 to 3."""
    side = math.ceil(math.sqrt(z.shape[1]))
    grid = np.zeros((len(z), side * side), np.float32)
    grid[:, : z.shape[1]] = z
    shade = ((grid.clip(-3, 3) / 6 + 0.5) * 255).astype(np.uint8).reshape(-1, side, side)
    rows = np.arange(SIZE) * side // SIZE
    picture: Frame = np.repeat(shade[:, rows][:, :, rows, None], 3, axis=3)
    return picture


def episode_seed(seed: int, number: int) -> int:
    """Seed of the dream ``number`` after a reset with ``seed``: itself, then derived ones."""
    return int(stream(seed, "dream episode", number).integers(2**31)) if number else seed


class DreamEnv(gymnasium.Env[Observation, Observation]):
    """One dream. Observations are C's features: [z, h], in Doom [z, c, h], float32 (F,).

    Actions are those of the real environment. Rewards: of M's reward head; without one 1 a step,
    which is Doom's own. ``render`` gives V's decoding of z, uint8 (64, 64, 3), if ``vae`` is given,
    else z itself as grey tiles.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 35}  # noqa: RUF012

    def __init__(
        self,
        checkpoint: str | Path,
        tau: float = 1.0,
        cap: int | None = None,
        vae: str | Path | None = None,
        render_mode: str | None = None,
        ends: Ends = "threshold",
    ) -> None:
        """Load M.

        Args:
            checkpoint: the folder ``models/<environment>/mdnrnn``.
            tau: temperature, > 0; 1 is M's own uncertainty.
            cap: steps after which a dream is truncated; None for the real environment's.
            vae: the folder ``models/<environment>/vae``, to see what V sees.
            render_mode: None or "rgb_array".
            ends: "threshold", the paper's: where M's logit of the end is above 0; or "drawn": by
                chance, at the risk that M predicts.

        Raises:
            InputError: a checkpoint is missing, damaged, or does not fit the other.
            ParameterError: tau, cap, ends or render_mode is not possible.
        """
        self._setting = _Setting(checkpoint, tau, cap, vae, ends, 1)
        self.render_mode = self._setting.check_render_mode(render_mode)
        self.metadata = {**self.metadata, "render_fps": self._setting.specification.fps}
        self.observation_space = self._setting.observation_space()
        self.action_space = self._setting.action_space()
        self._seed: int | None = None
        self._episode = 0
        self._observation = np.zeros((1, self._setting.dream.feature_size), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start a dream; without a seed, the next of those that the last seed began."""
        super().reset(seed=seed, options=options)
        if seed is None and self._seed is not None:
            self._episode += 1
        else:
            self._seed = int(self.np_random.integers(2**31)) if seed is None else seed
            self._episode = 0
        self._observation = self._setting.dream.reset([episode_seed(self._seed, self._episode)])
        return self._observation[0], {}

    def step(self, action: Observation) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Act once.

        Raises:
            gymnasium.error.InvalidAction: the action has another shape, or is not finite.
        """
        vector = checked(action, self._setting.memory.action_size)
        step = self._setting.dream.step(vector[None])
        self._observation = step.features
        reward, ended, capped = step.rewards[0], step.terminated[0], step.truncated[0]
        return self._observation[0], float(reward), bool(ended), bool(capped), {}

    def render(self) -> Frame | None:
        """The present z by V, or as tiles, uint8 (64, 64, 3); None without a render mode."""
        return None if self.render_mode is None else self._setting.frames(self._observation)[0]


class DreamVectorEnv(VectorEnv[Observation, Observation, NDArray[Any]]):
    """Many dreams in one batch; what happens in each is what :class:`DreamEnv` would show.

    Autoreset is Gymnasium's: by default a dream that ended starts anew on the next step, whose
    action is ignored (``AutoresetMode.NEXT_STEP``); the two others are possible too.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "render_modes": ["rgb_array"],
        "render_fps": 35,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        *,
        checkpoint: str | Path,
        tau: float = 1.0,
        cap: int | None = None,
        vae: str | Path | None = None,
        render_mode: str | None = None,
        ends: Ends = "threshold",
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    ) -> None:
        """Load M; arguments as for :class:`DreamEnv`."""
        self.num_envs = num_envs
        self._setting = _Setting(checkpoint, tau, cap, vae, ends, num_envs)
        self.render_mode = self._setting.check_render_mode(render_mode)
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        fps = self._setting.specification.fps
        self.metadata = {**self.metadata, "render_fps": fps, "autoreset_mode": self.autoreset_mode}
        self.single_observation_space = self._setting.observation_space()
        self.single_action_space = self._setting.action_space()
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._seeds: list[int] | None = None
        self._episodes = np.zeros(num_envs, np.int64)
        self._done = np.zeros(num_envs, np.bool_)
        self._observations = np.zeros((num_envs, self._setting.dream.feature_size), np.float32)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observation, dict[str, Any]]:
        """Start all dreams, or those of ``options["reset_mask"]`` (bool, num_envs).

        Args:
            seed: of the first member, the others count up from it; or one for each member.
            options: may hold the mask; the rest of the members goes on.

        Raises:
            ParameterError: there are more or fewer seeds, or values in the mask, than members.
        """
        if isinstance(seed, (int, np.integer)):
            seed = int(seed)
        elif seed is not None and len(seed) != self.num_envs:
            raise ParameterError(f"{len(seed)} seeds for {self.num_envs} dreams: give one each.")
        super().reset(seed=seed if isinstance(seed, int) else None)
        mask = np.ones(self.num_envs, np.bool_)
        if options and "reset_mask" in options:
            given = np.asarray(options["reset_mask"], np.bool_)
            if given.shape != mask.shape:
                raise ParameterError(
                    f"reset_mask has shape {given.shape}: give one value for each of the "
                    f"{self.num_envs} dreams."
                )
            mask = given if self._seeds is not None else mask
        members = np.flatnonzero(mask)
        self._seed(members, seed)
        if mask.all():
            self._observations = self._setting.dream.reset(self._episode_seeds(members))
        else:
            self._observations = self._setting.dream.restart(members, self._episode_seeds(members))
        self._done[members] = False
        return self._observations.copy(), {}

    def step(
        self, actions: Observation
    ) -> tuple[Observation, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Act in all dreams.

        Raises:
            gymnasium.error.InvalidAction: the actions have another shape, or are not finite.
        """
        dream, fresh = self._setting.dream, self._done.copy()
        step = dream.step(checked(actions, self.num_envs, dream.action_size))
        self._observations = step.features
        self._done = step.terminated | step.truncated
        infos: dict[str, Any] = {}
        if self.autoreset_mode is AutoresetMode.NEXT_STEP:
            self._restart(fresh)
        elif self.autoreset_mode is AutoresetMode.SAME_STEP and self._done.any():
            infos = self._final(self._done)
            self._restart(self._done)
        elif self.autoreset_mode is AutoresetMode.DISABLED:
            self._done |= fresh
        rewards = step.rewards.astype(np.float64)
        return self._observations.copy(), rewards, step.terminated, step.truncated, infos

    def render(self) -> tuple[Frame, ...] | None:
        """Each present z by V, or as tiles, uint8 (64, 64, 3); None without a render mode."""
        if self.render_mode is None:
            return None
        return tuple(self._setting.frames(self._observations))

    def _seed(self, members: NDArray[np.int64], seed: int | Sequence[int | None] | None) -> None:
        """Note the seeds of members; those without one go on with their next episode."""
        if seed is None or isinstance(seed, int):
            given = [None if seed is None else seed + i for i in range(self.num_envs)]
        else:
            given = list(seed)
        if self._seeds is None:
            self._seeds = [int(s) for s in self.np_random.integers(2**31, size=self.num_envs)]
            self._episodes[:] = -1
        for i in members:
            value = given[i]
            if value is None:
                self._episodes[i] += 1
            else:
                self._seeds[i], self._episodes[i] = int(value), 0

    def _episode_seeds(self, members: NDArray[np.int64]) -> list[int]:
        assert self._seeds is not None
        return [episode_seed(self._seeds[i], int(self._episodes[i])) for i in members]

    def _restart(self, mask: NDArray[np.bool_]) -> None:
        members = np.flatnonzero(mask)
        if len(members):
            self._episodes[members] += 1
            seeds = self._episode_seeds(members)
            self._observations = self._setting.dream.restart(members, seeds)

    def _final(self, done: NDArray[np.bool_]) -> dict[str, Any]:
        final = np.empty(self.num_envs, dtype=object)
        for i in np.flatnonzero(done):
            final[i] = self._observations[i].copy()
        return {"final_obs": final, "_final_obs": done.copy()}
