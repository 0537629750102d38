"""Resizes Doom's screen, indices into its palette, by area: exactly, and fast.

A pixel's three colours are added in one go, packed as 17-bit integers in one float64: such sums are
exact, whatever their order, and compilers turn them into vector instructions.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from world_models.envs.frames import PARTS, SIZE, coverage

Frame = NDArray[np.uint8]
Edges = NDArray[np.int64]
Packed = NDArray[np.float64]

_BITS = 17  # of each of the three sums in a packed number; float64 holds 53
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
        self._rows = tops, rows.astype(np.float64)
        self._columns = lefts, columns.astype(np.float64)
        self._total = int(rows[0].sum() * columns[0].sum())
        # Sums fit their bits, and the quotient's rounding in float32 is below a quarter of a part.
        assert self._total < 512, self._total
        self._colours = np.empty((height + 1, width))
        red, green, blue = palette.astype(np.int64).T
        self._palette = (red | green << _BITS | blue << (2 * _BITS)).astype(np.float64)

    def __call__(self, picture: Frame, out: Frame) -> None:
        """Resize ``picture``, uint8 (height, width), into ``out``, uint8 (64, 64, 3)."""
        assert picture.shape == self._shape, (picture.shape, self._shape)
        _shrink(
            picture,
            self._palette,
            *self._rows,
            *self._columns,
            self._total,
            self._colours,
            out.reshape(SIZE, -1),
        )


@njit(cache=True, inline="always")
def _unpack(packed: Packed, scale: np.float32, half: np.float32, row: Frame) -> None:
    """Three sums of each number to three rounded means."""
    for j in range(SIZE):
        sums = np.int64(packed[j])
        red, green, blue = sums & _MASK, (sums >> _BITS) & _MASK, sums >> (2 * _BITS)
        row[3 * j] = np.uint8(np.int32((np.float32(np.int32(red)) + half) * scale))
        row[3 * j + 1] = np.uint8(np.int32((np.float32(np.int32(green)) + half) * scale))
        row[3 * j + 2] = np.uint8(np.int32((np.float32(np.int32(blue)) + half) * scale))


@njit(cache=True)
def _shrink(
    picture: Frame,
    palette: Packed,
    tops: Edges,
    row_weights: Packed,
    lefts: Edges,
    column_weights: Packed,
    total: int,
    colours: Packed,
    out: Frame,
) -> None:
    """Rows first, into a band of one output row; then columns.

    ``colours`` is scratch, as large as the picture and one row more.
    """
    scale, half = np.float32(1.0 / total), np.float32(total * 0.5 + 0.25)  # 0.25: float error
    width, band = picture.shape[1], colours[-1]
    packed, looked_up = np.empty(SIZE), 0
    for i in range(SIZE):
        while looked_up < tops[i] + row_weights.shape[1]:
            source, row = picture[looked_up], colours[looked_up]
            for j in range(width):
                row[j] = palette[source[j]]
            looked_up += 1
        band[:] = 0
        for k in range(row_weights.shape[1]):
            weight, row = row_weights[i, k], colours[tops[i] + k]
            for j in range(width):
                band[j] += weight * row[j]
        for j in range(SIZE):
            # Unsigned: an index that may be negative costs a test each time.
            left, value = np.uintp(lefts[j]), 0.0
            for k in range(column_weights.shape[1]):
                value += column_weights[j, k] * band[left + np.uintp(k)]
            packed[j] = value
        _unpack(packed, scale, half, out[i])
