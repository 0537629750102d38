"""Resizes Doom's screen, indices into its palette, by area: exactly, and fast.

A pixel's three colours are added in one go, packed as 20-bit integers in one int64. Columns are
added up first, then rows: so a colour that was looked up is used at once and never stored.
"""

from collections.abc import Callable
from functools import cache
from typing import cast

import numpy as np
from numpy.typing import NDArray

from world_models.compiling import compiled, inlined
from world_models.envs.frames import PARTS, SIZE, coverage

Frame = NDArray[np.uint8]
Edges = NDArray[np.int64]
Packed = NDArray[np.int64]
Pattern = tuple[tuple[int, tuple[int, ...]], ...]

_BITS = 20  # of each of the three sums in a packed number
_MASK = (1 << _BITS) - 1
_EXACT = 4096  # 255 times as much fits the bits, and float32's error is below a quarter of a part
at = np.uintp
"""Unsigned: an index that may be negative costs a test each time."""


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
        self._rows = tops, rows.astype(np.int64)
        self._used = int(tops[0]), int(tops[-1]) + rows.shape[1]
        self._add_columns = _compile_columns(*_pattern(width, lefts, columns.astype(np.int64)))
        self._add_rows = _compile_rows(rows.shape[1], total)
        self._sums = np.empty((height, SIZE), np.int64)
        red, green, blue = palette.astype(np.int64).T
        self._palette = red | green << _BITS | blue << (2 * _BITS)

    def __call__(self, picture: Frame, out: Frame) -> None:
        """Resize ``picture``, uint8 (height, width), into ``out``, uint8 (64, 64, 3)."""
        assert picture.shape == self._shape, (picture.shape, self._shape)
        self._add_columns(picture, self._palette, *self._used, self._sums)
        self._add_rows(self._sums, *self._rows, out.reshape(SIZE, -1))


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


_Columns = Callable[[Frame, Packed, int, int, Packed], None]
_Rows = Callable[[Packed, Edges, Packed, Frame], None]


@cache
def _compile_columns(step: int, pattern: Pattern) -> _Columns:
    """Adds up columns, for pictures of one width: constants halve the time of so short a loop.

    Of the picture, uint8 (height, width), it uses rows begin to end; sums are int64 (height, 64).
    """
    if (step, pattern) == _FIVE_TO_TWO:
        return cast("_Columns", _add_five_to_two)
    firsts, weights = zip(*pattern, strict=True)
    count, taps = len(pattern), len(weights[0])

    @compiled()
    def add_columns(picture: Frame, palette: Packed, begin: int, end: int, sums: Packed) -> None:
        for y in range(begin, end):
            source, row = picture[y], sums[y]
            for group in range(SIZE // count):
                for column in range(count):
                    value, left = 0, step * group + firsts[column]
                    for k in range(taps):
                        value += weights[column][k] * palette[source[left + k]]
                    row[count * group + column] = value

    return cast("_Columns", add_columns)


_FIVE_TO_TWO = 5, ((0, (2, 2, 1)), (2, (1, 2, 2)))
"""What a width of 160 needs. Looking colours up takes a third of all this file's time, so its
columns are written out: one look-up a pixel, and one load for eight indices."""


@inlined()
def _index(word: np.uint64, k: int) -> np.uint64:
    """The k-th of the eight indices in a word."""
    return (word >> np.uint64(8 * k)) & np.uint64(255)


@inlined()
def _add_five(palette, a, b, c, d, e, sums, first):  # type: ignore[no-untyped-def]
    """Two columns of sums, from column ``first`` on, of five indices."""
    middle = palette[c]
    sums[first] = 2 * (palette[a] + palette[b]) + middle
    sums[first + at(1)] = 2 * (palette[d] + palette[e]) + middle


@compiled()
def _add_five_to_two(picture: Frame, palette: Packed, begin: int, end: int, sums: Packed) -> None:
    """As the others; forty columns, five words, at a time."""
    words, flat, i = picture.reshape(-1).view(np.uint64), sums.reshape(-1), _index
    steps = picture.shape[1] // 40
    for step in range(at(begin * steps), at(end * steps)):
        f, o = at(5) * step, at(16) * step
        a, b, c, d, e = (
            words[f],
            words[f + at(1)],
            words[f + at(2)],
            words[f + at(3)],
            words[f + at(4)],
        )
        _add_five(palette, i(a, 0), i(a, 1), i(a, 2), i(a, 3), i(a, 4), flat, o + at(0))
        _add_five(palette, i(a, 5), i(a, 6), i(a, 7), i(b, 0), i(b, 1), flat, o + at(2))
        _add_five(palette, i(b, 2), i(b, 3), i(b, 4), i(b, 5), i(b, 6), flat, o + at(4))
        _add_five(palette, i(b, 7), i(c, 0), i(c, 1), i(c, 2), i(c, 3), flat, o + at(6))
        _add_five(palette, i(c, 4), i(c, 5), i(c, 6), i(c, 7), i(d, 0), flat, o + at(8))
        _add_five(palette, i(d, 1), i(d, 2), i(d, 3), i(d, 4), i(d, 5), flat, o + at(10))
        _add_five(palette, i(d, 6), i(d, 7), i(e, 0), i(e, 1), i(e, 2), flat, o + at(12))
        _add_five(palette, i(e, 3), i(e, 4), i(e, 5), i(e, 6), i(e, 7), flat, o + at(14))


@cache
def _compile_rows(taps: int, total: int) -> _Rows:
    """Adds up rows, ``taps`` for each of the result's, and divides by ``total``.

    Args of what is compiled: sums int64 (height, 64), first rows (64,), weights (64, taps) and the
    result, uint8 (64, 192).
    """
    scale, half = np.float32(1.0 / total), np.float32(total * 0.5 + 0.25)  # 0.25: float error

    @compiled()
    def add_rows(sums: Packed, tops: Edges, weights: Packed, out: Frame) -> None:
        for i in range(SIZE):
            top, row = at(tops[i]), out[i]
            for j in range(at(SIZE)):
                packed = 0
                for k in range(taps):
                    packed += weights[i, k] * sums[top + at(k), j]
                for channel in range(at(3)):
                    part = np.float32(np.int32((packed >> _BITS * channel) & _MASK))
                    row[at(3) * j + channel] = np.uint8(np.int32((part + half) * scale))

    return cast("_Rows", add_rows)
