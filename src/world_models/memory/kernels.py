"""Compiled inner loops of M on a CPU, float32: the LSTM cell, the mixture and its samples.

torch runs each of these as a dozen passes over memory; here a row is read once, stays in the
first-level cache and its exponentials run in vector registers. Everything that is a matrix
product stays with torch. The same formulas as torch operations stand in ``cell.py`` and
``mixture.py``: for other devices and types, and as the reference that tests compare with.

The loops are split so that each touches few arrays: LLVM proves at run time that they do not
overlap, and gives up (and the loop runs 5 times slower) when that takes more than 8 comparisons.
They run over whole slices: numba lets an index such as ``k * size + j`` be negative, and the test
for that stops LLVM too. All stand in one file because numba's cache notices changes of a kernel's
own file only: with ``_exp`` elsewhere, a change of it would leave stale kernels behind.
Kernels take and change plain arrays; rows are members of a batch, all are C-contiguous.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])
Array = NDArray[np.float32]
f4 = np.float32

LOGSIGMA_MIN, LOGSIGMA_MAX = f4(-8.0), f4(8.0)
"""Bounds of log σ: outside of what a z of unit scale needs, inside of what float32 squares."""
RESIDUAL_MAX = f4(1e15)  # its square is still finite
HALF_LOG_2PI = f4(0.9189385332046727)

# Without "reassoc": the order of additions is part of the result. Without "ninf" and "nnan" a
# broken input would pass unseen.
_FAST = {"contract", "nsz", "arcp"}


def _inline(function: F) -> F:
    return numba.njit(function, fastmath=_FAST, error_model="numpy", inline="always")  # type: ignore[no-any-return]


def _compiled(function: F) -> F:
    # The lock on the GIL is released: several shards of a batch may run in threads.
    return numba.njit(function, fastmath=_FAST, error_model="numpy", cache=True, nogil=True)  # type: ignore[no-any-return]


@_inline
def _exp(x: Any) -> Any:
    """Exponential of a float32, relative error < 1e-7 (Cephes); branch-free, so it vectorises."""
    x = min(max(x, f4(-87.0)), f4(88.0))
    n = np.floor(x * f4(1.44269504) + f4(0.5))
    r = x - n * f4(0.693359375) + n * f4(2.12194440e-4)
    p = f4(1.9875691500e-4)
    p = p * r + f4(1.3981999507e-3)
    p = p * r + f4(8.3334519073e-3)
    p = p * r + f4(4.1665795894e-2)
    p = p * r + f4(1.6666665459e-1)
    p = p * r + f4(5.0000001201e-1)
    p = p * r * r + r + f4(1.0)
    return p * np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)


@_inline
def _log(x: Any) -> Any:
    """Logarithm of a positive, normal float32 (Cephes), branch-free."""
    bits = np.float32(x).view(np.int32)
    e = f4((bits >> np.int32(23)) - np.int32(126))
    m = np.int32((bits & np.int32(0x007FFFFF)) | np.int32(0x3F000000)).view(np.float32)
    small = m < f4(0.70710678)
    e = e - f4(1.0) if small else e
    r = m + m - f4(1.0) if small else m - f4(1.0)
    p = f4(7.0376836292e-2)
    p = p * r - f4(1.1514610310e-1)
    p = p * r + f4(1.1676998740e-1)
    p = p * r - f4(1.2420140846e-1)
    p = p * r + f4(1.4249322787e-1)
    p = p * r - f4(1.6668057665e-1)
    p = p * r + f4(2.0000714765e-1)
    p = p * r - f4(2.4999993993e-1)
    p = p * r + f4(3.3333331174e-1)
    y = p * r * r * r - f4(2.12194440e-4) * e - f4(0.5) * r * r
    return r + y + f4(0.693359375) * e


@_inline
def _sigmoid(x: Any) -> Any:
    return f4(1.0) / (f4(1.0) + _exp(-x))


@_inline
def _tanh(x: Any) -> Any:
    return f4(1.0) - f4(2.0) / (f4(1.0) + _exp(f4(2.0) * x))


@_compiled
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


@_compiled
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


@_compiled
def _cell_step_row(g: Array, keep: Any, c: Array, h: Array) -> None:
    size = c.shape[0]
    for j in range(size):
        old = keep * c[j]
        new = _sigmoid(g[size + j]) * old + _sigmoid(g[j]) * _tanh(g[2 * size + j])
        c[j] = new
        h[j] = _sigmoid(g[3 * size + j]) * _tanh(new)


@_compiled
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


@_compiled
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


@_compiled
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


@_compiled
def _raise_to(m: Array, x: Array) -> None:
    for j in range(m.shape[0]):
        m[j] = max(m[j], x[j])


@_compiled
def _residual(y: Array, mu: Array, ls: Array, logits: Array, m: Array, a: Array) -> None:
    """Log of a component's weighted density, but for what all components share."""
    for j in range(m.shape[0]):
        sigma = min(max(ls[j], LOGSIGMA_MIN), LOGSIGMA_MAX)
        d = (y[j] - mu[j]) * _exp(-sigma)
        d = min(max(d, -RESIDUAL_MAX), RESIDUAL_MAX)
        a[j] = logits[j] - m[j] - f4(0.5) * d * d - sigma


