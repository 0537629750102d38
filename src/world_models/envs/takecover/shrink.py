"""Resizes Doom's screen, indices into its palette, by area: exactly, and fast.

A pixel's three colours are added in one go, packed as 20-bit integers in one int64. Columns are
added up first, then rows: so a colour that was looked up is used at once and never stored.
"""

from collections.abc import Callable
from functools import cache
from typing import cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from world_models.envs.frames import PARTS, SIZE, coverage

Frame = NDArray[np.uint8]
Edges = NDArray[np.int64]
Packed = NDArray[np.int64]
Pattern = tuple[tuple[int, tuple[int, ...]], ...]

_BITS = 20  # of each of the three sums in a packed number
_MASK = (1 << _BITS) - 1
_EXACT = 4096  # 255 times as much fits the bits, and float32's error is below a quarter of a part


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
        total = int(rows[0].sum() * columns[0].sum())
        assert total <= _EXACT, total
        self._rows = tops, rows.astype(np.int64), total
        self._used = int(tops[0]), int(tops[-1]) + rows.shape[1]
        self._add_columns = _compile(*_pattern(width, lefts, columns.astype(np.int64)))
        self._sums = np.empty((height, SIZE), np.int64)
        red, green, blue = palette.astype(np.int64).T
        self._palette = red | green << _BITS | blue << (2 * _BITS)

    def __call__(self, picture: Frame, out: Frame) -> None:
        """Resize ``picture``, uint8 (height, width), into ``out``, uint8 (64, 64, 3)."""
        assert picture.shape == self._shape, (picture.shape, self._shape)
        self._add_columns(picture, self._palette, *self._used, self._sums)
        _add_rows(self._sums, *self._rows, out.reshape(SIZE, -1))


def _pattern(width: int, lefts: Edges, weights: Packed) -> tuple[int, Pattern]:
    """After how many columns the output repeats; first column and weights of each until then.

    Of 160 columns every 5 make two: 0, 1 and 2 with weights 2, 2, 1, and 2, 3 and 4 with 1, 2, 2.
    """
    count = SIZE // int(np.gcd(width, SIZE))
    step = width * count // SIZE
    starts = np.arange(0, width, step)[:, None]
    assert (lefts.reshape(-1, count) == starts + lefts[:count]).all(), width
    return step, tuple(
        (int(left), tuple(map(int, row)))
        for left, row in zip(lefts[:count], weights[:count], strict=True)
    )


@cache
def _compile(step: int, pattern: Pattern) -> Callable[[Frame, Packed, int, int, Packed], None]:
    """Adds up columns, for pictures of one width: constants halve the time of so short a loop.

    Of the picture, uint8 (height, width), it uses rows begin to end; sums are int64 (height, 64).
    """
    firsts, weights = zip(*pattern, strict=True)
    count, taps = len(pattern), len(weights[0])

    @njit(cache=True)
    def add_columns(picture: Frame, palette: Packed, begin: int, end: int, sums: Packed) -> None:
        for y in range(begin, end):
            source, row = picture[y], sums[y]
            for group in range(SIZE // count):
                for column in range(count):
                    value, left = 0, step * group + firsts[column]
                    for k in range(taps):
                        value += weights[column][k] * palette[source[left + k]]
                    row[count * group + column] = value

    return cast("Callable[[Frame, Packed, int, int, Packed], None]", add_columns)


@njit(cache=True)
def _add_rows(sums: Packed, tops: Edges, weights: Packed, total: int, out: Frame) -> None:
    scale, half = np.float32(1.0 / total), np.float32(total * 0.5 + 0.25)  # 0.25: float error
    band = np.empty(SIZE, np.int64)
    for i in range(SIZE):
        top = np.uintp(tops[i])  # unsigned: an index that may be negative costs a test each time
        band[:] = 0
        for k in range(weights.shape[1]):
            weight, row = weights[i, k], sums[top + np.uintp(k)]
            for j in range(SIZE):
                band[j] += weight * row[j]
        _unpack(band, scale, half, out[i])


@njit(cache=True)
def _unpack(packed: Packed, scale: np.float32, half: np.float32, row: Frame) -> None:
    """Three sums of each number to three rounded means."""
    for j in range(SIZE):
        sums = packed[j]
        red, green, blue = sums & _MASK, (sums >> _BITS) & _MASK, sums >> (2 * _BITS)
        row[3 * j] = np.uint8(np.int32((np.float32(np.int32(red)) + half) * scale))
        row[3 * j + 1] = np.uint8(np.int32((np.float32(np.int32(green)) + half) * scale))
        row[3 * j + 2] = np.uint8(np.int32((np.float32(np.int32(blue)) + half) * scale))
