"""M's inference with an LSTM on arrays: made for 16 to 1024 episodes on one thread.

Inputs, bias and recurrence are one matrix product, all heads another; the cell and the sampling of
the mixture are compiled. Equal calls give equal bits on an equal number of torch's threads. The
bits of an episode depend on how many others are in the same call: a matrix product of another
height may add in another order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from world_models.fast.memory import cell_kernels, mixture_kernels

Array = NDArray[np.float32]
Rows = slice | NDArray[np.intp]
"""Which episodes: a slice is worked on in place, an index costs a copy there and back."""


@dataclass(frozen=True)
class Work:
    """Arrays that n episodes are worked on in, step after step."""

    x: Array
    """(n, I + 1 + H): inputs, the constant 1 (of the bias), h."""
    c: Array
    """(n, H)."""
    gates: Array
    """(n, 4H)."""
    out: Array
    """(n, outputs): what the heads gave."""

    @property
    def parts(self) -> Mapping[str, Array]:
        """What is remembered from step to step; views."""
        return {"h": self.x[:, -self.c.shape[1] :], "c": self.c}


class Packed:
    """The weights as two matrices, and the steps with them."""

    def __init__(self, parameters: Sequence[Tensor], dtype: torch.dtype) -> None:
        """Pack the weights.

        Args:
            parameters: as in :mod:`world_models.fast.memory.training`.
            dtype: of the operands of matrix products, float32 or bfloat16.
        """
        w_x, bias, w_h, *heads = parameters
        self._dtype, self._inputs = dtype, w_x.shape[1]
        self._core = self._pack([w_x, bias[:, None], w_h])
        self._heads = self._pack([torch.cat(heads[::2])[:, None], torch.cat(heads[1::2])])

    def _pack(self, parts: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(parts), dim=1).detach().t().contiguous().to(self._dtype)

    def start(self, members: int) -> Work:
        """Room for ``members`` episodes, with an empty memory."""
        width, gates = self._core.shape

        def zeros(size: int) -> Array:
            return np.zeros((members, size), np.float32)

        x = zeros(width)
        x[:, self._inputs] = 1
        return Work(x, zeros(gates // 4), zeros(gates), zeros(self._heads.shape[1]))

    @torch.inference_mode()
    def step(
        self, work: Work, inputs: Sequence[Array], starts: NDArray[np.bool_], rows: Rows
    ) -> None:
        """Run the LSTM on some episodes.

        Args:
            work: their memory, which changes.
            inputs: parts of what enters, each (k, ·).
            starts: (k,) True where an episode starts: its memory is 0 before the step.
            rows: the k episodes.
        """
        x, c, at = work.x[rows], work.c[rows], 0
        for part in inputs:
            x[:, at : at + part.shape[1]] = part
            at += part.shape[1]
        x[starts, at + 1 :] = 0
        gates = work.gates[: len(x)]
        self._product(x, self._core, gates)
        cell_kernels.cell_step(gates, (~starts).astype(np.float32), c, x, at + 1)
        if not isinstance(rows, slice):
            work.x[rows], work.c[rows] = x, c

    @torch.inference_mode()
    def predict(self, work: Work, rows: Rows, mask: Array | None) -> Array:
        """Run the heads on h.

        Args:
            work: the memory of n episodes.
            rows: k of them.
            mask: (k, H) factors of h before the heads; None for 1.

        Returns:
            float32 (k, outputs), overwritten by the next call: the mixture's logits, mu and log σ,
            then the other heads.
        """
        h = work.x[rows, self._inputs :]  # the constant 1, then h
        if mask is not None:
            h = h.copy()
            h[:, 1:] *= mask
        out = work.out[: len(h)]
        self._product(h, self._heads, out)
        return out

    @staticmethod
    def sample(
        out: Array, u: Array, eps: Array, row: NDArray[np.int64], tau: float, z: Array
    ) -> None:
        """Draw z; see :func:`~world_models.fast.memory.mixture_kernels.mixture_sample`."""
        mixture_kernels.mixture_sample(out, u, eps, row, tau, z)

    def _product(self, a: Array, weights: Tensor, out: Array) -> None:
        left, result = torch.from_numpy(a), torch.from_numpy(out)
        if self._dtype == torch.float32:
            torch.mm(left, weights, out=result)
        else:
            result.copy_(left.to(self._dtype) @ weights)