@_compiled
def _exp_sum(x: Array, m: Array, scale: Any, e: Array, total: Array) -> None:
    for j in range(m.shape[0]):
        e[j] = _exp((x[j] - m[j]) * scale)
        total[j] += e[j]


@_compiled
def _dlogits(r: Array, r_scale: Array, pi_scale: Array, dlogits: Array) -> None:
    for j in range(r.shape[0]):
        r[j] *= r_scale[j]
        dlogits[j] = dlogits[j] * pi_scale[j] - r[j]


@_compiled
def _dmu(y: Array, mu: Array, ls: Array, r: Array, dmu: Array) -> None:
    for j in range(y.shape[0]):
        inverse = _exp(-min(max(ls[j], LOGSIGMA_MIN), LOGSIGMA_MAX))
        d = (y[j] - mu[j]) * inverse
        dmu[j] = -r[j] * min(max(d, -RESIDUAL_MAX), RESIDUAL_MAX) * inverse


@_compiled
def _dls(y: Array, mu: Array, ls: Array, r: Array, dls: Array) -> None:
    for j in range(y.shape[0]):
        sigma = min(max(ls[j], LOGSIGMA_MIN), LOGSIGMA_MAX)
        d = (y[j] - mu[j]) * _exp(-sigma)
        d = min(max(d, -RESIDUAL_MAX), RESIDUAL_MAX)
        dls[j] = r[j] * (f4(1.0) - d * d) if sigma == ls[j] else f4(0.0)


@_compiled
def _finish(pi: Array, r: Array, best: Array, scale: Any, nll: Array) -> None:
    """NLL of each dimension; ``pi`` and ``r`` become what normalises the gradients."""
    for j in range(nll.shape[0]):
        nll[j] = _log(pi[j]) - best[j] - _log(r[j]) + HALF_LOG_2PI
        pi[j] = scale / pi[j]
        r[j] = scale / r[j]


@_compiled
def _nll_row(out: Array, y: Array, scale: Any, a: Array, w: Array, grad: Array) -> Any:
    """NLL of one row, summed over Z, and its gradient times ``scale``."""
    size = y.shape[0]
    part = a.shape[0]
    m, best, pi, total = w[:size], w[size : 2 * size], w[2 * size : 3 * size], w[3 * size :]
    m[:] = out[:size]
    best[:] = f4(-3e38)
    pi[:] = f4(0.0)
    total[:] = f4(0.0)
    for k in range(size, part, size):
        _raise_to(m, out[k : k + size])
    for k in range(0, part, size):
        logits, mu, ls = out[k:][:size], out[part + k :][:size], out[2 * part + k :][:size]
        _residual(y, mu, ls, logits, m, a[k : k + size])
        _raise_to(best, a[k : k + size])
        _exp_sum(logits, m, f4(1.0), grad[k : k + size], pi)
    for k in range(0, part, size):
        _exp_sum(a[k : k + size], best, f4(1.0), a[k : k + size], total)
    _finish(pi, total, best, scale, m)
    for k in range(0, part, size):
        mu, ls, r = out[part + k :][:size], out[2 * part + k :][:size], a[k : k + size]
        _dlogits(r, total, pi, grad[k : k + size])
        # A component without responsibility has no gradient, however far it lies.
        _dmu(y, mu, ls, r, grad[part + k :][:size])
        _dls(y, mu, ls, r, grad[2 * part + k :][:size])
    loss = 0.0
    for j in range(size):
        loss += m[j]
    return loss


