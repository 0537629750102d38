"""The data movement of V's fast formulation, compiled: what stands before and after each GEMM.

Layouts: images NHWC, float32, C-contiguous; ``columns`` and Winograd operands have one row for
each output position or tile. Every kernel works on the images that it is given, on one thread,
without the GIL, and is deterministic. Weights come in channels-last order (torch's memory format
for 4-d weights), so that the innermost loop always runs over contiguous channels.

Winograd, F(2,2) of the convolutions: a stride-2 convolution of kernel 4 is a sum over four pixel
phases of stride-1 convolutions of kernel 2, and two neighbouring outputs of

    y0 = x0·g0 + x1·g1,   y1 = x1·g0 + x2·g1

take three products instead of four: (x0−x1)·g0, x1·(g0+g1), (x2−x1)·g1; 9 instead of 16 in the
plane. F(3,3) of the last but one transposed convolution (kernel 6, stride 2: four phases of kernel
3 over the same input) takes 25 instead of 81, at the points 0, 1, −1, 2, ∞ (Lavin & Gray 2015).
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from world_models import compiling

Array = NDArray[np.float32]
F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile at the first call, cached on disk; inf and NaN keep their meaning."""
    options = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}}
    return cast("F", compiling.compiled(**options)(function))


@compiled
def pixels_to_columns(frames: NDArray[np.uint8], columns: Array) -> None:
    """Frames uint8 (n, 64, 64, 3) to columns (n·31·31, 48) in 0–1: kernel 4, stride 2."""
    scale = np.float32(1 / 255)
    row = 0
    for i in range(frames.shape[0]):
        for a in range(31):
            for b in range(31):
                for u in range(4):
                    for k in range(12):
                        pixel = frames[i, 2 * a + u, 2 * b + k // 3, k % 3]
                        columns[row, 12 * u + k] = np.float32(pixel) * scale
                row += 1


@compiled
def relu_gradient(y: Array, dy: Array, masked: Array, dbias: Array) -> None:
    """Set masked to dy where y > 0, else 0, all (rows, C); add its sum over rows to dbias (C,)."""
    zero = np.float32(0)
    for row in range(y.shape[0]):
        for c in range(y.shape[1]):
            d = dy[row, c] if y[row, c] > zero else zero
            masked[row, c] = d
            dbias[c] += d


@compiled
def fold(columns: Array, bias: Array, y: Array) -> None:
    """Columns (n·h·h, 5·5·C) to y = max(transposed convolution + bias, 0), (n, 2·h+3, 2·h+3, C)."""
    n, size, _, channels = y.shape
    h, run = (size - 5) // 2 + 1, 5 * channels
    flat = y.reshape(n * size, size * channels)
    zero = np.float32(0)
    for i in range(n):
        y[i] = zero
        for a in range(h):
            for b in range(h):
                row, start = (i * h + a) * h + b, 2 * b * channels
                for u in range(5):
                    line = i * size + 2 * a + u
                    for k in range(run):
                        flat[line, start + k] += columns[row, u * run + k]
        for r in range(size):
            for s in range(size):
                for c in range(channels):
                    y[i, r, s, c] = max(y[i, r, s, c] + bias[c], zero)


@compiled
def unfold(dy: Array, columns: Array) -> None:
    """The adjoint of :func:`fold` without its bias, dy being masked by the ReLU already."""
    n, size, _, channels = dy.shape
    h, run = (size - 5) // 2 + 1, 5 * channels
    flat = dy.reshape(n * size, size * channels)
    for i in range(n):
        for a in range(h):
            for b in range(h):
                row, start = (i * h + a) * h + b, 2 * b * channels
                for u in range(5):
                    line = i * size + 2 * a + u
                    for k in range(run):
                        columns[row, u * run + k] = flat[line, start + k]


@compiled
def fold_planes(columns: Array, bias: Array, y: Array) -> None:
    """Columns (6·6·3, n·30·30) to y = transposed convolution + bias, (n, 64, 64, 3).

    Three channels make short runs, so each of the 12 planes (phase, channel) is summed by itself.
    """
    plane = np.empty((32, 32), np.float32)
    for i in range(y.shape[0]):
        for k in range(12):
            p, q, c = k // 6, k // 3 % 2, k % 3
            plane[:] = bias[c]
            for tap in range(9):
                u, v = tap // 3, tap % 3
                column = columns[18 * (2 * u + p) + 3 * (2 * v + q) + c]
                for a in range(30):
                    start = (i * 30 + a) * 30
                    for b in range(30):
                        plane[a + u, b + v] += column[start + b]
            for r in range(32):
                for s in range(32):
                    y[i, 2 * r + p, 2 * s + q, c] = plane[r, s]


@compiled
def unfold_planes(dy: Array, columns: Array) -> None:
    """The adjoint of :func:`fold_planes` without its bias."""
    plane = np.empty((32, 32), np.float32)
    for i in range(dy.shape[0]):
        for k in range(12):
            p, q, c = k // 6, k // 3 % 2, k % 3
            for r in range(32):
                for s in range(32):
                    plane[r, s] = dy[i, 2 * r + p, 2 * s + q, c]
            for tap in range(9):
                u, v = tap // 3, tap % 3
                column = columns[18 * (2 * u + p) + 3 * (2 * v + q) + c]
                for a in range(30):
                    start = (i * 30 + a) * 30
                    for b in range(30):
                        column[start + b] = plane[a + u, b + v]


@compiled
def conv_weights(w: Array, operand: Array) -> None:
    """Weights (O, 4, 4, C) to the F(2,2) operand (9, O, 4·C): g0, g0+g1, g1 along each axis."""
    outputs, channels = w.shape[0], w.shape[3]
    for o in range(outputs):
        for p in range(2):
            for q in range(2):
                start = (2 * p + q) * channels
                for c in range(channels):
                    g00, g01 = w[o, p, q, c], w[o, p, 2 + q, c]
                    g10, g11 = w[o, 2 + p, q, c], w[o, 2 + p, 2 + q, c]
                    k = start + c
                    operand[0, o, k], operand[1, o, k], operand[2, o, k] = g00, g00 + g01, g01
                    operand[3, o, k] = g00 + g10
                    operand[4, o, k] = (g00 + g01) + (g10 + g11)
                    operand[5, o, k] = g01 + g11
                    operand[6, o, k], operand[7, o, k], operand[8, o, k] = g10, g10 + g11, g11


@compiled
def conv_weights_gradient(operand: Array, w: Array) -> None:
    """The adjoint of :func:`conv_weights`."""
    outputs, channels = w.shape[0], w.shape[3]
    for o in range(outputs):
        for p in range(2):
            for q in range(2):
                start = (2 * p + q) * channels
                for c in range(channels):
                    k = start + c
                    middle = operand[4, o, k]
                    above, below = operand[1, o, k] + middle, operand[7, o, k] + middle
                    left, right = operand[3, o, k], operand[5, o, k]
                    w[o, p, q, c] = operand[0, o, k] + above + left
                    w[o, p, 2 + q, c] = operand[2, o, k] + above + right
                    w[o, 2 + p, q, c] = operand[6, o, k] + below + left
                    w[o, 2 + p, 2 + q, c] = operand[8, o, k] + below + right


@compiled
def _points(x0: Array, x1: Array, x2: Array, out: Array, step: int, count: int) -> None:
    """x0 − x1, x1, x2 − x1, one after another at distance ``step``.

    Loops over one index into one-dimensional views are what LLVM vectorises without many checks.
    """
    t0, t1, t2 = out, out[step:], out[2 * step :]
    for k in range(count):
        t0[k] = x0[k] - x1[k]
        t1[k] = x1[k]
        t2[k] = x2[k] - x1[k]


@compiled
def _points_gradient(t: Array, step: int, x0: Array, x1: Array, x2: Array, count: int) -> None:
    """The adjoint of :func:`_points`: added to x0, written to x1 and x2, which come first here."""
    t0, t1, t2 = t, t[step:], t[2 * step :]
    for k in range(count):
        x0[k] += t0[k]
        x1[k] = t1[k] - t0[k] - t2[k]
        x2[k] = t2[k]


@compiled
def conv_tiles(x: Array, tiles: Array) -> None:
    """Images (n, H, H, C) to F(2,2) tiles (n·t·t, 9, 4·C), t = (H − 2) // 4.

    Whole lines are transformed first: two neighbouring pixels, one of either phase, stay together.
    """
    n, size, _, channels = x.shape
    t, pair, step, width = (size - 2) // 4, 2 * channels, 4 * channels, size * channels
    flat, out = x.reshape(-1), tiles.reshape(-1)
    half = np.empty(3 * width, np.float32)
    for i in range(n):
        for a in range(t):
            for p in range(2):
                above = flat[(i * size + 4 * a + p) * width :]
                _points(above, above[2 * width :], above[4 * width :], half, width, width)
                for b in range(t):
                    row = (i * t + a) * t + b
                    for u in range(3):
                        # _points written out: a call costs as much as its 64 numbers
                        x0 = half[u * width + b * step :]
                        x1, x2 = x0[pair:], x0[2 * pair :]
                        t0 = out[(9 * row + 3 * u) * step + p * pair :]
                        t1, t2 = t0[step:], t0[2 * step :]
                        for k in range(pair):
                            t0[k] = x0[k] - x1[k]
                            t1[k] = x1[k]
                            t2[k] = x2[k] - x1[k]


@compiled
def conv_tiles_gradient(tiles: Array, dx: Array) -> None:
    """The adjoint of :func:`conv_tiles`; dx is overwritten."""
    n, size, _, channels = dx.shape
    t, pair, step, width = (size - 2) // 4, 2 * channels, 4 * channels, size * channels
    flat, given = dx.reshape(-1), tiles.reshape(-1)
    half = np.empty(3 * width, np.float32)
    flat[:] = 0
    for i in range(n):
        for a in range(t):
            for p in range(2):
                half[:] = 0
                for b in range(t):
                    row = (i * t + a) * t + b
                    for u in range(3):
                        left = half[u * width + b * step :]
                        t0 = given[(9 * row + 3 * u) * step + p * pair :]
                        _points_gradient(t0, step, left, left[pair:], left[2 * pair :], pair)
                above = flat[(i * size + 4 * a + p) * width :]
                _points_gradient(half, width, above, above[2 * width :], above[4 * width :], width)


@compiled
def conv_outputs(products: Array, bias: Array, y: Array) -> None:
    """F(2,2) products (n·t·t, 9, O) to y = max(· + bias, 0), (n, 2·t, 2·t, O)."""
    n, height, _, channels = y.shape
    t = height // 2
    zero = np.float32(0)
    row = 0
    for i in range(n):
        for a in range(t):
            for b in range(t):
                for c in range(channels):
                    m1, m4, m7 = products[row, 1, c], products[row, 4, c], products[row, 7, c]
                    u0, u1 = products[row, 0, c] + m1, m1 + products[row, 2, c]
                    v0, v1 = products[row, 3, c] + m4 + bias[c], m4 + products[row, 5, c] + bias[c]
                    w0, w1 = products[row, 6, c] + m7, m7 + products[row, 8, c]
                    y[i, 2 * a, 2 * b, c] = max(u0 + v0, zero)
                    y[i, 2 * a, 2 * b + 1, c] = max(u1 + v1, zero)
                    y[i, 2 * a + 1, 2 * b, c] = max(v0 + w0, zero)
                    y[i, 2 * a + 1, 2 * b + 1, c] = max(v1 + w1, zero)
                row += 1


@compiled
def conv_outputs_gradient(dy: Array, products: Array) -> None:
    """The adjoint of :func:`conv_outputs` without its bias, dy being masked by the ReLU already."""
    n, height, _, channels = dy.shape
    t = height // 2
    row = 0
    for i in range(n):
        for a in range(t):
            for b in range(t):
                r, s = 2 * a, 2 * b
                for c in range(channels):
                    d00, d01 = dy[i, r, s, c], dy[i, r, s + 1, c]
                    d10, d11 = dy[i, r + 1, s, c], dy[i, r + 1, s + 1, c]
                    above, below = d00 + d01, d10 + d11
                    products[row, 0, c], products[row, 1, c], products[row, 2, c] = d00, above, d01
                    products[row, 3, c], products[row, 5, c] = d00 + d10, d01 + d11
                    products[row, 4, c] = above + below
                    products[row, 6, c], products[row, 7, c], products[row, 8, c] = d10, below, d11
                row += 1
