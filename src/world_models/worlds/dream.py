"""M's dream: an environment that exists in M alone (paper section 4, App. A.4, D.2)."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from world_models.errors import ParameterError, UserError
from world_models.worlds.dream_noise import DreamNoise
from world_models.worlds.parts import DreamingMemory, Ends
from world_models.worlds.world import BoolArray, FloatArray, Step


class Moments(NamedTuple):
    """Dreams as they are at some moment: all that their next steps depend on, but for noise."""

    z: FloatArray
    """float32 (n, Z)."""
    age: NDArray[np.int64]
    """(n,) steps since the dream began."""
    parts: Mapping[str, FloatArray]
    """What M remembers, float32 (n, size) for each of its parts."""

    def take(self, rows: NDArray[np.intp] | slice) -> Self:
        """Some of them."""
        parts = {name: values[rows] for name, values in self.parts.items()}
        return self._replace(z=self.z[rows], age=self.age[rows], parts=parts)


class Dream:
    """A :class:`~world_models.worlds.world.World` dreamed by M.

    The first z is sampled from a stored first frame's (mu, logvar). Then M predicts the next z's
    mixture from (z, a, h), and z is drawn from it at temperature τ: mixture logits / τ, noise × √τ.
    In the paper a dream ends where M's logit of the end is above 0; it may also end by chance, at
    the risk that M predicts, so that C cannot live for long just below the threshold. The cap
    truncates. The reward of a step is the mean that M's reward head predicts, or 1 if M has none.

    An episode's random numbers depend on its seed alone. The last bits of its z depend on how many
    episodes run beside it too, as :class:`~world_models.worlds.world.World` says. Live episodes
    stand together in front of the work arrays, so that those which ended cost nothing.
    """

    def __init__(
        self,
        memory: DreamingMemory,
        *,
        tau: float,
        cap: int,
        num_envs: int,
        features: str,
        ends: Ends = "threshold",
        dropout: float = 0.0,
    ) -> None:
        """Make room for ``num_envs`` dreams.

        Args:
            memory: M.
            tau: temperature, > 0; 1 is M's own uncertainty, more is more random.
            cap: steps after which a dream is truncated.
            num_envs: the most dreams at once.
            features: what C sees: z, then the letters of M's parts, such as "zh".
            ends: how a dream ends.
            dropout: share of M's output units h that each dream does without, in [0, 1).

        Raises:
            ParameterError: a number is out of its range, or M has no such part.
        """
        if not 0 < tau < float("inf"):
            raise ParameterError(f"tau = {tau}: the temperature must be above 0.")
        if not 0 <= dropout < 1:
            raise ParameterError(f"dropout = {dropout}: give a share of M's units, in [0, 1).")
        if cap < 1 or num_envs < 1:
            raise ParameterError(f"cap = {cap}, num_envs = {num_envs}: both must be at least 1.")
        self.num_envs, self.action_size = num_envs, memory.action_size
        self.z_size, self.feature_size = memory.z_size, memory.feature_size(features)
        self._memory, self._tau, self._cap = memory, tau, cap
        self._seen, self._ends = memory.seen(features), ends
        self._noise = DreamNoise(num_envs, memory.z_size, memory.parts["h"], dropout)
        self._state = memory.start(num_envs)
        self._z = np.zeros((num_envs, memory.z_size), np.float32)
        self._member = np.zeros(num_envs, np.int64)  # whose episode stands in a work row
        self._live = 0  # work rows in use
        self._age = np.zeros(num_envs, np.int64)
        self._features = np.zeros((0, self.feature_size), np.float32)

    @property
    def figures(self) -> Sequence[Mapping[str, float]]:
        """See :class:`~world_models.worlds.world.World`."""
        return ()

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
        self._z[rows] = z
        self._state.forget(rows)
        self._look(rows)
        return self._features.copy()

    def moments(self, members: NDArray[np.int64]) -> Moments:
        """Where the dreams of some members are, which all have to be under way."""
        work_row = np.zeros(self.num_envs, np.intp)
        work_row[self._member[: self._live]] = np.arange(self._live)
        rows = work_row[members]
        parts = {name: self._state.read(name, rows) for name in self._memory.parts}
        return Moments(self._z[rows], self._age[members], parts)

    def resume(self, moments: Moments, seeds: Sequence[int]) -> FloatArray:
        """Go on from n ≤ num_envs moments, instead of :meth:`reset`.

        Args:
            moments: of this dream, or of another one with the same M.
            seeds: (n,) of what happens from here on: equal seeds, equal noise.

        Returns:
            The features, float32 (n, F).
        """
        self.reset(seeds)
        rows = slice(self._live)
        self._z[rows] = moments.z
        self._age[: self._live] = moments.age
        self._state.write(rows, moments.parts)
        self._look(rows)
        return self._features.copy()

    def step(self, actions: FloatArray) -> Step:
        """Act in all members; see :class:`~world_models.worlds.world.World`.

        Raises:
            UserError: what M says of a reward or an end is not finite.
        """
        m, live = len(self._features), self._live
        rewards, ended, capped = np.zeros(m, np.float32), np.zeros(m, bool), np.zeros(m, bool)
        if live:
            member, rows = self._member[:live], slice(live)
            memory, noise, z = self._memory, self._noise, self._z[rows]
            memory.step(self._state, z, actions[member], self._age[member] == 0, rows)
            mask = None if noise.mask is None else noise.mask[member]
            expected = memory.predict(self._state, rows, mask)
            self._check(expected.end, "logit of the end")
            self._check(expected.reward, "reward")
            drawn = noise.rows(member)
            memory.sample(expected, noise.u, noise.eps, drawn, self._tau, z)
            self._age[member] += 1
            if expected.end is not None:
                chance = self._ends == "drawn"
                ended[member] = (
                    noise.v[drawn] < memory.risk(expected.end) if chance else expected.end > 0
                )
            capped[member] = (self._age[member] >= self._cap) & ~ended[member]
            rewards[member] = 1 if expected.reward is None else expected.reward
            self._look(rows)
            self._drop((ended | capped)[member])
        return Step(self._features.copy(), rewards, ended, capped)

    def retire(self, mask: BoolArray) -> None:
        """Let members stand still from now on; mask bool (m,)."""
        self._drop(mask[self._member[: self._live]])

    def close(self) -> None:
        """Nothing to release."""

    def _check(self, values: FloatArray | None, what: str) -> None:
        """See that a head's numbers are finite, (live,): a comparison with NaN is only False."""
        if values is not None and np.count_nonzero(np.isfinite(values)) < len(values):
            age = int(self._age[self._member[int((~np.isfinite(values)).argmax())]])
            raise UserError(
                f"M's {what} is not finite at step {age} of a dream: M has diverged. Train it anew "
                "with a smaller learning rate."
            )

    def _look(self, rows: slice) -> None:
        """Write the features of work rows to their members."""
        member, at = self._member[rows], 0
        parts = (self._state.read(name, rows) for name in self._seen)
        for values in (self._z[rows], *parts):
            self._features[member, at : at + values.shape[1]] = values
            at += values.shape[1]

    def _drop(self, gone: BoolArray) -> None:
        """Fill the work rows of episodes that ended, bool (live,), with live ones from the back."""
        if not gone.any():
            return
        stays = self._live - int(gone.sum())
        holes, movers = np.flatnonzero(gone[:stays]), stays + np.flatnonzero(~gone[stays:])
        self._state.move(holes, movers)
        for array in (self._z, self._member):
            array[holes] = array[movers]
        self._live = stays
