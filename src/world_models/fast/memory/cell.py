"""The LSTM over a whole sequence, with a hand-written backward pass.

Autograd would record some twenty operations for every time step. Here one function covers the
sequence: a single matrix product projects all inputs, each step adds the recurrent product and
runs the cell, and the gradients of the weights are again a few large products.
"""

from typing import Any

import torch
from torch import Tensor

from world_models.fast.memory import cell_kernels

CHUNK = 16
"""Steps of the backward pass whose weight gradients are summed by one product: enough for the
product to run at full speed, few enough to stay in the cache."""


def has_kernels(tensor: Tensor) -> bool:
    """Whether the compiled kernels apply: float32 on a CPU."""
    return tensor.device.type == "cpu" and tensor.dtype == torch.float32


def matmul(a: Tensor, b: Tensor, dtype: torch.dtype) -> Tensor:
    """``a @ b`` with operands rounded to ``dtype``, the result in ``a``'s own type."""
    if dtype == a.dtype:
        return a @ b
    return (a.to(dtype) @ b.to(dtype)).to(a.dtype)


def cell_forward(g: Tensor, c_old: Tensor, keep: Tensor, c: Tensor, h: Tensor) -> None:
    """One step of the cell, in place; arguments as :func:`cell_kernels.cell_forward`."""
    if has_kernels(g):
        cell_kernels.cell_forward(g.numpy(), c_old.numpy(), keep.numpy(), c.numpy(), h.numpy())
        return
    i, f, u, o = g.chunk(4, dim=1)
    for gate in (i, f, o):
        gate.sigmoid_()
    u.tanh_()
    torch.mul(f, keep[:, None] * c_old, out=c)
    c.addcmul_(i, u)
    torch.mul(o, c.tanh(), out=h)


def cell_backward(
    g: Tensor, c_old: Tensor, keep: Tensor, c: Tensor, dh: Tensor, dc: Tensor, dg: Tensor
) -> None:
    """Gradient of the cell, in place; arguments as :func:`cell_kernels.cell_backward`."""
    if has_kernels(g):
        arrays = (x.numpy() for x in (g, c_old, keep, c, dh, dc, dg))
        cell_kernels.cell_backward(*arrays)
        return
    i, f, u, o = g.chunk(4, dim=1)
    t = c.tanh()
    d = dc + dh * o * (1 - t * t)
    torch.cat(
        [
            d * u * i * (1 - i),
            d * (keep[:, None] * c_old) * f * (1 - f),
            d * i * (1 - u * u),
            dh * t * o * (1 - o),
        ],
        dim=1,
        out=dg,
    )
    torch.mul(d, f * keep[:, None], out=dc)


class LSTMFunction(torch.autograd.Function):
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
        bias: Tensor,
        dtype: torch.dtype,
    ) -> tuple[Tensor, Tensor]:
        """Run all steps; keeps activated gates, h and c of every step for the backward pass."""
        steps, batch, _ = x.shape
        gates = matmul(x.flatten(0, 1), w_x.t(), dtype).view(steps, batch, -1)
        gates += bias
        h = x.new_empty(steps, batch, w_h.shape[1])
        c = torch.empty_like(h)
        fresh = _with_starts(keep)
        recurrent = w_h.t().to(dtype)
        h_old, c_old = h0, c0
        for t in range(steps):
            if fresh[t]:
                h_old = h_old * keep[t, :, None]
            if dtype == x.dtype:
                gates[t].addmm_(h_old, recurrent)
            else:
                gates[t] += h_old.to(dtype) @ recurrent
            cell_forward(gates[t], c_old, keep[t], c[t], h[t])
            h_old, c_old = h[t], c[t]
        ctx.save_for_backward(x, keep, h0, c0, w_x, w_h, gates, h, c)
        ctx.dtype, ctx.fresh = dtype, fresh
        return h, c[-1].clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dh_all: Tensor, dc_last: Tensor) -> tuple[Tensor | None, ...]:
        """Back through time, ``CHUNK`` steps to a product for the weights."""
        x, keep, h0, c0, w_x, w_h, gates, h, c = ctx.saved_tensors
        steps, batch, _ = x.shape
        dtype, fresh = ctx.dtype, ctx.fresh
        weights = w_h.to(dtype)
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
                cell_backward(gates[t], c_old, keep[t], c[t], dh, dc, dg[t - start])
                back = dh_all[t - 1] if t else None
                dh = _recurrent_gradient(dg[t - start], weights, keep[t], back, plain=not fresh[t])
            flat = dg.flatten(0, 1)
            before = _before(h, h0, start, stop)
            if any(fresh[start:stop]):
                before = before * keep[start:stop, :, None]
            before = before.flatten(0, 1)
            _accumulate(dw_h, flat, before, dtype)
            _accumulate(dw_x, flat, x[start:stop].flatten(0, 1), dtype)
            d_bias += flat.sum(0)
            if dx is not None:
                dx[start:stop] = matmul(flat, w_x, dtype).view(stop - start, batch, -1)
        return dx, None, dh, dc, dw_x, dw_h, d_bias, None


def _with_starts(keep: Tensor) -> list[bool]:
    """For each step, whether some member's episode starts there."""
    return [bool(s) for s in (keep == 0).any(dim=1).tolist()]


def _recurrent_gradient(
    dg: Tensor, weights: Tensor, keep: Tensor, back: Tensor | None, *, plain: bool
) -> Tensor:
    """Gradient of the h that entered a step, and of that h as an output of its own (``back``)."""
    if plain and back is not None and weights.dtype == dg.dtype:
        return torch.addmm(back, dg, weights)
    dh = matmul(dg, weights, weights.dtype)
    if not plain:
        dh *= keep[:, None]
    return dh if back is None else dh.add_(back)


def _before(h: Tensor, h0: Tensor, start: int, stop: int) -> Tensor:
    """The h before steps ``start`` to ``stop``: (stop - start, B, H)."""
    return h[start - 1 : stop - 1] if start else torch.cat([h0[None], h[: stop - 1]])


def _accumulate(total: Tensor, dg: Tensor, inputs: Tensor, dtype: torch.dtype) -> None:
    if dtype == total.dtype:
        total.addmm_(dg.t(), inputs)
    else:
        total += matmul(dg.t(), inputs, dtype)


def lstm(
    x: Tensor,
    keep: Tensor,
    h0: Tensor,
    c0: Tensor,
    w_x: Tensor,
    w_h: Tensor,
    bias: Tensor,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """Run a one-bias LSTM over a sequence; gates in the order i, f, u (candidate), o.

    Args:
        x: (T, B, I) inputs.
        keep: (T, B) 0 where an episode starts: (h, c) are 0 before that step; else 1.
        h0: (B, H) output before the first step.
        c0: (B, H) cell before the first step.
        w_x: (4H, I).
        w_h: (4H, H).
        bias: (4H,).
        dtype: type of the matrix products' operands (float32, or bfloat16 where there are units).

    Returns:
        h of every step (T, B, H), and the last cell (B, H).
    """
    result: tuple[Tensor, Tensor] = LSTMFunction.apply(  # type: ignore[no-untyped-call]
        x, keep, h0, c0, w_x, w_h, bias, dtype
    )
    return result
