"""What a data set of episodes looks like."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from world_models.storage.episodes import EpisodeReader

ROWS, COLUMNS = 6, 10
"""Episodes and moments of each, on a sheet."""


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


def sheet(reader: EpisodeReader) -> Figure:
    """Frames evenly from episodes evenly from the data set: a row an episode."""
    chosen = np.unique(np.linspace(0, len(reader) - 1, ROWS).astype(int))
    rows = []
    for episode in chosen:
        steps = np.linspace(0, reader.lengths[episode] - 1, COLUMNS).astype(int)
        frames = [reader.frames(int(episode), int(t), int(t) + 1)[0] for t in steps]
        rows.append(np.concatenate(frames, axis=1))
    picture = np.concatenate(rows)
    figure = Figure(figsize=(COLUMNS * 0.8, len(rows) * 0.8))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(picture, interpolation="nearest")
    axes.set_axis_off()
    return figure
