"""Every frame of a data set through V, on all threads, in memory that does not grow with it."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from world_models.errors import UserError
from world_models.storage.episodes import Episode, EpisodeReader
from world_models.storage.latents import LatentsWriter
from world_models.storage.tensors import LOGVAR, finite
from world_models.vision.model import Vision

ACTIVE_VARIANCE = 0.01
"""Variance of mu over the data above which a latent dimension counts as active (Burda 2016)."""


class Encoded(NamedTuple):
    """An episode of T steps, the shard that it is of, and its latents, float32 (T, Z) each."""

    episode: Episode
    shard: str
    mu: NDArray[np.float32]
    logvar: NDArray[np.float32]


def encode_episodes(
    vision: Vision, reader: EpisodeReader, batch_size: int, threads: int
) -> Iterator[Encoded]:
    """Yield all episodes in order, encoded in batches of ``batch_size`` frames.

    A thread works on an episode at a time, so the result does not depend on their number. torch's
    number of threads is restored at the end.
    """
    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, "encode", torch.set_num_threads, (1,)) as pool:
            waiting: deque[Future[Encoded]] = deque()
            for number in range(len(reader)):
                waiting.append(pool.submit(_encode, vision, reader, number, batch_size))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    finally:
        torch.set_num_threads(before)


def _encode(vision: Vision, reader: EpisodeReader, number: int, batch_size: int) -> Encoded:
    episode = reader.episode(number)
    parts = [
        vision.encode(episode.frames[first : first + batch_size])
        for first in range(0, len(episode), batch_size)
    ]
    mu, logvar = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    # What training would refuse to read is not written either.
    if not (finite(mu) and finite(logvar)) or logvar.max() > LOGVAR:
        raise UserError(
            f"V gives no finite z for episode {number}, or a variance above exp({LOGVAR:g}): V has "
            "diverged. Train it anew with a smaller learning rate (stage vae)."
        )
    return Encoded(episode, reader.shard(number), mu, logvar)


def write(encoded: Encoded, writer: LatentsWriter) -> None:
    """Append an episode to the encoded data set; its frames stay behind."""
    episode = encoded.episode
    writer.add(
        encoded.shard,
        mu=encoded.mu,
        logvar=encoded.logvar,
        actions=episode.actions,
        rewards=episode.rewards,
        seed=episode.seed,
        terminated=episode.terminated,
        truncated=episode.truncated,
    )


class LatentStatistics:
    """Sums over all frames, from which the stage's metrics follow."""

    def __init__(self, z_size: int) -> None:
        self.episodes = self.frames = 0
        self._sum, self._squares, self._absolute, self._variance = np.zeros((4, z_size))

    def add(self, encoded: Encoded) -> None:
        """Count an episode."""
        mu = encoded.mu.astype(np.float64)
        self.episodes += 1
        self.frames += len(mu)
        self._sum += mu.sum(0)
        self._squares += np.square(mu).sum(0)
        self._absolute += np.abs(mu).sum(0)
        self._variance += np.exp(encoded.logvar.astype(np.float64)).sum(0)

    def by_dimension(self) -> dict[str, NDArray[np.float64]]:
        """Mean and variance of mu over the data, and mean posterior variance, (Z,) each."""
        mean = self._sum / self.frames
        variance = self._squares / self.frames - mean**2
        posterior = self._variance / self.frames
        return {"mu_mean": mean, "mu_variance": variance, "posterior_variance": posterior}

    def metrics(self) -> dict[str, float]:
        """``episodes``, ``frames``, ``mean_abs_mu``, and how many dimensions carry anything."""
        active = int((self.by_dimension()["mu_variance"] > ACTIVE_VARIANCE).sum())
        mean = float(self._absolute.mean() / self.frames)
        return {
            "episodes": self.episodes,
            "frames": self.frames,
            "mean_abs_mu": mean,
            "active_dimensions": active,
        }
