"""Pictures of what V learned: curves, originals beside reconstructions, samples."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from world_models.reports.style import save
from world_models.storage import tensors

Frames = NDArray[np.uint8]
COLUMNS = 8
"""Frames in a row of a picture."""


def draw(numbers: Path, out: Path) -> None:
    """Draw ``curves.png``, ``reconstructions.png`` and ``samples.png``."""
    save(curves(pd.read_csv(numbers / "curves.csv")), out / "curves.png")
    frames = tensors.load(numbers / "frames.safetensors")
    pictures = {
        "reconstructions": pairs(frames["originals"], frames["reconstructions"]),
        "samples": mosaic(_rows(frames["samples"])),
    }
    for name, picture in pictures.items():
        Image.fromarray(picture).save(out / f"{name}.png", optimize=True)


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


def pairs(originals: Frames, reconstructions: Frames) -> Frames:
    """Originals with their reconstructions below them, as one picture uint8 (H, W, 3)."""
    both = zip(_rows(originals), _rows(reconstructions), strict=True)
    return mosaic([row for pair in both for row in pair])


def _rows(frames: Frames) -> list[Frames]:
    """Whole rows of :data:`COLUMNS` frames; fewer frames than that are one short row."""
    columns = min(COLUMNS, len(frames))
    whole = len(frames) // columns * columns
    return [frames[first : first + columns] for first in range(0, whole, columns)]
