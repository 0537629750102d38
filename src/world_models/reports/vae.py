"""Pictures of what V learned: curves, originals beside reconstructions, samples."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

Frames = NDArray[np.uint8]


def curves(table: pd.DataFrame) -> Figure:
    """Reconstruction and KL over gradient steps, of training and of held-out frames.

    Args:
        table: the history, a row for each validation.
    """
    picture = Figure(figsize=(8, 6), layout="constrained")
    above, below = picture.subplots(2, 1, sharex=True)
    labels = {"reconstruction": "squared error a frame", "kl": "KL, nats"}
    for axes, (part, label) in zip((above, below), labels.items(), strict=True):
        for kind in ("training", "validation"):
            axes.plot(table["step"], table[f"{kind}_{part}"], label=kind)
        axes.set_ylabel(label)
        axes.set_yscale("log")
    above.legend()
    below.set_xlabel("gradient steps")
    return picture


def mosaic(rows: Sequence[Frames], scale: int = 2) -> Frames:
    """Rows of frames uint8 (n, 64, 64, 3) as one picture uint8 (H, W, 3), enlarged."""
    picture = np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)
    return picture.repeat(scale, axis=0).repeat(scale, axis=1)


def pairs(originals: Frames, reconstructions: Frames, columns: int = 8) -> Frames:
    """Originals with their reconstructions below them, as one picture uint8 (H, W, 3)."""
    rows: list[Frames] = []
    for first in range(0, len(originals) - columns + 1, columns):
        rows += [originals[first : first + columns], reconstructions[first : first + columns]]
    return mosaic(rows)
