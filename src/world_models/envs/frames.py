"""Resizes pictures by area, exactly: each output pixel is the mean of what it covers.

All sums are integers that float32 holds exactly, so that equal pictures give equal bytes on every
machine, whatever the order of the additions.
"""

import numpy as np
from numpy.typing import NDArray

from world_models.compiling import compiled

Frame = NDArray[np.uint8]
Edges = NDArray[np.int64]
Weights = NDArray[np.float32]

SIZE = 64
"""Pixels of a frame's side."""
PARTS = 4
"""Windows may begin and end at quarters of a pixel."""
_EXACT = (
    4096  # 255 times as much is below 2^24, and the quotient's rounding below a quarter of a part
)


class Shrinker:
    """Resizes one window of pictures of one shape to uint8 (64, 64, 3).

    Args:
        height: rows of a picture.
        width: columns of a picture; all of them are used.
        window: first and last edge of the rows to use, in quarters of a row. An edge outside the
            picture repeats its nearest row.
    """

    def __init__(self, height: int, width: int, window: tuple[int, int]) -> None:
        self._shape = (height, width, 3)
        self._rows = coverage(height, window)
        self._columns = coverage(width, (0, PARTS * width))
        total = self._rows[1][0].sum() * self._columns[1][0].sum()
        assert total < _EXACT, f"{total:g} parts a pixel: float32 would round"

    def __call__(self, picture: Frame, out: Frame) -> None:
        """Resize ``picture``, uint8 (height, width, 3), into ``out``, uint8 (64, 64, 3)."""
        assert picture.shape == self._shape, (picture.shape, self._shape)
        _shrink(picture.reshape(picture.shape[0], -1), *self._rows, *self._columns, out)


def coverage(size: int, window: tuple[int, int]) -> tuple[Edges, Weights]:
    """First source pixel, int64 (64,), and weights, float32 (64, taps), of each output pixel.

    In units of 1/(4 · 64) pixel every edge is an integer, so the weights are small integers.
    """
    begin, end = window
    length, unit = end - begin, PARTS * SIZE
    weights = np.zeros((SIZE, size), np.int64)
    for i in range(SIZE):
        low, high = SIZE * begin + i * length, SIZE * begin + (i + 1) * length
        for pixel in range(low // unit, -(-high // unit)):
            covered = min(high, (pixel + 1) * unit) - max(low, pixel * unit)
            weights[i, min(max(pixel, 0), size - 1)] += covered
    weights //= np.gcd.reduce(weights, axis=None)
    taps = max(int(np.ptp(np.flatnonzero(row))) + 1 for row in weights)
    first = np.minimum((weights > 0).argmax(axis=1), size - taps)
    kept = [row[f : f + taps] for row, f in zip(weights, first, strict=True)]
    return first, np.array(kept, np.float32)


@compiled()
def _shrink(
    picture: Frame,
    tops: Edges,
    row_weights: Weights,
    lefts: Edges,
    column_weights: Weights,
    out: Frame,
) -> None:
    """Rows first, into a band of one output row; then columns. float32 is exact here."""
    total = row_weights[0].sum() * column_weights[0].sum()
    scale, half = np.float32(1.0 / total), np.float32(total * 0.5 + 0.25)  # 0.25: float error
    band = np.empty(picture.shape[1], np.float32)
    for i in range(SIZE):
        band[:] = 0
        for k in range(row_weights.shape[1]):
            weight = row_weights[i, k]
            source = picture[tops[i] + k]
            for j in range(len(band)):
                band[j] += weight * np.float32(source[j])
        for j in range(SIZE):
            at = 3 * lefts[j]
            red, green, blue = half, half, half
            for k in range(column_weights.shape[1]):
                weight = column_weights[j, k]
                red += weight * band[at + 3 * k]
                green += weight * band[at + 3 * k + 1]
                blue += weight * band[at + 3 * k + 2]
            out[i, j, 0] = np.uint8(red * scale)
            out[i, j, 1] = np.uint8(green * scale)
            out[i, j, 2] = np.uint8(blue * scale)
