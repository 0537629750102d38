"""What V learns from: single frames in random order, out of a data set of any size.

An epoch is a random order of the compressed chunks (50 neighbouring frames of an episode); groups
of ``GROUP`` chunks are read at a time and their frames shuffled together. Epochs follow one
another without a seam and batches are cut from that stream, so a batch follows from (seed, step)
alone, and memory holds two groups whatever the size of the data set.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from world_models.errors import ParameterError
from world_models.seeding import stream
from world_models.storage.episodes import EpisodeReader, Piece

GROUP = 128
"""Chunks shuffled together: up to 6,400 frames, 79 MB."""

Frames = NDArray[np.uint8]


class Batch(NamedTuple):
    """What a gradient step takes."""

    frames: Tensor
    """uint8 (n, 64, 64, 3), 0–255."""
    noise: Tensor
    """float32 (n, Z), N(0, 1): z = mu + sigma · noise."""


class FrameStream:
    """All frames of some episodes, over and over, each epoch in an order of its own.

    Args:
        reader: the data set.
        episodes: which of its episodes.
        seed: of the order and the noise.
    """

    def __init__(self, reader: EpisodeReader, episodes: Sequence[int], seed: int) -> None:
        self._reader, self._seed = reader, seed
        self._pieces = reader.chunks(episodes)
        self.frames = sum(piece.stop - piece.start for piece in self._pieces)

    def batches(self, size: int, start: int, stop: int) -> Iterator[Frames]:
        """The batches of steps ``start`` to ``stop``, uint8 (size, 64, 64, 3) each."""
        left = np.empty((0, 64, 64, 3), np.uint8)
        step = start
        for group in self._from(start * size):
            left = np.concatenate([left, group])
            while len(left) >= size:
                if step == stop:
                    return
                batch, left = left[:size], left[size:]
                yield batch
                step += 1

    def noise(self, step: int, size: int, z_size: int) -> NDArray[np.float32]:
        """N(0, 1) for the whole batch of a step, float32 (size, z_size)."""
        generator = stream(self._seed, "vae noise", step)
        return generator.standard_normal((size, z_size), np.float32)

    def _from(self, position: int) -> Iterator[Frames]:
        """Groups of shuffled frames from a place in the endless stream on."""
        epoch, skip = divmod(position, self.frames)
        while True:
            for number, pieces in enumerate(self._groups(epoch)):
                count = sum(piece.stop - piece.start for piece in pieces)
                if skip >= count:
                    skip -= count
                    continue
                yield self._read(pieces, epoch, number)[skip:]
                skip = 0
            epoch += 1

    def _groups(self, epoch: int) -> Iterator[list[Piece]]:
        order = stream(self._seed, "vae chunks", epoch).permutation(len(self._pieces))
        for first in range(0, len(order), GROUP):
            yield [self._pieces[index] for index in order[first : first + GROUP]]

    def _read(self, pieces: list[Piece], epoch: int, number: int) -> Frames:
        frames = np.empty((sum(p.stop - p.start for p in pieces), 64, 64, 3), np.uint8)
        places = stream(self._seed, "vae frames", epoch, number).permutation(len(frames))
        first = 0
        for _, found in self._reader.stream(pieces):
            frames[places[first : first + len(found)]] = found
            first += len(found)
        return frames


def share(batch_size: int, rank: int, world: int) -> slice:
    """The rows of a batch that one of ``world`` devices takes.

    Raises:
        ParameterError: the batch cannot be divided evenly.
    """
    if batch_size % world:
        raise ParameterError(
            f"batch_size = {batch_size} cannot be divided among {world} devices. "
            "Choose a multiple of their number."
        )
    part = batch_size // world
    return slice(rank * part, (rank + 1) * part)


def as_batch(frames: Frames, noise: NDArray[np.float32]) -> Batch:
    """Arrays as tensors; frames are copied out of the group that they are a part of."""
    return Batch(torch.from_numpy(frames.copy()), torch.from_numpy(noise.copy()))
