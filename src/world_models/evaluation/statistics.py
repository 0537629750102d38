"""Returns of episodes in four numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Score:
    """How a policy did over n independent episodes.

    Attributes:
        mean: of the returns.
        sd: standard deviation of a single episode's return (n − 1 in the denominator).
        se: standard error of the mean, sd / √n: what two means are compared by.
        n: episodes.
        length: mean length in steps.
    """

    mean: float
    sd: float
    se: float
    n: int
    length: float

    def __str__(self) -> str:
        return f"{self.mean:.1f} ± {self.se:.1f} (SD {self.sd:.1f}, n {self.n})"


def score(returns: Sequence[float] | NDArray[np.floating], lengths: NDArray[np.integer]) -> Score:
    """Summarise the returns and lengths (steps) of n ≥ 2 episodes."""
    values = np.asarray(returns, np.float64)
    assert len(values) == len(lengths) >= 2, (len(values), len(lengths))
    sd = float(values.std(ddof=1))
    n = len(values)
    return Score(float(values.mean()), sd, sd / sqrt(n), n, float(np.mean(lengths)))
