"""From the lattice of palette indices to the 64×64 frame: two area averages, as in the reference.

The first stands for pygame's ``smoothscale`` to 96×96, the second for the exact area resize of the
84 rows above the dashboard to 64×64. They cannot be one: the first smears every pixel that the
second divides.
"""

import numpy as np
from numpy.typing import NDArray

from world_models.compiling import compiled, inlined
from world_models.envs.carracing.raster import COLUMNS, ROWS, X, Y

SIZE = 64
THIRDS = COLUMNS // 3
"""Three columns of Gymnasium's picture become two of the agent's."""

_ROW_PARTS, _ROW_SHARE = 16, 21
"""84 rows become 64: a row of the frame holds 21 sixteenths of a row."""
_SHARES = 3 * _ROW_SHARE * X * Y
_BITS = 20
_MASK = (1 << _BITS) - 1
assert 255 * _SHARES <= _MASK
_SCALE, _HALF = np.float32(1 / _SHARES), np.float32(_SHARES / 2 + 0.25)
"""Exact in float32: it errs by less than 0.0001 levels, and a quarter of a share is 0.0005."""
at = np.uintp
"""Unsigned: an index that may be negative costs a test each time, and stops vectorisation."""

Frame = NDArray[np.uint8]
Sums = NDArray[np.int64]


def pack(colors: NDArray[np.int64]) -> NDArray[np.int64]:
    """Colors (n, 3) as one number each, 20 bits a channel, so that one sum adds all three."""
    packed: NDArray[np.int64] = colors[:, 0] | colors[:, 1] << _BITS | colors[:, 2] << 2 * _BITS
    return packed


def row_weights() -> tuple[Sums, Sums]:
    """Which rows of the 84 make each of the 64: the first (64,), and the weights of three (64, 3).

    In sixteenths of a row every edge is a whole number, and each row's weights add up to 21.
    """
    top = _ROW_SHARE * np.arange(SIZE)
    starts = np.minimum(top // _ROW_PARTS, ROWS - 3)
    edges = (starts[:, None] + np.arange(4)) * _ROW_PARTS
    covered = np.clip(edges, top[:, None], top[:, None] + _ROW_SHARE)
    return starts, np.diff(covered, axis=1)


@compiled()
def _sum_blocks(lattice: Frame, palette: Sums, out: Sums) -> None:
    """Sum of each block's X·Y colors.

    Args:
        lattice: palette indices, uint8 (ROWS * Y, COLUMNS * X).
        palette: colors as ``pack`` gives them, int64 (n,).
        out: packed sums, int64 (ROWS, 3, THIRDS): row, column modulo 3, column div 3.
    """
    words = lattice.view(np.uint32)
    for r in range(ROWS):
        for m in range(THIRDS):
            for third in range(3):
                column = 3 * m + third
                word = words[r * Y, column]
                same = word == (word >> 8 | word << 24) & 0xFFFFFFFF
                for i in range(1, Y):
                    same = same and words[r * Y + i, column] == word
                total = palette[word & 255] * (X * Y)
                if not same:  # one block in thirty
                    total = 0
                    for i in range(Y):
                        for j in range(X):
                            total += palette[lattice[r * Y + i, column * X + j]]
                out[r, third, m] = total


@inlined()
def _level(total: int, channel: int) -> np.uint8:
    """The mean of a packed sum of ``_SHARES`` colors in one channel, to the nearest level."""
    shares = np.float32(np.int32(total >> _BITS * channel & _MASK))
    return np.uint8(np.int32((shares + _HALF) * _SCALE))


@compiled()
def _unpack(even: Sums, odd: Sums, row: Frame) -> None:
    """Pairs of pixels, packed sums int64 (32,) each, to a row of the frame, uint8 (192,)."""
    for m in range(at(THIRDS)):
        for channel in range(3):
            row[at(6) * m + at(channel)] = _level(even[m], channel)
            row[at(6) * m + at(channel + 3)] = _level(odd[m], channel)


@compiled()
def _shrink(sums: Sums, starts: Sums, weights: Sums, out: Frame) -> None:
    """84×96 to 64×64, in whole numbers: of every three columns the middle one is divided.

    Args:
        sums: what ``_sum_blocks`` gives.
        starts: first rows, from ``row_weights``.
        weights: their weights, from ``row_weights``.
        out: uint8 (64, 64, 3).
    """
    even, odd = np.empty(THIRDS, np.int64), np.empty(THIRDS, np.int64)
    flat, rows, third = sums.reshape(-1), out.reshape(SIZE, -1), at(THIRDS)
    for i in range(SIZE):
        a, b, c = weights[i, 0], weights[i, 1], weights[i, 2]
        r = at(starts[i]) * at(COLUMNS)
        s, t = r + at(COLUMNS), r + at(2 * COLUMNS)
        for m in range(third):
            k = m + third
            middle = a * flat[r + k] + b * flat[s + k] + c * flat[t + k]
            even[m] = 2 * (a * flat[r + m] + b * flat[s + m] + c * flat[t + m]) + middle
            k += third
            odd[m] = 2 * (a * flat[r + k] + b * flat[s + k] + c * flat[t + k]) + middle
        _unpack(even, odd, rows[i])


@compiled()
def shrink(  # type: ignore[no-untyped-def]
    lattice, palette, starts, weights, sums, out
):
    """The frame, uint8 (64, 64, 3), of a lattice of palette indices; sums is scratch."""
    _sum_blocks(lattice, palette, sums)
    _shrink(sums, starts, weights, out)
