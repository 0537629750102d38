"""A vector of simulators that keeps what happens in it, step by step."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from world_models.envs.vector import FloatArray, Frames, Lockstep, Stepped
from world_models.storage.shards import Episode


class Recorder(Lockstep):
    """A :class:`Lockstep` that records the episodes of the last reset; see :meth:`episodes`.

    Memory: 12 KB a step and member until the next reset.
    """

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Frames, dict[str, Any]]:
        """Start episodes, one for each seed, and forget those recorded before."""
        assert not options, "recorded episodes all start together"
        frames, info = super().reset(seed=seed)
        self._seeds_used = self._seeds(seed)
        m = len(frames)
        self._frames: list[list[NDArray[np.uint8]]] = [[] for _ in range(m)]
        self._actions: list[list[FloatArray]] = [[] for _ in range(m)]
        self._rewards: list[list[float]] = [[] for _ in range(m)]
        self._terminated, self._truncated = np.zeros(m, np.bool_), np.zeros(m, np.bool_)
        return frames, info

    def step(self, actions: FloatArray) -> Stepped:
        """Act, and record what each live member saw, did and got."""
        live = np.flatnonzero(self.live)
        for i in live:
            self._frames[i].append(self._buffer[i].copy())
            self._actions[i].append(np.array(actions[i], np.float32))
        stepped = super().step(actions)
        _, rewards, terminated, truncated, _ = stepped
        for i in live:
            self._rewards[i].append(float(rewards[i]))
        self._terminated |= terminated
        self._truncated |= truncated
        return stepped

    def episodes(self) -> Iterator[Episode]:
        """What happened since the reset, in the order of the seeds; each is given once."""
        for i in range(len(self._frames)):
            yield self._episode(i)
            self._frames[i].clear()

    def _episode(self, i: int) -> Episode:
        seed = self._seeds_used[i]
        assert seed is not None, "recorded episodes have seeds"
        return Episode(
            seed=seed,
            frames=np.stack(self._frames[i]),
            actions=np.stack(self._actions[i]),
            rewards=np.array(self._rewards[i], np.float32),
            terminated=bool(self._terminated[i]),
            truncated=bool(self._truncated[i]),
        )
