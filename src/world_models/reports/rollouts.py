"""What a data set of episodes looks like."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from world_models.reports.style import save
from world_models.storage import tensors


def draw(numbers: Path, out: Path) -> None:
    """Draw ``episodes.png`` and ``frames.png``."""
    save(spread(pd.read_csv(numbers / "episodes.csv")), out / "episodes.png")
    frames = tensors.load(numbers / "frames.safetensors")["frames"]
    save(sheet(frames), out / "frames.png")


def spread(index: pd.DataFrame) -> Figure:
    """Histograms of the episodes' returns and lengths.

    Args:
        index: of a data set, see :func:`~world_models.storage.episodes.assemble`.
    """
    figure = Figure(figsize=(8, 3), layout="constrained")
    for axes, (column, unit) in zip(
        figure.subplots(1, 2), {"return": "return", "length": "length (steps)"}.items(), strict=True
    ):
        axes.hist(index[column], bins=min(40, max(5, len(index) // 4)))
        axes.set(xlabel=unit, ylabel="episodes")
    return figure


def sheet(frames: NDArray[np.uint8]) -> Figure:
    """A row for each episode: frames uint8 (episodes, moments, 64, 64, 3)."""
    rows, columns = frames.shape[:2]
    picture = frames.swapaxes(1, 2).reshape(rows * 64, columns * 64, 3)
    figure = Figure(figsize=(columns * 0.8, rows * 0.8))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(picture, interpolation="nearest")
    axes.set_axis_off()
    return figure
