"""The LSTM over a whole sequence, with a hand-written backward pass: float32 on a CPU.

Autograd would record some twenty operations for every time step. Here one function covers the
sequence: a single matrix product projects all inputs, each step adds the recurrent product and
runs the compiled cell, and the gradients of the weights are again a few large products.
"""

from typing import Any

import torch
from torch import Tensor

from world_models.fast.memory import cell_kernels

CHUNK = 16
"""Steps of the backward pass whose weight gradients are summed by one product: enough for the
product to run at full speed, few enough to stay in the cache."""


class _LSTM(torch.autograd.Function):
    """h of every step from the inputs of every step. See :func:`lstm`."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        keep: Tensor,
        h0: Tensor,
        c0: Tensor,
        w_x: Tensor,
        w_h: Tensor,
        b: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Run all steps; keeps activated gates, h and c of every step for the backward pass."""
        steps, batch, _ = x.shape
        gates = (x.flatten(0, 1) @ w_x.t()).view(steps, batch, -1)
        gates += b
        h = x.new_empty(steps, batch, w_h.shape[1])
        c = torch.empty_like(h)
        fresh, recurrent = _with_starts(keep), w_h.t()
        h_old, c_old = h0, c0
        for t in range(steps):
            if fresh[t]:
                h_old = h_old * keep[t, :, None]
            gates[t].addmm_(h_old, recurrent)
            arrays = (z.numpy() for z in (gates[t], c_old, keep[t], c[t], h[t]))
            cell_kernels.cell_forward(*arrays)
            h_old, c_old = h[t], c[t]
        ctx.save_for_backward(x, keep, h0, c0, w_x, w_h, gates, h, c)
        ctx.fresh = fresh
        return h, c[-1].clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dh_all: Tensor, dc_last: Tensor) -> tuple[Tensor | None, ...]:
        """Back through time, ``CHUNK`` steps to a product for the weights."""
        x, keep, h0, c0, w_x, w_h, gates, h, c = ctx.saved_tensors
        steps, batch, _ = x.shape
        fresh = ctx.fresh
        dw_x, dw_h = torch.zeros_like(w_x), torch.zeros_like(w_h)
        d_bias = w_x.new_zeros(w_x.shape[0])
        dx = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        dh, dc = dh_all[-1].clone(), dc_last.clone()
        buffer = x.new_empty(min(CHUNK, steps), batch, w_x.shape[0])
        for start in reversed(range(0, steps, CHUNK)):
            stop = min(start + CHUNK, steps)
            dg = buffer[: stop - start]
            for t in reversed(range(start, stop)):
                c_old = c[t - 1] if t else c0
                arrays = (gates[t], c_old, keep[t], c[t], dh, dc, dg[t - start])
                cell_kernels.cell_backward(*(z.numpy() for z in arrays))
                back = dh_all[t - 1] if t else None
                dh = _recurrent_gradient(dg[t - start], w_h, keep[t], back, plain=not fresh[t])
            flat = dg.flatten(0, 1)
            before = _before(h, h0, start, stop)
            if any(fresh[start:stop]):
                before = before * keep[start:stop, :, None]
            dw_h.addmm_(flat.t(), before.flatten(0, 1))
            dw_x.addmm_(flat.t(), x[start:stop].flatten(0, 1))
            d_bias += flat.sum(0)
            if dx is not None:
                dx[start:stop] = (flat @ w_x).view(stop - start, batch, -1)
        return dx, None, dh, dc, dw_x, dw_h, d_bias


def _with_starts(keep: Tensor) -> list[bool]:
    """For each step, whether some member's episode starts there."""
    return [bool(s) for s in (keep == 0).any(dim=1).tolist()]


def _recurrent_gradient(
    dg: Tensor, weights: Tensor, keep: Tensor, back: Tensor | None, *, plain: bool
) -> Tensor:
    """Gradient of the h that entered a step, and of that h as an output of its own (``back``)."""
    if plain and back is not None:
        return torch.addmm(back, dg, weights)
    dh = dg @ weights
    if not plain:
        dh *= keep[:, None]
    return dh if back is None else dh.add_(back)


def _before(h: Tensor, h0: Tensor, start: int, stop: int) -> Tensor:
    """The h before steps ``start`` to ``stop``: (stop - start, B, H)."""
    return h[start - 1 : stop - 1] if start else torch.cat([h0[None], h[: stop - 1]])


def lstm(
    x: Tensor, keep: Tensor, h0: Tensor, c0: Tensor, w_x: Tensor, w_h: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor]:
    """Run a one-bias LSTM over a sequence; gates in the order i, f, u (candidate), o.

    Args:
        x: (T, B, I) inputs, float32 on a CPU as all arguments.
        keep: (T, B) 0 where an episode starts: (h, c) are 0 before that step; else 1.
        h0: (B, H) output before the first step.
        c0: (B, H) cell before the first step.
        w_x: (4H, I).
        w_h: (4H, H).
        bias: (4H,).

    Returns:
        h of every step (T, B, H), and the last cell (B, H).
    """
    result: tuple[Tensor, Tensor] = _LSTM.apply(  # type: ignore[no-untyped-call]
        x, keep, h0, c0, w_x, w_h, bias
    )
    return result
