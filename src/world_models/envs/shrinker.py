"""Resizes RGB pictures by area, exactly; see :mod:`world_models.envs.frames`."""

import math

import numpy as np
from numpy.typing import NDArray

from world_models.compiling import compiled
from world_models.envs.frames import PARTS, SIZE, Edges, Frame, Weights, coverage

_EXACT = 4096
"""Parts of a pixel below which float32 is exact.

255 times as much is below 2^24, and the quotient's rounding below a quarter of a part.
"""


class Shrinker:
    """Resizes one window of pictures of one shape to uint8 (64, 64, 3).

    Sides that share no factor with 64 need more parts a pixel than float32 can count: such shapes
    are resized in float64, as exactly and some ten times slower.

    Args:
        height: rows of a picture.
        width: columns of a picture; all of them are used.
        window: first and last edge of the rows to use, in quarters of a row. An edge outside the
            picture repeats its nearest row.
    """

    def __init__(self, height: int, width: int, window: tuple[int, int]) -> None:
        self.shape = (height, width, 3)
        self._rows = coverage(height, window)
        self._columns = coverage(width, (0, PARTS * width))
        parts = (float(weights[0].sum(dtype=float)) for _, weights in (self._rows, self._columns))
        self._total = math.prod(parts)

    def __call__(self, picture: Frame, out: Frame) -> None:
        """Resize ``picture``, uint8 (height, width, 3), into ``out``, uint8 (64, 64, 3)."""
        assert picture.shape == self.shape, (picture.shape, self.shape)
        if self._total >= _EXACT:
            out[:] = self._in_float64(picture)
        else:
            _shrink(picture.reshape(picture.shape[0], -1), *self._rows, *self._columns, out)

    def _in_float64(self, picture: Frame) -> Frame:
        height, width, _ = self.shape
        rows, columns = _matrix(height, *self._rows), _matrix(width, *self._columns)
        sums = rows @ picture.reshape(height, -1).astype(np.float64)
        sums = np.einsum("jc,icx->ijx", columns, sums.reshape(SIZE, width, 3), optimize=True)
        frame: Frame = np.floor((sums + self._total / 2) / self._total).astype(np.uint8)
        return frame


def _matrix(size: int, first: Edges, weights: Weights) -> NDArray[np.float64]:
    """Weights as a matrix, float64 (64, size)."""
    matrix = np.zeros((SIZE, size))
    for i in range(SIZE):
        matrix[i, first[i] : first[i] + weights.shape[1]] = weights[i]
    return matrix


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
