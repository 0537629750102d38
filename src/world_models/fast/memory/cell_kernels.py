"""Compiled inner loops of the LSTM's cell on a CPU, in float32, and in bfloat16 for training.

The remarks on top of ``mixture_kernels.py`` hold here too. The same formula stands as torch
operations in M's ``cells.py``: it is the textbook's, and the reference that tests compare with.
"""

from typing import Any

import numpy as np

from world_models.fast.bfloat16 import Bits, widen
from world_models.fast.memory.arithmetic import exp, narrow_row, widen_row
from world_models.fast.memory.compiling import Array, compiled, f4, inline


@inline
def _sigmoid(x: Any) -> Any:
    return f4(1.0) / (f4(1.0) + exp(-x))


@inline
def _tanh(x: Any) -> Any:
    return f4(1.0) - f4(2.0) / (f4(1.0) + exp(f4(2.0) * x))


@compiled
def _cell_row(g: Array, c_old: Array, keep: Any, c: Array, h: Array) -> None:
    size = c.shape[0]
    for j in range(size):
        i = _sigmoid(g[j])
        f = _sigmoid(g[size + j])
        u = _tanh(g[2 * size + j])
        o = _sigmoid(g[3 * size + j])
        new = f * (keep * c_old[j]) + i * u
        c[j] = new
        h[j] = o * _tanh(new)
        g[j] = i
        g[size + j] = f
        g[2 * size + j] = u
        g[3 * size + j] = o


@compiled
def cell_forward(g: Array, c_old: Array, keep: Array, c: Array, h: Array) -> None:
    """One step of the LSTM's cell.

    Args:
        g: (B, 4H) sums of input and recurrence, gates i, f, u, o; replaced by the activated gates.
        c_old: (B, H) the cell before; may be ``c`` itself.
        keep: (B,) 0 where an episode starts (the old cell is forgotten), else 1.
        c: (B, H) the new cell, written.
        h: (B, H) the new output, written.
    """
    for b in range(g.shape[0]):
        _cell_row(g[b], c_old[b], keep[b], c[b], h[b])


@compiled
def _cell_step_row(g: Array, keep: Any, c: Array, h: Array) -> None:
    size = c.shape[0]
    for j in range(size):
        old = keep * c[j]
        new = _sigmoid(g[size + j]) * old + _sigmoid(g[j]) * _tanh(g[2 * size + j])
        c[j] = new
        h[j] = _sigmoid(g[3 * size + j]) * _tanh(new)


@compiled
def cell_step(g: Array, keep: Array, c: Array, x: Array, at: int) -> None:
    """One step for inference: nothing is kept for a backward pass.

    Args:
        g: (B, 4H) the gates' sums, as in :func:`cell_forward`.
        keep: (B,) as there.
        c: (B, H) changed in place.
        x: (B, at + H); h is written from column ``at``.
        at: where h begins.
    """
    for b in range(g.shape[0]):
        _cell_step_row(g[b], keep[b], c[b], x[b, at:])


@compiled
def _cell_back_row(
    g: Array, c_old: Array, keep: Any, c: Array, dh: Array, dc: Array, dg: Array
) -> None:
    size = c.shape[0]
    one = f4(1.0)
    for j in range(size):
        i = g[j]
        f = g[size + j]
        u = g[2 * size + j]
        o = g[3 * size + j]
        t = _tanh(c[j])
        d = dc[j] + dh[j] * o * (one - t * t)
        dg[j] = d * u * i * (one - i)
        dg[size + j] = d * (keep * c_old[j]) * f * (one - f)
        dg[2 * size + j] = d * i * (one - u * u)
        dg[3 * size + j] = dh[j] * t * o * (one - o)
        dc[j] = d * f * keep


@compiled
def cell_backward(
    g: Array, c_old: Array, keep: Array, c: Array, dh: Array, dc: Array, dg: Array
) -> None:
    """Gradient of :func:`cell_forward`.

    Args:
        g: (B, 4H) activated gates, as the forward pass left them.
        c_old: (B, H) the cell before the step.
        keep: (B,) as in the forward pass.
        c: (B, H) the cell after the step.
        dh: (B, H) gradient of h.
        dc: (B, H) gradient of c; replaced by that of ``c_old``.
        dg: (B, 4H) gradient of the gates' sums, written.
    """
    for b in range(g.shape[0]):
        _cell_back_row(g[b], c_old[b], keep[b], c[b], dh[b], dc[b], dg[b])


