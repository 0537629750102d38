"""How well the next z is predicted without M: what M's NLL has to beat.

Each latent dimension is predicted from itself alone, by z_{t+1} ~ N(a·z_t + b, σ²), fitted on
training episodes: *persistence* has a = 1 and b = 0; *AR(1)* has the a and b of least squares.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from world_models.memory.data import Steps
from world_models.memory.held_out import judged, sampled

FITTED = 1_000_000
"""Steps of training episodes that the lines are fitted on, at most."""
SMALLEST = 1e-12
"""Least variance, for a dimension that never changes."""

Array = NDArray[np.float64]


class Line(NamedTuple):
    """z_{t+1} ~ N(slope · z_t + offset, variance), each (Z,)."""

    slope: Array
    offset: Array
    variance: Array

    def nll(self, now: Array, then: Array) -> Array:
        """Mean negative log-likelihood of ``then`` after ``now``, (n, Z) each: (Z,), in nats."""
        squares = np.mean((then - self.slope * now - self.offset) ** 2, axis=0)
        result: Array = 0.5 * (np.log(2 * math.pi * self.variance) + squares / self.variance)
        return result


def persistence(now: Array, then: Array) -> Line:
    """The next z is this z, give or take σ."""
    variance = np.mean((then - now) ** 2, axis=0)
    zeros = np.zeros(now.shape[1])
    return Line(zeros + 1, zeros, np.maximum(variance, SMALLEST))


def ar1(now: Array, then: Array) -> Line:
    """The best line by least squares."""
    x, y = now - now.mean(axis=0), then - then.mean(axis=0)
    slope = (x * y).mean(axis=0) / np.maximum((x * x).mean(axis=0), SMALLEST)
    variance = np.mean((y - slope * x) ** 2, axis=0)
    offset = then.mean(axis=0) - slope * now.mean(axis=0)
    return Line(slope, offset, np.maximum(variance, SMALLEST))


def nll(training: Steps, held_out: Steps, seed: int) -> dict[str, Array]:
    """NLL (Z,) of each dimension in nats, on the same samples of z as M's own.

    Args:
        training: the episodes to fit on.
        held_out: the episodes that M is judged on.
        seed: of z's noise.
    """
    known = _pairs(sampled(training, seed, "baselines' z"), training, min(FITTED, len(training)))
    new = _pairs(sampled(held_out, seed), held_out, judged(held_out))
    return {fit.__name__: fit(*known).nll(*new) for fit in (persistence, ar1)}


def _pairs(z: NDArray[np.float32], steps: Steps, count: int) -> tuple[Array, Array]:
    """Each of the first ``count`` z that has a successor in its episode, and the successor."""
    at = np.flatnonzero(steps.z_known[:count])
    return z[at].astype(np.float64), z[at + 1].astype(np.float64)
