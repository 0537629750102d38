"""A contact sheet: frames of some episodes, from their beginning to their end."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from world_models.storage.episodes import EpisodeReader

ROWS, COLUMNS = 6, 10
"""Episodes, and moments of each."""


def frames(reader: EpisodeReader, rows: int = ROWS, columns: int = COLUMNS) -> NDArray[np.uint8]:
    """Frames spread evenly over the episodes and their steps.

    Returns:
        uint8 (R, columns, 64, 64, 3), with at most ``rows`` episodes R.
    """
    chosen = np.unique(np.linspace(0, len(reader) - 1, rows).astype(int)).tolist()
    return np.stack([_moments(reader, episode, columns) for episode in chosen])


def _moments(reader: EpisodeReader, episode: int, columns: int) -> NDArray[np.uint8]:
    steps = np.linspace(0, reader.lengths[episode] - 1, columns).astype(int).tolist()
    return np.concatenate([reader.frames(episode, step, step + 1) for step in steps])


def write(path: Path, shown: NDArray[np.uint8]) -> None:
    """Write a PNG, a row for each episode: frames as :func:`frames` gives them."""
    rows, columns, height, width, _ = shown.shape
    picture = shown.swapaxes(1, 2).reshape(rows * height, columns * width, 3)
    Image.fromarray(picture).save(path, format="PNG", optimize=True)
