"""Winograd F(3,3) for the transposed convolution of kernel 6 and stride 2, compiled.

Output pixel 2k + p of phase p is Σ_j w[2j + p] · x[k − j], j = 0, 1, 2: four phases of kernel 3
over the same input, so that one transform of it serves all four. Each axis is transformed by

    Bᵀ = ⎡2 −1 −2  1 0⎤   G = ⎡ 1/2   0    0 ⎤   Aᵀ = ⎡1 1  1 1 0⎤
         ⎢0 −2 −1  1 0⎥       ⎢−1/2 −1/2 −1/2⎥        ⎢0 1 −1 2 0⎥
         ⎢0  2 −3  1 0⎥       ⎢−1/6  1/6 −1/6⎥        ⎣0 1  1 4 1⎦
         ⎢0 −1  0  1 0⎥       ⎢ 1/6  1/3  2/3⎥
         ⎣0  2 −1 −2 1⎦       ⎣  0    0    1 ⎦

25 products serve where 81 stood, at the points 0, 1, −1, 2, ∞ (Lavin & Gray 2015). See
:mod:`world_models.fast.vision.kernels` for layouts.
"""

import numpy as np

from world_models.fast.vision.kernels import Array, Index, at, compiled, inlined

Number = float | np.float32
Three = tuple[Number, Number, Number]
Five = tuple[Number, Number, Number, Number, Number]


@compiled
def _bt(x0: Number, x1: Number, x2: Number, x3: Number, x4: Number) -> Five:
    two, three = np.float32(2), np.float32(3)
    a, b = x3 - x1, x0 - x2
    return two * b + a, x3 - x2 - two * x1, two * x1 - three * x2 + x3, a, x4 - x2 - two * a


@compiled
def _bt_adjoint(t0: Number, t1: Number, t2: Number, t3: Number, t4: Number) -> Five:
    two, three = np.float32(2), np.float32(3)
    x1 = two * (t2 - t1 + t4) - t0 - t3
    x2 = -two * t0 - t1 - three * t2 - t4
    return two * t0, x1, x2, t0 + t1 + t2 + t3 - two * t4, t4


@inlined
def _at(m: Array, i: Index, step: Index, y: Array, o: Index, gap: Index, count: Index) -> None:
    # Five runs at distance ``step`` to three at distance ``gap``. A loop for each result: LLVM
    # gives up vectorising where many pairs of arrays might overlap.
    two, four = np.float32(2), np.float32(4)
    i1, i2 = i + step, i + step + step
    i3, i4 = i2 + step, i2 + step + step
    for k in range(count):
        y[o + k] = m[i + k] + (m[i1 + k] + m[i2 + k]) + m[i3 + k]
    o += gap
    for k in range(count):
        y[o + k] = m[i1 + k] - m[i2 + k] + two * m[i3 + k]
    o += gap
    for k in range(count):
        y[o + k] = (m[i1 + k] + m[i2 + k]) + four * m[i3 + k] + m[i4 + k]


@inlined
def _at_adjoint(
    y: Array, i: Index, step: Index, m: Array, o: Index, gap: Index, count: Index
) -> None:
    two, four = np.float32(2), np.float32(4)
    i1, i2 = i + step, i + step + step
    for k in range(count):
        m[o + k] = y[i + k]
    o += gap
    for k in range(count):
        m[o + k] = y[i + k] + y[i2 + k] + y[i1 + k]
    o += gap
    for k in range(count):
        m[o + k] = y[i + k] + y[i2 + k] - y[i1 + k]
    o += gap
    for k in range(count):
        m[o + k] = y[i + k] + two * y[i1 + k] + four * y[i2 + k]
    o += gap
    for k in range(count):
        m[o + k] = y[i2 + k]


@compiled
def _g(g0: Number, g1: Number, g2: Number) -> Five:
    half, sixth = np.float32(1 / 2), np.float32(1 / 6)
    even = g0 + g2
    far = sixth * (g0 + g1 + g1) + np.float32(2 / 3) * g2
    return half * g0, -half * (even + g1), sixth * (g1 - even), far, g2


