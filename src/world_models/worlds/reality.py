"""The real environment as C sees it: simulators, V and M, batched over the live episodes."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from world_models.envs.vector import Lockstep
from world_models.seeding import stream
from world_models.worlds.parts import Encoder, RecurrentMemory
from world_models.worlds.world import BoolArray, FloatArray, Step

IntArray = NDArray[np.intp]
Latent = Literal["sample", "mean"]
NOISE_BLOCK = 128
"""Steps whose noise is drawn at once; the numbers do not depend on it."""


class Reality:
    """A :class:`~world_models.worlds.world.World` of simulators.

    Follows the paper's rollout: C acts on (z_t, h_t), the simulator steps, then
    h_{t+1} = M(z_t, a_t, h_t) and z_{t+1} = V(frame) (App. A.1). Features are z and the parts of
    M's state that are asked for, such as [z, h] or, in Doom's order, [z, c, h]; with [z] alone M
    does not run.
    """

    def __init__(
        self,
        simulators: Lockstep,
        vision: Encoder,
        memory: RecurrentMemory | None,
        *,
        features: str,
        latent: Latent,
    ) -> None:
        """Put the parts together.

        Args:
            simulators: n of them; closed with this world.
            vision: V.
            memory: M; None if C sees z alone.
            features: what C sees: z, then the letters of M's parts, such as "zh".
            latent: whether z is sampled from V's (mu, logvar), by a stream that depends on the
                episode's seed alone (the authors' code), or is mu.

        Raises:
            ParameterError: M has no such part.
        """
        assert (memory is None) == (features == "z"), "M runs if C sees its state, only then"
        self._simulators, self._vision, self._memory = simulators, vision, memory
        self._sampled = latent == "sample"
        self.num_envs: int = simulators.num_envs
        space = simulators.single_action_space
        assert isinstance(space, Box)
        self.action_size = space.shape[0]
        z = self.z_size = vision.z_size
        self._seen = () if memory is None else memory.seen(features)
        self.feature_size = z if memory is None else memory.feature_size(features)
        self._state = None if memory is None else memory.start(self.num_envs)
        self._z = np.zeros((self.num_envs, z), np.float32)
        self._shown = np.zeros((self.num_envs, self.feature_size), np.float32)
        self._live = np.zeros(0, np.bool_)
        self._noise = np.empty((self.num_envs, NOISE_BLOCK, z), np.float32)

    @property
    def figures(self) -> Sequence[Mapping[str, float]]:
        """See :class:`~world_models.worlds.world.World`."""
        return self._simulators.figures

    def reset(self, seeds: Sequence[int]) -> FloatArray:
        """Start an episode for each seed, m ≤ num_envs; the first features, float32 (m, F)."""
        m = len(seeds)
        assert 0 < m <= self.num_envs, m
        self._t, self._live = 0, np.ones(m, np.bool_)
        self._shown[:] = 0
        if self._state is not None:
            self._state.forget()
        self._streams = [stream(int(seed), "latent") for seed in seeds]
        self._frames = self._simulators.reset(seed=[int(seed) for seed in seeds])[0]
        self._look(np.arange(m))
        return self._features()

    def step(self, actions: FloatArray) -> Step:
        """Act in all members; see :class:`~world_models.worlds.world.World`."""
        self._frames, rewards, terminated, truncated, _ = self._simulators.step(actions)
        self._live &= ~(terminated | truncated)
        live = np.flatnonzero(self._live)
        self._remember(live, actions)
        self._t += 1
        self._look(live)
        return Step(self._features(), rewards, terminated, truncated)

    def retire(self, mask: BoolArray) -> None:
        """Let members stand still from now on; mask bool (m,)."""
        self._simulators.retire(mask)
        self._live &= ~mask

    def close(self) -> None:
        """Close the simulators."""
        self._simulators.close()

    def _features(self) -> FloatArray:
        return self._shown[: len(self._live)].copy()

    def _remember(self, live: IntArray, actions: FloatArray) -> None:
        """h_{t+1} = M(z_t, a_t, h_t) of the live members."""
        if self._memory is None or self._state is None or not len(live):
            return
        starts, at = np.full(len(live), self._t == 0), self._z.shape[1]
        rows = slice(len(live)) if len(live) == len(self._live) else live
        self._memory.step(self._state, self._z[rows], actions[rows], starts, rows)
        for name in self._seen:
            values = self._state.read(name, rows)
            self._shown[live, at : at + values.shape[1]] = values
            at += values.shape[1]

    def _look(self, live: IntArray) -> None:
        """Encode what the live members see now."""
        if not len(live):
            return
        everyone = len(live) == len(self._frames)
        mu, logvar = self._vision.encode(self._frames if everyone else self._frames[live])
        if self._sampled:
            mu = mu + np.exp(np.float32(0.5) * logvar) * self._draw(live)
        self._z[live] = self._shown[live, : mu.shape[1]] = mu

    def _draw(self, live: IntArray) -> FloatArray:
        """Standard normal noise of this step, float32 (live, Z), from each episode's stream."""
        column = self._t % NOISE_BLOCK
        if column == 0:
            for i in live:
                self._streams[i].standard_normal(dtype=np.float32, out=self._noise[i])
        noise: FloatArray = self._noise[live, column]
        return noise
