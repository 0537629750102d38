"""Resizes pictures by area, exactly: each output pixel is the mean of what it covers.

All sums are integers that float32 holds exactly, so that equal pictures give equal bytes on every
machine, whatever the order of the additions.
"""

import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]
Edges = NDArray[np.int64]
Weights = NDArray[np.float32]

SIZE = 64
"""Pixels of a frame's side."""
PARTS = 4
"""Windows may begin and end at quarters of a pixel."""


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
