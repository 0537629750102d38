"""Winograd F(2,2) for the convolutions of kernel 4 and stride 2, compiled.

Such a convolution is a sum over four pixel phases of stride-1 convolutions of kernel 2, and two
neighbouring outputs of

    y0 = x0·g0 + x1·g1,   y1 = x1·g0 + x2·g1

take three products instead of four: (x0−x1)·g0, x1·(g0+g1), (x2−x1)·g1; 9 instead of 16 in the
plane (Lavin & Gray 2015). See :mod:`world_models.fast.vision.kernels` for layouts.
"""

import numpy as np

from world_models.fast.vision.kernels import Array, Index, at, compiled, inlined


@compiled
def conv_weights(w: Array, operand: Array) -> None:
    """Weights (4, 4, C, O) to the F(2,2) operand (9, 4·C, O): g0, g0+g1, g1 along each axis."""
    channels, outputs = w.shape[2], w.shape[3]
    for p in range(2):
        for q in range(2):
            for c in range(channels):
                k = (2 * p + q) * channels + c
                for o in range(outputs):
                    g00, g01 = w[p, q, c, o], w[p, 2 + q, c, o]
                    g10, g11 = w[2 + p, q, c, o], w[2 + p, 2 + q, c, o]
                    operand[0, k, o], operand[1, k, o], operand[2, k, o] = g00, g00 + g01, g01
                    operand[3, k, o] = g00 + g10
                    operand[4, k, o] = (g00 + g01) + (g10 + g11)
                    operand[5, k, o] = g01 + g11
                    operand[6, k, o], operand[7, k, o], operand[8, k, o] = g10, g10 + g11, g11


@compiled
def conv_weights_gradient(operand: Array, w: Array) -> None:
    """The adjoint of :func:`conv_weights`."""
    channels, outputs = w.shape[2], w.shape[3]
    for p in range(2):
        for q in range(2):
            for c in range(channels):
                k = (2 * p + q) * channels + c
                for o in range(outputs):
                    middle = operand[4, k, o]
                    above, below = operand[1, k, o] + middle, operand[7, k, o] + middle
                    left, right = operand[3, k, o], operand[5, k, o]
                    w[p, q, c, o] = operand[0, k, o] + above + left
                    w[p, 2 + q, c, o] = operand[2, k, o] + above + right
                    w[2 + p, q, c, o] = operand[6, k, o] + below + left
                    w[2 + p, 2 + q, c, o] = operand[8, k, o] + below + right


@inlined
def _points(
    x: Array, start: Index, step: Index, out: Array, o: Index, gap: Index, count: Index
) -> None:
    """From runs x0, x1, x2 at distance ``step``: x0 − x1, x1, x2 − x1, at distance ``gap``.

    A loop for each result: LLVM gives up vectorising where many pairs of arrays might overlap.
    """
    middle, last = start + step, start + step + step
    for k in range(count):
        out[o + k] = x[start + k] - x[middle + k]
    o += gap
    for k in range(count):
        out[o + k] = x[middle + k]
    o += gap
    for k in range(count):
        out[o + k] = x[last + k] - x[middle + k]


@inlined
def _points_gradient(
    t: Array, o: Index, gap: Index, x: Array, start: Index, step: Index, n: Index
) -> None:
    """The adjoint of :func:`_points`: added to x0, written to x1 and x2, which come first here."""
    middle, last = start + step, start + step + step
    q, r = o + gap, o + gap + gap
    for k in range(n):
        x[start + k] += t[o + k]
    for k in range(n):
        x[middle + k] = t[q + k] - t[o + k] - t[r + k]
    for k in range(n):
        x[last + k] = t[r + k]


@compiled
def conv_tiles(x: Array, tiles: Array) -> None:
    """Images (n, H, H, C) to F(2,2) tiles (n·t·t, 9, 4·C), t = (H − 2) // 4.

    Whole lines are transformed first: two neighbouring pixels, one of either phase, stay together.
    """
    n, size, _, channels = x.shape
    t, width = (size - 2) // 4, at(size * channels)
    pair, step = at(2 * channels), at(4 * channels)
    flat, out = x.reshape(-1), tiles.reshape(-1)
    half = np.empty(3 * size * channels, np.float32)
    for i in range(n):
        for a in range(t):
            for p in range(2):
                start = at(i * size + 4 * a + p) * width
                _points(flat, start, at(2) * width, half, at(0), width, width)
                for b in range(t):
                    row = at((i * t + a) * t + b) * at(9) * step + at(p) * pair
                    for u in range(3):
                        left, o = at(u) * width + at(b) * step, row + at(3 * u) * step
                        _points(half, left, pair, out, o, step, pair)


@compiled
def conv_tiles_gradient(tiles: Array, dx: Array) -> None:
    """The adjoint of :func:`conv_tiles`; dx is overwritten."""
    n, size, _, channels = dx.shape
    t, width = (size - 2) // 4, at(size * channels)
    pair, step = at(2 * channels), at(4 * channels)
    flat, given = dx.reshape(-1), tiles.reshape(-1)
    half = np.empty(3 * size * channels, np.float32)
    flat[:] = 0
    for i in range(n):
        for a in range(t):
            for p in range(2):
                half[:] = 0
                for b in range(t):
                    row = at((i * t + a) * t + b) * at(9) * step + at(p) * pair
                    for u in range(3):
                        left, o = at(u) * width + at(b) * step, row + at(3 * u) * step
                        _points_gradient(given, o, step, half, left, pair, pair)
                start = at(i * size + 4 * a + p) * width
                _points_gradient(half, at(0), width, flat, start, at(2) * width, width)


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
