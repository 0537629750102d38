"""Linear least squares on moments that come in portions: what is kept are sums, not moments."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from world_models.memory.threads import one_thread

FloatArray = NDArray[np.float64]
RIDGE = 1000.0
"""Pulls the weights towards 0, as so many moments without any advantage would."""
_LEAST = 1e-3
"""Of an input's scale: one that hardly changes must not get a huge weight."""


@dataclass(frozen=True)
class Sums:
    """Of all moments so far: x are C's inputs (F), y what its outputs should be (J)."""

    count: float
    x: FloatArray
    """(F,) sum of x."""
    xx: FloatArray
    """(F, F) sum of x xᵀ."""
    y: FloatArray
    """(J,) sum of y."""
    xy: FloatArray
    """(F, J) sum of x yᵀ."""

    @classmethod
    def empty(cls, inputs: int, outputs: int) -> "Sums":
        """Of no moments."""
        square, cross = np.zeros((inputs, inputs)), np.zeros((inputs, outputs))
        return cls(0.0, np.zeros(inputs), square, np.zeros(outputs), cross)

    @one_thread()
    def plus(self, x: NDArray[np.float32], y: FloatArray) -> "Sums":
        """With n more moments: x (n, F) and y (n, J)."""
        x64, y64 = torch.from_numpy(x.astype(np.float64)), torch.from_numpy(y)
        return Sums(
            self.count + len(x),
            self.x + x64.sum(dim=0).numpy(),
            self.xx + (x64.T @ x64).numpy(),
            self.y + y.sum(axis=0),
            self.xy + (x64.T @ y64).numpy(),
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """As named arrays, to store."""
        return {name: np.atleast_1d(getattr(self, name)) for name in _NAMES}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> "Sums":
        """The sums that gave these :meth:`arrays`."""
        return cls(float(arrays["count"].item()), *(arrays[name] for name in _NAMES[1:]))


_NAMES = [field.name for field in fields(Sums)]


@dataclass(frozen=True)
class Line:
    """y ≈ x · weights + bias, and how far it varies over the moments."""

    weights: FloatArray
    """(F, J)."""
    bias: FloatArray
    """(J,); zeros if none was wanted."""
    deviation: FloatArray
    """(J,) how far x · weights + bias lies from its mean over the moments, or, without a bias,
    from 0: a root mean square."""

    def __call__(self, x: NDArray[np.float32]) -> FloatArray:
        """Predict y (n, J) of x (n, F)."""
        # Column by column: the sums of a product with a matrix depend on the number of threads.
        return np.stack([x @ column for column in self.weights.T], axis=1) + self.bias


@one_thread()
def fit(sums: Sums, *, bias: bool) -> Line:
    """Ridge regression, each input on the scale of its own deviation.

    Args:
        sums: of at least one moment.
        bias: whether the line may have one; without, deviations are from 0 and not from the mean.
    """
    n = sums.count
    mean_x, mean_y = sums.x / n * bias, sums.y / n * bias
    xx = sums.xx / n - np.outer(mean_x, mean_x)
    xy = sums.xy / n - np.outer(mean_x, mean_y)
    scale = np.sqrt(np.diag(xx).clip(0)) + _LEAST
    system = xx / np.outer(scale, scale) + RIDGE / n * np.eye(len(scale))
    solved = torch.linalg.solve(torch.from_numpy(system), torch.from_numpy(xy / scale[:, None]))
    weights = solved.numpy() / scale[:, None]
    variance = np.einsum("fj,fg,gj->j", weights, xx, weights)
    return Line(weights, mean_y - mean_x @ weights, np.sqrt(variance.clip(0)))
