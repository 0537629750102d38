"""Resizes Doom's screen, indices into its palette, by area: exactly, and fast.

The sums are integers, and a pixel's three colours are added in one go, packed in one 64-bit number.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from world_models.envs.frames import PARTS, SIZE, coverage

Frame = NDArray[np.uint8]
Integers = NDArray[np.int64]

_BITS = 21  # of each of the three sums in a packed number
_MASK = (1 << _BITS) - 1


class IndexedShrinker:
    """Resizes one window of indexed pictures of one shape to uint8 (64, 64, 3).

    Args:
        height: rows of a picture.
        width: columns of a picture; all of them are used.
        window: first and last edge of the rows to use, in quarters of a row. An edge outside the
            picture repeats its nearest row.
        palette: colours, uint8 (256, 3).
    """

    def __init__(self, height: int, width: int, window: tuple[int, int], palette: Frame) -> None:
        self._shape = (height, width)
        tops, rows = coverage(height, window)
        lefts, columns = coverage(width, (0, PARTS * width))
        self._rows, self._columns = (tops, rows.astype(np.int64)), (lefts, columns.astype(np.int64))
        self._total = int(rows[0].sum() * columns[0].sum())
        # Sums fit their bits, and the quotient's rounding in float32 is below a quarter of a part.
        assert self._total < 4096, self._total
        red, green, blue = palette.astype(np.int64).T
        self._palette = red | green << _BITS | blue << (2 * _BITS)

    def __call__(self, picture: Frame, out: Frame) -> None:
        """Resize ``picture``, uint8 (height, width), into ``out``, uint8 (64, 64, 3)."""
        assert picture.shape == self._shape, (picture.shape, self._shape)
        _shrink(picture, self._palette, *self._rows, *self._columns, self._total, out)


@njit(cache=True)
def _shrink(
    picture: Frame,
    palette: Integers,
    tops: Integers,
    row_weights: Integers,
    lefts: Integers,
    column_weights: Integers,
    total: int,
    out: Frame,
) -> None:
    """Rows first, into a band of one output row; then columns."""
    scale, half = np.float32(1.0 / total), np.float32(total * 0.5 + 0.25)  # 0.25: float error
    band = np.empty(picture.shape[1], np.int64)
    for i in range(SIZE):
        band[:] = 0
        for k in range(row_weights.shape[1]):
            weight = row_weights[i, k]
            if weight:
                source = picture[tops[i] + k]
                for j in range(len(band)):
                    band[j] += weight * palette[source[j]]
        for j in range(SIZE):
            sums = 0
            for k in range(column_weights.shape[1]):
                sums += column_weights[j, k] * band[lefts[j] + k]
            out[i, j, 0] = np.uint8((np.float32(sums & _MASK) + half) * scale)
            out[i, j, 1] = np.uint8((np.float32((sums >> _BITS) & _MASK) + half) * scale)
            out[i, j, 2] = np.uint8((np.float32(sums >> (2 * _BITS)) + half) * scale)
