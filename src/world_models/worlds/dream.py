"""M's dream: an environment that exists in M alone (paper section 4, App. A.4, D.2)."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from world_models.errors import ParameterError
from world_models.fast.memory import mixture_kernels as kernels
from world_models.memory.model import Memory, Workspace
from world_models.worlds.dream_noise import DreamNoise
from world_models.worlds.world import BoolArray, FloatArray, Step

Features = Literal["z", "zh", "zch"]


class Dream:
    """A :class:`~world_models.worlds.world.World` dreamed by M.

    The first z is sampled from a stored first frame's (mu, logvar). Then M predicts the next z's
    mixture from (z, a, h), and z is drawn from it at temperature τ: mixture logits / τ, noise × √τ.
    In Doom a dream ends when the logit of "restart" is above 0 (thresholded, not drawn), each step
    is worth 1; where M has a reward head, its mean is the reward. The cap truncates.

    An episode's random numbers depend on its seed alone, and live episodes stand together in front
    of the work arrays, so that those which ended cost nothing.
    """

    def __init__(
        self, memory: Memory, *, tau: float, cap: int, num_envs: int, features: Features
    ) -> None:
        """Make room for ``num_envs`` dreams.

        Args:
            memory: M.
            tau: temperature, > 0; 1 is M's own uncertainty, more is more random.
            cap: steps after which a dream is truncated.
            num_envs: the most dreams at once.
            features: what C sees: z, [z, h], or [z, c, h].

        Raises:
            ParameterError: ``tau`` or ``cap`` is not positive.
        """
        if not 0 < tau < float("inf"):
            raise ParameterError(f"tau = {tau}: the temperature must be above 0.")
        if cap < 1 or num_envs < 1:
            raise ParameterError(f"cap = {cap}, num_envs = {num_envs}: both must be at least 1.")
        sizes = memory.sizes
        self.num_envs, self.action_size = num_envs, sizes.action_size
        self.feature_size = sizes.z_size + sizes.hidden_size * (len(features) - 1)
        self._memory, self._tau, self._cap, self._parts = memory, tau, cap, features
        self._noise = DreamNoise(num_envs, sizes.z_size)
        self._work = Workspace.create(num_envs, sizes, memory.outputs)
        self._member = np.zeros(num_envs, np.int64)  # whose episode stands in a work row
        self._live = 0  # work rows in use
        self._age = np.zeros(num_envs, np.int64)
        self._features = np.zeros((0, self.feature_size), np.float32)

    def reset(self, seeds: Sequence[int]) -> FloatArray:
        """Start a dream for each seed, m ≤ num_envs; the first features, float32 (m, F)."""
        assert 0 < len(seeds) <= self.num_envs, len(seeds)
        self._features = np.zeros((len(seeds), self.feature_size), np.float32)
        self._live = 0
        return self.restart(np.arange(len(seeds)), seeds)

    def restart(self, members: NDArray[np.int64], seeds: Sequence[int]) -> FloatArray:
        """Start dreams anew in some members while the others go on.

        Args:
            members: (k,) indices below that of the last :meth:`reset`'s number of seeds.
            seeds: (k,) their new seeds.

        Returns:
            The features of all members, float32 (m, F).
        """
        self._drop(np.isin(self._member[: self._live], members))
        initial = self._memory.initial
        frames, eps = self._noise.begin(members, seeds, len(initial.mu))
        z = initial.mu[frames] + np.exp(np.float32(0.5) * initial.logvar[frames]) * eps
        rows = slice(self._live, self._live + len(members))
        self._live = rows.stop
        self._member[rows] = members
        self._age[members] = 0
        self._work.x[rows, : self._memory.z_size] = z
        self._work.c[rows] = 0
        self._work.x[rows, -self._memory.hidden_size :] = 0
        self._look(rows)
        return self._features.copy()

    def step(self, actions: FloatArray) -> Step:
        """Act in all members; see :class:`~world_models.worlds.world.World`."""
        m, live, z_size = len(self._features), self._live, self._memory.z_size
        rewards, ended, capped = np.zeros(m, np.float32), np.zeros(m, bool), np.zeros(m, bool)
        if live:
            member, work = self._member[:live], self._work
            self._mark_starts(member)
            work.x[:live, z_size : z_size + self.action_size] = actions[member]
            self._memory.advance(work, live)
            out = self._memory.predict(work, live)
            noise, rows = self._noise, self._noise.rows(member)
            kernels.mixture_sample(out, noise.u, noise.eps, rows, self._tau, work.x[:live])
            self._age[member] += 1
            ended[member] = self._ends(out)
            capped[member] = (self._age[member] >= self._cap) & ~ended[member]
            rewards[member] = self._rewards(out)
            self._look(slice(live))
            self._drop((ended | capped)[member])
        return Step(self._features.copy(), rewards, ended, capped)

    def retire(self, mask: BoolArray) -> None:
        """Let members stand still from now on; mask bool (m,)."""
        self._drop(mask[self._member[: self._live]])

    def close(self) -> None:
        """Nothing to release."""

    def _mark_starts(self, member: NDArray[np.int64]) -> None:
        """Tell M which episodes are at their first frame."""
        starts = np.zeros(self.num_envs, np.bool_)
        starts[: len(member)] = self._age[member] == 0
        self._memory.mark_starts(self._work, starts)

    def _ends(self, out: FloatArray) -> BoolArray:
        columns = self._memory.columns
        column = columns.get("restart", columns.get("end"))
        if column is None:
            return np.zeros(len(out), np.bool_)
        ends: BoolArray = out[:, column] > 0
        return ends

    def _rewards(self, out: FloatArray) -> FloatArray:
        column = self._memory.columns.get("reward")
        return np.ones(len(out), np.float32) if column is None else out[:, column]

    def _look(self, rows: slice) -> None:
        """Write the features of work rows to their members."""
        z, h = self._memory.z_size, self._memory.hidden_size
        work, member = self._work, self._member[rows]
        parts = {"z": work.x[rows, :z], "c": work.c[rows], "h": work.x[rows, -h:]}
        at = 0
        for name in self._parts:
            values = parts[name]
            self._features[member, at : at + values.shape[1]] = values
            at += values.shape[1]

    def _drop(self, gone: BoolArray) -> None:
        """Fill the work rows of episodes that ended, bool (live,), with live ones from the back."""
        if not gone.any():
            return
        stays = self._live - int(gone.sum())
        holes, movers = np.flatnonzero(gone[:stays]), stays + np.flatnonzero(~gone[stays:])
        for array in (self._work.x, self._work.c, self._member):
            array[holes] = array[movers]
        self._live = stays
