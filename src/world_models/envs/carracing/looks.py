"""What a frame of CarRacing shows: which data V and M learn driving from."""

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]
Flags = NDArray[np.bool_]

_GREY = (94, 111)
"""Brightness of the road, whose three colours are equal; grass is green, the car is red."""
_BESIDE_CAR = ((53, 28), (53, 35), (57, 28), (57, 35))
"""Pixels (row, column) to the left and right of the car, which stands still in the picture."""
_PIXELS = 8
"""Fewer pixels of road than that are no road."""


def looks(frames: Frames) -> dict[str, Flags]:
    """Which frames show road, and in which the car is on it.

    Args:
        frames: uint8 (n, 64, 64, 3).

    Returns:
        ``road`` and ``on_road``, bool (n,) each.
    """
    low, high = frames.min(-1), frames.max(-1)
    road = (low >= _GREY[0]) & (high <= _GREY[1]) & (high - low <= 6)
    beside = np.stack([road[:, row, column] for row, column in _BESIDE_CAR])
    return {"road": road.sum((1, 2)) >= _PIXELS, "on_road": beside.any(0)}
