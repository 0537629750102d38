"""From the lattice of palette indices to the 64×64 frame: two area averages, as in the reference.

The first stands for pygame's ``smoothscale`` to 96×96, the second for the exact area resize of the
84 rows above the dashboard to 64×64. They cannot be one: the first smears every pixel that the
second divides.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from world_models.envs.carracing.raster import COLUMNS, ROWS, X, Y

SIZE = 64
THIRDS = COLUMNS // 3
"""Three columns of Gymnasium's picture become two of the agent's."""

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


def pack(colors: NDArray[np.int64]) -> NDArray[np.int64]:
    """Colors (n, 3) as one number each, 20 bits a channel, so that one sum adds all three."""
    return colors[:, 0] | colors[:, 1] << 20 | colors[:, 2] << 40


@njit(cache=True)
def average_blocks(lattice: Frame, palette: NDArray[np.int64], out: Planes) -> None:
    """Sum of each block's X·Y colors, by ``pack``-ed palette (n,).

    Args:
        lattice: palette indices, uint8 (ROWS * Y, COLUMNS * X).
        palette: colors as ``pack`` gives them, int64 (n,).
        out: float32 (ROWS, 3, 3, THIRDS): row, column modulo 3, channel, column div 3.
    """
    words = lattice.view(np.uint32)
    mask = (1 << 20) - 1
    for r in range(ROWS):
        for c in range(COLUMNS):
            word = words[r * Y, c]
            same = word == (word >> 8 | word << 24) & 0xFFFFFFFF
            for i in range(1, Y):
                same = same and words[r * Y + i, c] == word
            total = palette[word & 255] * (X * Y)
            if not same:
                total = 0
                for i in range(Y):
                    for j in range(X):
                        total += palette[lattice[r * Y + i, c * X + j]]
            cell = out[r, c % 3]
            cell[0, c // 3] = np.float32(total & mask)
            cell[1, c // 3] = np.float32(total >> 20 & mask)
            cell[2, c // 3] = np.float32(total >> 40)


@njit(cache=True, fastmath=True)
def shrink(blocks: Planes, weights: Planes, starts: NDArray[np.int64], out: Frame) -> None:
    """84×96 to 64×64.

    Args:
        blocks: what ``average_blocks`` gives.
        weights: float32 (64, 3), of the three rows that a row of the frame is made of.
        starts: int64 (64,), the first of them.
        out: uint8 (64, 64, 3).
    """
    scale = np.float32(1.0 / (3 * X * Y))
    half = np.float32(0.5)
    line = np.empty((3, 3 * THIRDS), np.float32)
    rows = blocks.reshape(ROWS, 3, 3 * THIRDS)
    for i in range(SIZE):
        s = starts[i]
        a, b, c = weights[i, 0] * scale, weights[i, 1] * scale, weights[i, 2] * scale
        for third in range(3):
            for j in range(3 * THIRDS):
                line[third, j] = (
                    a * rows[s, third, j] + b * rows[s + 1, third, j] + c * rows[s + 2, third, j]
                )
        for channel in range(3):
            for m in range(THIRDS):
                j = channel * THIRDS + m
                out[i, 2 * m, channel] = np.uint8(line[0, j] * 2 + line[1, j] + half)
                out[i, 2 * m + 1, channel] = np.uint8(line[1, j] + line[2, j] * 2 + half)
