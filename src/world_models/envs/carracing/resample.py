"""From the lattice of palette indices to the 64×64 frame: two area averages, as in the reference.

The first stands for pygame's ``smoothscale`` to 96×96, the second for the exact area resize of the
84 rows above the dashboard to 64×64. Their order matters: the first smears every pixel that the
second divides.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from world_models.envs.carracing.raster import COLUMNS, ROWS, X, Y

SIZE = 64
Frame = NDArray[np.uint8]
Planes = NDArray[np.float32]


def area_weights(source: int, size: int) -> NDArray[np.float64]:
    """A matrix (size, source): each row averages source pixels by overlap and sums to 1."""
    scale = source / size
    start = np.arange(size)[:, None] * scale
    pixel = np.arange(source)[None, :]
    overlap = np.minimum(start + scale, pixel + 1) - np.maximum(start, pixel)
    return np.clip(overlap, 0.0, None) / scale


def crop_and_resize(picture: Frame) -> Frame:
    """Gymnasium's 96×96×3 picture as the agent sees it: rows 0–83, uint8 (64, 64, 3)."""
    rows, columns = area_weights(ROWS, SIZE), area_weights(COLUMNS, SIZE)
    flat = rows @ picture[:ROWS].reshape(ROWS, -1).astype(np.float64)
    mean = columns @ flat.reshape(SIZE, COLUMNS, 3)
    return np.rint(mean).astype(np.uint8)


@njit(cache=True, fastmath=True)
def average_blocks(lattice: Frame, palette: Planes, out: Planes) -> None:
    """Mean color of each X×Y block; palette float32 (n, 3), out float32 (3, ROWS, COLUMNS)."""
    words = lattice.view(np.uint32)
    share = np.float32(1.0 / (X * Y))
    for r in range(ROWS):
        for c in range(COLUMNS):
            word = words[r * Y, c]
            same = word == (word & 255) * 0x01010101
            for i in range(1, Y):
                same = same and words[r * Y + i, c] == word
            if same:
                index = word & 255
                for channel in range(3):
                    out[channel, r, c] = palette[index, channel]
                continue
            red, green, blue = np.float32(0.0), np.float32(0.0), np.float32(0.0)
            for i in range(Y):
                for j in range(X):
                    index = lattice[r * Y + i, c * X + j]
                    red += palette[index, 0]
                    green += palette[index, 1]
                    blue += palette[index, 2]
            out[0, r, c], out[1, r, c], out[2, r, c] = red * share, green * share, blue * share


@njit(cache=True, fastmath=True)
def shrink(planes: Planes, weights: Planes, starts: NDArray[np.int64], out: Frame) -> None:
    """84×96 to 64×64: rows by weights (64, 3) from starts (64,), columns three to two."""
    line = np.empty(COLUMNS, np.float32)
    third = np.float32(1.0 / 3.0)
    half = np.float32(0.5)
    for i in range(SIZE):
        s = starts[i]
        a, b, c = weights[i, 0], weights[i, 1], weights[i, 2]
        for channel in range(3):
            for j in range(COLUMNS):
                line[j] = (
                    a * planes[channel, s, j]
                    + b * planes[channel, s + 1, j]
                    + c * planes[channel, s + 2, j]
                ) * third
            for m in range(SIZE // 2):
                middle = line[3 * m + 1]
                out[i, 2 * m, channel] = np.uint8(line[3 * m] * 2 + middle + half)
                out[i, 2 * m + 1, channel] = np.uint8(middle + line[3 * m + 2] * 2 + half)
