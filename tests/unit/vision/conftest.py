"""Small data sets of moving squares, and V's parameters for them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from world_models.storage.episodes import Episode, EpisodeReader, EpisodeWriter
from world_models.vision.parameters import VAEParameters


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def moving_square(number: int, length: int) -> Episode:
    """An episode whose frames tell its number (red) and their step (green, blue)."""
    frames = np.zeros((length, 64, 64, 3), np.uint8)
    frames[..., 0] = number % 256
    frames[..., 1] = (np.arange(length) % 256)[:, None, None]
    frames[..., 2] = (np.arange(length) // 256)[:, None, None]
    for t in range(length):
        row, column = (3 * t + 7 * number) % 56, (5 * t + 11 * number) % 56
        frames[t, row : row + 8, column : column + 8] = 255
        frames[t, 0, 0] = number % 256, t % 256, t // 256
    generator = np.random.default_rng(number)
    return Episode(
        seed=number,
        frames=frames,
        actions=generator.standard_normal((length, 3)).astype(np.float32),
        rewards=generator.standard_normal(length).astype(np.float32),
        terminated=number % 2 == 0,
        truncated=number % 2 == 1,
    )


@pytest.fixture
def make_data(tmp_path: Path) -> Callable[[list[int]], EpisodeReader]:
    def make(lengths: list[int]) -> EpisodeReader:
        folder = tmp_path / f"data-{len(lengths)}"
        folder.mkdir()
        with EpisodeWriter(folder, shard_frames=300) as writer:
            for number, length in enumerate(lengths):
                writer.add(moving_square(number, length))
        return EpisodeReader(folder)

    return make


@pytest.fixture
def parameters() -> VAEParameters:
    return VAEParameters(
        seed=3,
        z_size=8,
        kl_tolerance=0.5,
        steps=6,
        batch_size=12,
        learning_rate=1e-3,
        schedule="cosine",
        warmup_steps=2,
        gradient_clip=1.0,
        validation_fraction=0.2,
        validation_frames=30,
        validate_every=4,
    )
