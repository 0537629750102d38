"""What a frame of TakeCover shows: which data V and M learn dying from."""

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]
Flags = NDArray[np.bool_]

NEAR = 24
"""Bright pixels from which on fire is near: half a second or less away."""
_SKY, _WALL = 12, 8
"""A wall at hand reaches so many of the upper rows, with so many pixels; the far one does not."""


def looks(frames: Frames) -> dict[str, Flags]:
    """Which frames show fire, near fire, and a wall at hand.

    Args:
        frames: uint8 (n, 64, 64, 3).

    Returns:
        ``fire``, ``near_fire`` and ``wall``, bool (n,) each.
    """
    red, green, blue = (frames[..., i].astype(np.int16) for i in range(3))
    bright = ((red > 200) & (green > 120) & (red - blue > 40)).sum((1, 2))
    brown = (red - blue > 20) & (red < 180)
    wall = brown[:, :_SKY].sum((1, 2)) >= _WALL
    return {"fire": bright >= 1, "near_fire": bright >= NEAR, "wall": wall}