@compiled
def _g_adjoint(u0: Number, u1: Number, u2: Number, u3: Number, u4: Number) -> Three:
    half, sixth, third = np.float32(1 / 2), np.float32(1 / 6), np.float32(1 / 3)
    g0 = half * (u0 - u1) + sixth * (u3 - u2)
    g1 = sixth * u2 - half * u1 + third * u3
    return g0, g1, u4 - half * u1 - sixth * u2 + third * (u3 + u3)


@compiled
def deconv_weights(w: Array, operand: Array) -> None:
    """Weights (C, 6, 6, O) to the operand (25, C, 4·O); tap j of a phase is w[2(2 − j) + p]."""
    inputs, outputs = w.shape[0], w.shape[3]
    half = np.empty((5, 3), np.float32)
    for i in range(inputs):
        for p in range(2):
            for q in range(2):
                for o in range(outputs):
                    for j in range(3):
                        s = 2 * (2 - j) + q
                        t = _g(w[i, 4 + p, s, o], w[i, 2 + p, s, o], w[i, p, s, o])
                        for u in range(5):
                            half[u, j] = t[u]
                    for u in range(5):
                        t = _g(half[u, 0], half[u, 1], half[u, 2])
                        for v in range(5):
                            operand[5 * u + v, i, (2 * p + q) * outputs + o] = t[v]


@compiled
def deconv_weights_gradient(operand: Array, w: Array) -> None:
    """The adjoint of :func:`deconv_weights`."""
    inputs, outputs = w.shape[0], w.shape[3]
    half = np.empty((5, 3), np.float32)
    for i in range(inputs):
        for p in range(2):
            for q in range(2):
                for o in range(outputs):
                    k = (2 * p + q) * outputs + o
                    for u in range(5):
                        g = _g_adjoint(
                            operand[5 * u, i, k],
                            operand[5 * u + 1, i, k],
                            operand[5 * u + 2, i, k],
                            operand[5 * u + 3, i, k],
                            operand[5 * u + 4, i, k],
                        )
                        half[u, 0], half[u, 1], half[u, 2] = g
                    for j in range(3):
                        s = 2 * (2 - j) + q
                        g = _g_adjoint(half[0, j], half[1, j], half[2, j], half[3, j], half[4, j])
                        w[i, 4 + p, s, o], w[i, 2 + p, s, o], w[i, p, s, o] = g


@compiled
def deconv_tiles(x: Array, tiles: Array) -> None:
    """Images (n, H, H, C) to tiles (n·t·t, 25, C), t = (H + 2) // 3; beyond the border is zero."""
    n, size, _, channels = x.shape
    t = (size + 2) // 3
    patch = np.empty((5, 5, channels), np.float32)
    half = np.empty((5, 5, channels), np.float32)
    row = 0
    for i in range(n):
        for a in range(t):
            for b in range(t):
                _read_patch(x[i], 3 * a - 2, 3 * b - 2, patch)
                for v in range(5):
                    for c in range(channels):
                        (
                            half[0, v, c],
                            half[1, v, c],
                            half[2, v, c],
                            half[3, v, c],
                            half[4, v, c],
                        ) = _bt(
                            patch[0, v, c],
                            patch[1, v, c],
                            patch[2, v, c],
                            patch[3, v, c],
                            patch[4, v, c],
                        )
                for u in range(5):
                    k = 5 * u
                    for c in range(channels):
                        (
                            tiles[row, k, c],
                            tiles[row, k + 1, c],
                            tiles[row, k + 2, c],
                            tiles[row, k + 3, c],
                            tiles[row, k + 4, c],
                        ) = _bt(
                            half[u, 0, c],
                            half[u, 1, c],
                            half[u, 2, c],
                            half[u, 3, c],
                            half[u, 4, c],
                        )
                row += 1