@compiled
def _sigmoids(bits: Bits, x: Array) -> None:
    for j in range(x.shape[0]):
        x[j] = _sigmoid(widen(bits[j]))


@compiled
def _tanhs(bits: Bits, x: Array) -> None:
    for j in range(x.shape[0]):
        x[j] = _tanh(widen(bits[j]))


@compiled
def _scale(x: Array, factor: Any) -> None:
    for j in range(x.shape[0]):
        x[j] *= factor


@compiled
def _gradient_of_h(dh: Bits, keep: Any, back: Bits, total: Array) -> None:
    for j in range(total.shape[0]):
        total[j] = widen(dh[j]) + keep * widen(back[j])


@compiled
def cell_forward_bfloat16(
    t: int, start: int, stop: int, g: Bits, keep: Array, c: Array, x: Bits, h: Bits
) -> None:
    """Step ``t`` of the LSTM's cell for some members, in bfloat16 but for the cell.

    Args:
        t: the step, from 0.
        start: first member.
        stop: end of the members.
        g: (T, B, 4H) sums of input and recurrence, gates i, f, u, o.
        keep: (T + 1, B) 0 where an episode starts, else 1.
        c: (T + 1, B, H) float32 cells before each step; that after step ``t`` is written.
        x: (T + 1, B, ≥H) inputs; the next step's last H, its recurrence, are written.
        h: (T, B, 1 + H) the output is written from column 1.
    """
    size = c.shape[2]
    wide, out = np.empty(4 * size, np.float32), np.empty(size, np.float32)
    for b in range(start, stop):
        widen_row(g[t, b], wide)
        _cell_row(wide, c[t, b], keep[t, b], c[t + 1, b], out)
        narrow_row(out, h[t, b, 1:])
        _scale(out, keep[t + 1, b])
        narrow_row(out, x[t + 1, b, x.shape[2] - size :])


@compiled
def cell_backward_bfloat16(
    t: int, start: int, g: Bits, keep: Array, c: Array, dh: Bits, back: Bits, dc: Array
) -> None:
    """Gradient of :func:`cell_forward_bfloat16`, whose arguments are as it left them.

    Args:
        t: the step.
        start: the first of n members.
        g: (T, B, 4H) the gates' sums; their gradient takes their place at step ``t``. To activate
            them again is quicker than to remember.
        keep: (T + 1, B).
        c: (T + 1, B, H).
        dh: (T, B, H) gradient of the output h.
        back: (n, H) gradient of the next step's recurrence.
        dc: (n, H) float32 gradient of the cell after the step; replaced by that before it.
    """
    size = c.shape[2]
    wide, d = np.empty(4 * size, np.float32), np.empty(4 * size, np.float32)
    total = np.empty(size, np.float32)
    for n in range(dc.shape[0]):
        b = start + n
        bits = g[t, b]
        _sigmoids(bits[: 2 * size], wide[: 2 * size])
        _tanhs(bits[2 * size : 3 * size], wide[2 * size : 3 * size])
        _sigmoids(bits[3 * size :], wide[3 * size :])
        _gradient_of_h(dh[t, b], keep[t + 1, b], back[n], total)
        _cell_back_row(wide, c[t, b], keep[t, b], c[t + 1, b], total, dc[n], d)
        narrow_row(d, bits)


@compiled
def _add_row(bits: Bits, total: Array) -> None:
    for j in range(total.shape[0]):
        total[j] += widen(bits[j])


@compiled
def sum_bfloat16(parts: Bits, row: int, column: int, total: Array) -> None:
    """Add a block of each of several matrices, in their order.

    Args:
        parts: (P, ≥row + R, ≥column + C) bfloat16.
        row: where the block begins.
        column: likewise.
        total: (R, C) float32, written.
    """
    for r in range(total.shape[0]):
        widen_row(parts[0, row + r, column:], total[r])
        for p in range(1, parts.shape[0]):
            _add_row(parts[p, row + r, column:], total[r])
