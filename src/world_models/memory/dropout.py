"""Dropout of M's output: some units of h say nothing to the heads for a whole sequence or episode.

In training it keeps the heads from leaning on single units. In the dream each episode has its own
mask, so that C meets as many dreams as there are masks, and cannot learn what one M gets wrong
(Wellmer & Kwok, "Dropout's Dream Land", 2021). The recurrence and C see the whole h.
"""

import numpy as np
from numpy.typing import NDArray


def mask(generator: np.random.Generator, rate: float, *shape: int) -> NDArray[np.float32]:
    """Factors of h: 0 for the share ``rate`` of units, 1 / (1 - rate) for the others.

    Args:
        generator: where the choice comes from.
        rate: in [0, 1).
        shape: such as (B, H).
    """
    kept = generator.random(shape, np.float32) >= rate
    return kept.astype(np.float32) / np.float32(1 - rate)