@compiled
def _read_patch(image: Array, top: int, left: int, patch: Array) -> None:
    size, _, channels = image.shape
    for u in range(5):
        for v in range(5):
            r, s = top + u, left + v
            if 0 <= r < size and 0 <= s < size:
                for c in range(channels):
                    patch[u, v, c] = image[r, s, c]
            else:
                patch[u, v, :] = 0


@compiled
def deconv_tiles_gradient(tiles: Array, dx: Array) -> None:
    """The adjoint of :func:`deconv_tiles`; dx is overwritten."""
    n, size, _, channels = dx.shape
    t = (size + 2) // 3
    patch = np.empty((5, 5, channels), np.float32)
    half = np.empty((5, 5, channels), np.float32)
    dx[:] = 0
    row = 0
    for i in range(n):
        for a in range(t):
            for b in range(t):
                for u in range(5):
                    k = 5 * u
                    for c in range(channels):
                        (
                            half[u, 0, c],
                            half[u, 1, c],
                            half[u, 2, c],
                            half[u, 3, c],
                            half[u, 4, c],
                        ) = _bt_adjoint(
                            tiles[row, k, c],
                            tiles[row, k + 1, c],
                            tiles[row, k + 2, c],
                            tiles[row, k + 3, c],
                            tiles[row, k + 4, c],
                        )
                for v in range(5):
                    for c in range(channels):
                        (
                            patch[0, v, c],
                            patch[1, v, c],
                            patch[2, v, c],
                            patch[3, v, c],
                            patch[4, v, c],
                        ) = _bt_adjoint(
                            half[0, v, c],
                            half[1, v, c],
                            half[2, v, c],
                            half[3, v, c],
                            half[4, v, c],
                        )
                _add_patch(patch, 3 * a - 2, 3 * b - 2, dx[i])
                row += 1


@compiled
def _add_patch(patch: Array, top: int, left: int, image: Array) -> None:
    size, _, channels = image.shape
    for u in range(5):
        for v in range(5):
            r, s = top + u, left + v
            if 0 <= r < size and 0 <= s < size:
                for c in range(channels):
                    image[r, s, c] += patch[u, v, c]


@compiled
def deconv_outputs(products: Array, bias: Array, y: Array) -> None:
    """Products (n·t·t, 25, 4·O) to y = max(· + bias, 0), (n, 6·t, 6·t, O).

    Two phases of a line are neighbours in products and in y: they are one run.
    """
    n, size, _, outputs = y.shape
    t, pair, columns, zero = size // 6, at(2 * outputs), at(4 * outputs), np.float32(0)
    five = at(5) * columns
    flat, out, half = products.reshape(-1), y.reshape(-1), np.empty(60 * outputs, np.float32)
    tiled = np.empty(6 * outputs, np.float32)
    for k in range(6 * outputs):
        tiled[k] = bias[k % outputs]
    for row in range(n * t * t):
        top, left = 6 * (row // t), 6 * (row % t)  # top counts on through all images
        _at(flat, at(5 * row) * five, five, half, at(0), five, five)
        for line in range(6):
            start = at(line // 2) * five + at(line % 2) * pair
            o = at(((top + line) * size + left) * outputs)
            _at(half, start, columns, out, o, pair, pair)
            for k in range(at(6 * outputs)):
                out[o + k] = max(out[o + k] + tiled[k], zero)


@compiled
def deconv_outputs_gradient(dy: Array, products: Array) -> None:
    """The adjoint of :func:`deconv_outputs` without its bias, dy being masked by the ReLU."""
    n, size, _, outputs = dy.shape
    t, pair, columns = size // 6, at(2 * outputs), at(4 * outputs)
    five = at(5) * columns
    flat, out, half = dy.reshape(-1), products.reshape(-1), np.empty(60 * outputs, np.float32)
    for row in range(n * t * t):
        top, left = 6 * (row // t), 6 * (row % t)
        for line in range(6):
            start = at(line // 2) * five + at(line % 2) * pair
            o = at(((top + line) * size + left) * outputs)
            _at_adjoint(flat, o, pair, half, start, columns, pair)
        _at_adjoint(half, at(0), five, out, at(5 * row) * five, five, five)
