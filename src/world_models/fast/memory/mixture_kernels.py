"""Compiled inner loops of M on a CPU: the mixture's loss, and its samples.

torch runs each of these as a dozen passes over memory; here a row is read once, stays in the
first-level cache and its exponentials run in vector registers. Everything that is a matrix
product stays with torch. The same formulas stand as torch operations in M's ``mixture.py``: these
are the textbook's, and the reference that tests compare with.

The loops are split so that each touches few arrays: LLVM proves at run time that they do not
overlap, and gives up (and the loop runs 5 times slower) when that takes more than 8 comparisons.
Where a loop changes an array, it is an argument once: as two, it would overlap itself. They run
over whole slices: numba lets an index such as ``k * size + j`` be negative, and the test for that
stops LLVM too. Kernels take and change plain arrays; rows are members of a batch, all are
C-contiguous.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from world_models.fast.bfloat16 import Bits
from world_models.fast.memory.arithmetic import exp, narrow_row, widen_row
from world_models.fast.memory.compiling import Array, compiled, f4, inline

LOGSIGMA_MIN, LOGSIGMA_MAX = f4(-8.0), f4(8.0)
"""Bounds of log σ: outside of what a z of unit scale needs, inside of what float32 squares."""
RESIDUAL_MAX = f4(1e15)  # its square is still finite
HALF_LOG_2PI = f4(0.9189385332046727)
ROWS = 8
"""Rows of the mixture that are computed side by side."""


@inline
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


@compiled
def _raise_to(m: Array, x: Array) -> None:
    for j in range(m.shape[0]):
        m[j] = max(m[j], x[j])


@compiled
def _exp_sum(x: Array, m: Array, scale: Any, e: Array, total: Array) -> None:
    for j in range(m.shape[0]):
        e[j] = exp((x[j] - m[j]) * scale)
        total[j] += e[j]


@compiled
def _exponentials(x: Array, m: Array, total: Array) -> None:
    """:func:`_exp_sum` in place, which it cannot be: LLVM would see an overlap."""
    for j in range(m.shape[0]):
        x[j] = exp(x[j] - m[j])
        total[j] += x[j]


@compiled
def _distance(y: Array, mu: Array, ls: Array, inverse: Array) -> None:
    """Replace mu by the distance from it in σ; write 1/σ."""
    for j in range(y.shape[0]):
        inverse[j] = exp(-min(max(ls[j], LOGSIGMA_MIN), LOGSIGMA_MAX))
        d = (y[j] - mu[j]) * inverse[j]
        mu[j] = min(max(d, -RESIDUAL_MAX), RESIDUAL_MAX)


@compiled
def _density(d: Array, ls: Array, logits: Array, m: Array, a: Array) -> None:
    """Log of a component's weighted density, but for what all components share."""
    for j in range(m.shape[0]):
        sigma = min(max(ls[j], LOGSIGMA_MIN), LOGSIGMA_MAX)
        a[j] = logits[j] - m[j] - f4(0.5) * d[j] * d[j] - sigma


@compiled
def _finish(pi: Array, r: Array, best: Array, scale: Array, nll: Array) -> None:
    """NLL of each dimension; ``pi`` and ``r`` become what normalises the gradients."""
    for j in range(nll.shape[0]):
        nll[j] = _log(pi[j]) - best[j] - _log(r[j]) + HALF_LOG_2PI
        pi[j] = scale[j] / pi[j]
        r[j] = scale[j] / r[j]


@compiled
def _dlogits(r: Array, r_scale: Array, pi_scale: Array, dlogits: Array) -> None:
    for j in range(r.shape[0]):
        r[j] *= r_scale[j]
        dlogits[j] = dlogits[j] * pi_scale[j] - r[j]


@compiled
def _dls(r: Array, d: Array, ls: Array) -> None:
    for j in range(r.shape[0]):
        inside = LOGSIGMA_MIN <= ls[j] <= LOGSIGMA_MAX
        ls[j] = r[j] * (f4(1.0) - d[j] * d[j]) if inside else f4(0.0)


@compiled
def _dmu(r: Array, inverse: Array, d: Array) -> None:
    for j in range(r.shape[0]):
        d[j] = -r[j] * d[j] * inverse[j]