@_compiled
def mixture_nll(out: Array, y: Array, scale: Array, gradient: Array) -> Any:
    """Σ scale · NLL over rows and dimensions, and its gradient in the same pass.

    Args:
        out: (N, 3·K·Z) logits, mu, log σ, each (K, Z).
        y: (N, Z) targets.
        scale: (N,) weight of a row; rows of weight 0 are not looked at.
        gradient: (N, 3·K·Z), written.

    Returns:
        The weighted sum, float64.
    """
    a = np.empty(out.shape[1] // 3, np.float32)
    w = np.empty(4 * y.shape[1], np.float32)
    loss = 0.0
    for n in range(out.shape[0]):
        if scale[n] == f4(0.0):
            gradient[n, :] = f4(0.0)
        else:
            loss += scale[n] * _nll_row(out[n], y[n], scale[n], a, w, gradient[n])
    return loss


@_compiled
def _choose(below: Array, threshold: Array, x: Array, chosen: Array) -> None:
    for j in range(x.shape[0]):
        chosen[j] = x[j] if below[j] <= threshold[j] else chosen[j]


@_compiled
def _place(mu: Array, ls: Array, eps: Array, root_tau: Any, z: Array) -> None:
    for j in range(z.shape[0]):
        sigma = _exp(min(max(ls[j], LOGSIGMA_MIN), LOGSIGMA_MAX))
        z[j] = mu[j] + sigma * eps[j] * root_tau


@_compiled
def _sample_row(
    out: Array, part: int, u: Array, eps: Array, scale: Any, root_tau: Any, w: Array, z: Array
) -> None:
    size = z.shape[0]
    m, acc, e = w[:size], w[size : 2 * size], w[2 * size : 3 * size]
    mu, ls, below = w[3 * size : 4 * size], w[4 * size : 5 * size], w[5 * size :]
    m[:] = out[:size]
    acc[:] = f4(0.0)
    for k in range(size, part, size):
        _raise_to(m, out[k : k + size])
    for k in range(0, part, size):
        _exp_sum(out[k : k + size], m, scale, e, acc)
        below[k : k + size] = acc
    acc *= u
    mu[:] = out[part : part + size]
    ls[:] = out[2 * part : 2 * part + size]
    for k in range(size, part, size):
        _choose(below[k - size : k], acc, out[part + k :][:size], mu)
        _choose(below[k - size : k], acc, out[2 * part + k :][:size], ls)
    _place(mu, ls, eps, root_tau, z)


@_compiled
def mixture_sample(
    out: Array, u: Array, eps: Array, row: NDArray[np.int64], tau: float, z: Array
) -> None:
    """Draw z from the mixture at temperature τ: logits / τ, noise × √τ (App. A.2, D.2).

    Args:
        out: (N, ≥3·K·Z) logits, mu, log σ, each (K, Z), then less than 3·Z other columns.
        u: (S, Z) uniform in [0, 1): each dimension draws its own component.
        eps: (S, Z) standard normal.
        row: (N,) which row of ``u`` and ``eps`` a member uses.
        tau: temperature > 0.
        z: (N, ≥Z), the first Z columns are written.
    """
    size = u.shape[1]
    part = out.shape[1] // (3 * size) * size
    w = np.empty(5 * size + part, np.float32)
    scale, root = f4(1.0 / tau), f4(np.sqrt(tau))
    for n in range(out.shape[0]):
        _sample_row(out[n], part, u[row[n]], eps[row[n]], scale, root, w, z[n, :size])
