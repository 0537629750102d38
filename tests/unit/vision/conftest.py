"""Small data sets of moving squares, and V's parameters for them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from data_sets import write_shards
from moving_squares import moving_square

from world_models.storage.episodes import EpisodeReader
from world_models.vision.parameters import VAEParameters


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def make_data(tmp_path: Path) -> Callable[[list[int]], EpisodeReader]:
    def make(lengths: list[int]) -> EpisodeReader:
        folder = tmp_path / f"data-{len(lengths)}"
        folder.mkdir()
        episodes = list(map(moving_square, range(len(lengths)), lengths))
        write_shards(folder, *(episodes[i : i + 3] for i in range(0, len(episodes), 3)))
        return EpisodeReader(folder)

    return make


@pytest.fixture
def parameters() -> VAEParameters:
    return VAEParameters(
        seed=3,
        z_size=8,
        channels=(32, 64, 128, 256),
        kl_tolerance=0.5,
        sharpness=0.0,
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