@compiled
def _nll_block(out: Array, y: Array, scale: Array, w: Array) -> Any:
    """Σ scale · NLL of L dimensions; ``out`` (3, K, L) becomes the gradient. ``w``: work."""
    logits, mu, ls = out[0], out[1], out[2]
    mixtures = logits.shape[0]
    m, best, pi, total = w[0], w[1], w[2], w[3]
    inverse, a = w[4 : 4 + mixtures], w[4 + mixtures :]
    m[:] = logits[0]
    best[:] = f4(-3e38)
    pi[:] = f4(0.0)
    total[:] = f4(0.0)
    for k in range(1, mixtures):
        _raise_to(m, logits[k])
    for k in range(mixtures):
        _distance(y, mu[k], ls[k], inverse[k])
        _density(mu[k], ls[k], logits[k], m, a[k])
        _raise_to(best, a[k])
        _exponentials(logits[k], m, pi)
    for k in range(mixtures):
        _exponentials(a[k], best, total)
    _finish(pi, total, best, scale, m)
    for k in range(mixtures):
        _dlogits(a[k], total, pi, logits[k])
        # A component without responsibility has no gradient, however far it lies.
        _dls(a[k], mu[k], ls[k])
        _dmu(a[k], inverse[k], mu[k])
    loss = 0.0
    for j in range(y.shape[0]):
        loss += scale[j] * m[j]
    return loss


@compiled
def _gather(row: Array, block: Array, r: int) -> None:
    for s in range(block.shape[0]):
        for j in range(block.shape[2]):
            block[s, r, j] = row[s, j]


@compiled
def _scatter(block: Array, r: int, row: Array) -> None:
    for s in range(block.shape[0]):
        for j in range(block.shape[2]):
            row[s, j] = block[s, r, j]


@compiled
def mixture_nll(out: Array, y: Array, scale: Array, gradient: Array) -> Any:
    """Σ scale · NLL over rows and dimensions, and its gradient in the same pass.

    ``ROWS`` rows are taken at a time, side by side for each component: loops over a Z of 32 alone
    would spend most of their time in beginning.

    Args:
        out: (N, 3·K·Z) logits, mu, log σ, each (K, Z).
        y: (N, Z) targets.
        scale: (N,) weight of a row; rows of weight 0 are not looked at.
        gradient: (N, 3·K·Z), written; may be ``out`` itself.

    Returns:
        The weighted sum, float64.
    """
    rows, size = y.shape
    mixtures = out.shape[1] // (3 * size)
    block = np.zeros((3, mixtures, ROWS * size), np.float32)
    w = np.empty((4 + 2 * mixtures, ROWS * size), np.float32)
    parts = block.reshape(3 * mixtures, ROWS, size)
    targets = np.zeros((ROWS, size), np.float32)
    weights = np.zeros((ROWS, size), np.float32)
    taken = np.empty(ROWS, np.int64)
    sources = out.reshape(rows, 3 * mixtures, size)
    results = gradient.reshape(rows, 3 * mixtures, size)
    loss, count = 0.0, 0
    for n in range(rows):
        if scale[n] == f4(0.0):
            results[n] = f4(0.0)
        else:
            _gather(sources[n], parts, count)
            targets[count], weights[count], taken[count] = y[n], scale[n], n
            count += 1
        if count == ROWS or (n == rows - 1 and count > 0):
            weights[count:] = f4(0.0)
            loss += _nll_block(block, targets.reshape(-1), weights.reshape(-1), w)
            for r in range(count):
                _scatter(parts, r, results[taken[r]])
            count = 0
    return loss


@compiled
def mixture_nll_bfloat16(out: Bits, y: Array, scale: Array) -> Any:
    """:func:`mixture_nll` in bfloat16; the gradient, rounded, takes the place of ``out``.

    Args:
        out: (N, ≥3·K·Z), then less than 3·Z other columns, which are left alone.
        y: (N, Z) targets.
        scale: (N,) weight of a row.

    Returns:
        The weighted sum, float64.
    """
    columns = out.shape[1] // (3 * y.shape[1]) * 3 * y.shape[1]
    wide = np.empty((ROWS, columns), np.float32)
    loss = 0.0
    for n in range(0, out.shape[0], ROWS):
        count = min(ROWS, out.shape[0] - n)
        for r in range(count):
            widen_row(out[n + r], wide[r])
        part = wide[:count]
        loss += mixture_nll(part, y[n : n + count], scale[n : n + count], part)
        for r in range(count):
            narrow_row(part[r], out[n + r])
    return loss


@compiled
def _choose(below: Array, threshold: Array, x: Array, chosen: Array) -> None:
    for j in range(x.shape[0]):
        chosen[j] = x[j] if below[j] <= threshold[j] else chosen[j]


@compiled
def _place(mu: Array, ls: Array, eps: Array, root_tau: Any, z: Array) -> None:
    for j in range(z.shape[0]):
        sigma = exp(min(max(ls[j], LOGSIGMA_MIN), LOGSIGMA_MAX))
        z[j] = mu[j] + sigma * eps[j] * root_tau


@compiled
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


@compiled
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
