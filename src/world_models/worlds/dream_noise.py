"""The dream's random numbers: each episode's depend on its seed alone."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from world_models.memory.dropout import mask
from world_models.seeding import stream

BLOCK = 32
"""Steps whose numbers are drawn at once. A part of what a seed means: do not change it."""

Array = NDArray[np.float32]
IntArray = NDArray[np.int64]


class DreamNoise:
    """Uniform and normal numbers for every step of up to n episodes.

    Episodes of one seed that start together share a slot, as the candidates of a generation do:
    what is drawn costs by seed, not by episode.

    Attributes:
        mask: float32 (n, H), each member's dropout; None without.
        u: float32 (n · BLOCK, Z), uniform in [0, 1).
        eps: float32 (n · BLOCK, Z), standard normal.
        v: float32 (n · BLOCK,), uniform in [0, 1), for what is drawn once a step.
    """

    def __init__(self, members: int, z_size: int, hidden: int = 0, dropout: float = 0.0) -> None:
        self._dropout = dropout
        self.mask = np.ones((members, hidden), np.float32) if dropout else None
        self.v = np.empty(members * BLOCK, np.float32)
        self.u = np.empty((members * BLOCK, z_size), np.float32)
        self.eps = np.empty_like(self.u)
        self._streams: list[np.random.Generator | None] = [None] * members
        self._ends: list[np.random.Generator | None] = [None] * members
        self._slot = np.full(members, -1, np.int64)
        self._time = np.zeros(members, np.int64)

    def begin(
        self, members: IntArray, seeds: Sequence[int], choices: int
    ) -> tuple[IntArray, Array]:
        """Start episodes.

        Args:
            members: (k,) which members; what they did before is dropped.
            seeds: (k,) their seeds.
            choices: number of stored first frames.

        Returns:
            For each, the first frame to start from, int64 (k,), and noise float32 (k, Z) for it.
        """
        self._slot[members] = -1
        free = np.setdiff1d(np.arange(len(self._slot)), self._slot)
        unique, inverse = np.unique(np.asarray(seeds, np.int64), return_inverse=True)
        slots = free[: len(unique)]
        self._slot[members] = slots[inverse]
        self._time[slots] = 0
        frames = np.empty(len(unique), np.int64)
        noise = np.empty((len(unique), self.u.shape[1]), np.float32)
        for i, (slot, seed) in enumerate(zip(slots, unique, strict=True)):
            generator = self._streams[slot] = stream(int(seed), "dream")
            self._ends[slot] = stream(int(seed), "dream ends")
            frames[i] = generator.integers(choices)
            generator.standard_normal(dtype=np.float32, out=noise[i])
        if self.mask is not None:
            size = self.mask.shape[1]
            masks = [mask(stream(int(s), "dream dropout"), self._dropout, size) for s in unique]
            self.mask[members] = np.stack(masks)[inverse]
        return frames[inverse], noise[inverse]

    def rows(self, members: IntArray) -> IntArray:
        """Rows of ``u`` and ``eps`` for this step of the given members, (k,); the time moves on."""
        of_members = self._slot[members]
        slots = np.unique(of_members)
        for slot in slots[self._time[slots] % BLOCK == 0]:
            self._draw(slot)
        rows: IntArray = of_members * BLOCK + self._time[of_members] % BLOCK
        self._time[slots] += 1
        return rows

    def _draw(self, slot: int) -> None:
        generator, ends = self._streams[slot], self._ends[slot]
        assert generator is not None
        assert ends is not None
        block = slice(slot * BLOCK, (slot + 1) * BLOCK)
        generator.random(dtype=np.float32, out=self.u[block])
        generator.standard_normal(dtype=np.float32, out=self.eps[block])
        ends.random(dtype=np.float32, out=self.v[block])
