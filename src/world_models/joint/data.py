"""What V and M learn from together: sequences of frames, with what M's losses need beside them."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from world_models.memory.data import Batch as MemoryBatch
from world_models.memory.data import Steps, Windows
from world_models.seeding import stream
from world_models.storage.episodes import EpisodeReader
from world_models.storage.latents import Latents


class Batch(NamedTuple):
    """Sequences of T steps, so of T + 1 frames, for B members, time first."""

    frames: Tensor
    """uint8 (T + 1, B, 64, 64, 3), 0–255."""
    noise: Tensor
    """float32 (T + 1, B, Z), N(0, 1): z = mu + sigma · noise."""
    steps: MemoryBatch
    """Actions, starts, rewards and ends; its z, of an earlier V, is not looked at."""


class Sequences:
    """Sequences of some episodes; what a batch holds depends on seed and step alone.

    Args:
        reader: the frames.
        latents: of the same episodes in the same order; one may have been cut short there.
        episodes: which of them.
        length: T, steps in a sequence.
        batch_size: B, sequences in a batch.
        seed: of the batches and of z's noise.
    """

    def __init__(
        self,
        reader: EpisodeReader,
        latents: Latents,
        episodes: NDArray[np.int64],
        *,
        length: int,
        batch_size: int,
        seed: int,
    ) -> None:
        self._reader, self._seed, self._z_size = reader, seed, latents.z_size
        whole = Steps.of(latents, episodes)
        self._windows = Windows(whole, length=length, batch_size=batch_size, seed=seed)
        lengths = latents.lengths[episodes]
        self._episode = np.repeat(episodes, lengths)
        self._at = np.concatenate([np.arange(steps) for steps in lengths])

    def batch(self, step: int, rank: int = 0, world_size: int = 1) -> Batch:
        """The batch of gradient step ``step``, or one device's share of it."""
        steps = self._windows.batch(step, rank, world_size)
        noise = stream(self._seed, "joint noise", step)
        share = slice(rank, None, world_size)
        return self._with_frames(self._windows.positions(step), noise, steps, share)

    def spread(self) -> Batch:
        """A fixed batch, evenly spread, for validation."""
        steps, noise = self._windows.spread(), stream(self._seed, "joint validation noise")
        return self._with_frames(self._windows.spread_positions(), noise, steps, slice(None))

    def _with_frames(
        self,
        positions: NDArray[np.int64],
        generator: np.random.Generator,
        steps: MemoryBatch,
        share: slice,
    ) -> Batch:
        noise = generator.standard_normal((*positions.shape, self._z_size), np.float32)
        # Behind the data the last frame stands again; M's losses are masked there.
        within = np.minimum(positions, len(self._at) - 1)[:, share]
        frames = np.stack([self._frames(column) for column in within.T], axis=1)
        return Batch(
            torch.from_numpy(frames),
            torch.from_numpy(np.ascontiguousarray(noise[:, share])),
            steps,
        )

    def _frames(self, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The frames of a sequence, which may run from one episode into the next."""
        episodes, at = self._episode[positions], self._at[positions]
        cuts = np.flatnonzero(np.diff(at) != 1) + 1  # an episode begins with step 0
        pieces = zip(np.split(episodes, cuts), np.split(at, cuts), strict=True)
        return np.concatenate(
            [self._reader.frames(int(e[0]), int(t[0]), int(t[-1]) + 1) for e, t in pieces]
        )
