"""The data movement of V's columns in bfloat16, compiled: what stands before and after each GEMM.

Arrays of bfloat16 come as their bits (:mod:`world_models.fast.bfloat16`). Sums are in float32 and
are rounded once, to the nearest, ties to even. Images are NHWC, columns have one row for each
position of the kernel, (row of the kernel, column, channel) along it; all are C-contiguous. Every
kernel works on the images that it is given, on one thread, without the GIL.

Inner loops are written as :mod:`world_models.fast.vision.kernels` explains.
"""

import numpy as np
from numpy.typing import NDArray

from world_models.fast.bfloat16 import Bits, narrow, u32, widen
from world_models.fast.vision.kernels import Array, at, compiled


@compiled
def pixels_to_columns(frames: NDArray[np.uint8], columns: Bits) -> None:
    """Frames uint8 (n, 64, 64, 3) to columns (n·31·31, 48), 0–255: kernel 4, stride 2; exact.

    A run of 12 numbers is 6 words. All are read before one is written: the compiler does not know
    that image and columns are apart, and would copy one by one, at more than three times the cost.
    """
    pixels, out = frames.reshape(-1), columns.reshape(-1).view(np.uint32)
    size, width = at(64 * 64 * 3), at(64 * 3 // 2)
    image = np.empty(64 * 64 * 3, np.uint16)
    words = image.view(np.uint32)
    for i in range(frames.shape[0]):
        for j in range(size):
            value = np.float32(np.int32(pixels[at(i) * size + j]))
            image[j] = np.uint16(value.view(np.uint32) >> u32(16))
        for a in range(31):
            for b in range(31):
                row = at((i * 31 + a) * 31 + b) * at(24)
                for v in range(4):
                    s, o = at(2 * a + v) * width + at(3 * b), row + at(6 * v)
                    p, q, r = words[s], words[s + at(1)], words[s + at(2)]
                    x, y, z = words[s + at(3)], words[s + at(4)], words[s + at(5)]
                    out[o], out[o + at(1)], out[o + at(2)] = p, q, r
                    out[o + at(3)], out[o + at(4)], out[o + at(5)] = x, y, z


@compiled
def unfold(x: Bits, k: int, columns: Bits) -> None:
    """Images (n, H, H, C) to columns (n·h·h, k·k·C), h = (H − k) // 2 + 1: kernel k, stride 2."""
    n, size, _, channels = x.shape
    h, run, flat, out = (size - k) // 2 + 1, at(k * channels), x.reshape(-1), columns.reshape(-1)
    for i in range(n):
        for a in range(h):
            for v in range(k):
                line = at((i * size + 2 * a + v) * size * channels)
                for b in range(h):
                    start = line + at(2 * b * channels)
                    row = at(((i * h + a) * h + b) * k + v) * run
                    for j in range(run):
                        out[row + j] = flat[start + j]


@compiled
def fold(columns: Bits, bias: Array, k: int, floor: np.float32, y: Bits) -> None:
    """The adjoint of :func:`unfold`, with a bias and an activation: y = max(Σ + bias, floor).

    Each line of the image is summed by itself, in the first-level cache.
    """
    n, size, _, channels = y.shape
    h, width = (size - k) // 2 + 1, at(size * channels)
    run, step, two = at(k * channels), at(k * k * channels), at(2 * channels)
    flat, out = columns.reshape(-1), y.reshape(-1)
    line = np.empty(size * channels, np.float32)
    for i in range(n):
        for r in range(size):
            for s in range(size):
                for c in range(channels):
                    line[at(s * channels + c)] = bias[c]
            for v in range(r % 2, k, 2):
                a = (r - v) // 2
                if 0 <= a < h:
                    first = at(((i * h + a) * h * k + v) * k * channels)
                    for b in range(h):
                        row, start = first + at(b) * step, at(b) * two
                        for j in range(run):
                            line[start + j] += widen(flat[row + j])
            row = at(i * size + r) * width
            for j in range(width):
                out[row + j] = narrow(max(line[j], floor))


@compiled
def bias_relu(bias: Array, y: Bits) -> None:
    """Replace y (rows, C) by max(y + bias, 0), 512 numbers at a time: short runs cost twice."""
    rows, channels = y.shape
    flat, zero, repeat = y.reshape(-1), np.float32(0), max(1, 512 // channels)
    tiled = np.empty(repeat * channels, np.float32)
    for k in range(repeat):
        for c in range(channels):
            tiled[at(k * channels + c)] = bias[at(c)]
    span, total = repeat * channels, rows * channels
    for start in range(0, total, span):
        first = at(start)
        for k in range(at(min(span, total - start))):
            flat[first + k] = narrow(max(widen(flat[first + k]) + tiled[k], zero))


@compiled
def relu_gradient(y: Bits, dy: Bits, masked: Bits, dbias: Array) -> None:
    """Set masked to dy where y > 0, else 0, all (rows, C); add its sum over rows to dbias (C,)."""
    rows, channels = y.shape
    flat, given, out, width = y.reshape(-1), dy.reshape(-1), masked.reshape(-1), at(channels)
    zero = np.uint16(0)
    for row in range(rows):
        start = at(row) * width
        for c in range(width):
            d = given[start + c] if flat[start + c] != zero else zero
            out[start + c] = d
            dbias[c] += widen(d)


@compiled
def accumulate(part: Bits, total: Array) -> None:
    """Add part to total, both (N,)."""
    for j in range(at(total.shape[0])):
        total[j] += widen(part[j])


@compiled
def pad(x: Bits, padded: Bits) -> None:
    """Images (n, 30, 30, 32) with two columns of zeros at the right, (n, 30, 32, 32)."""
    source, out, run, width = x.reshape(-1), padded.reshape(-1), at(960), at(1024)
    for line in range(x.shape[0] * 30):
        for j in range(run):
            out[at(line) * width + j] = source[at(line) * run + j]
        for j in range(run, width):
            out[at(line) * width + j] = np.uint16(0)


@compiled
def unpad(padded: Bits, x: Bits) -> None:
    """The adjoint of :func:`pad`."""
    source, out, run, width = padded.reshape(-1), x.reshape(-1), at(960), at(1024)
    for line in range(x.shape[0] * 30):
        for j in range(run):
            out[at(line) * run + j] = source[at(line) * width + j]


@compiled
def fold_planes(columns: Bits, bias: Array, y: Array) -> None:
    """Columns (6·6·3, n·30·32) to y = transposed convolution + bias, float32 (n, 64, 64, 3).

    Three channels make short runs, so each of the 12 planes (phase, channel) is summed by itself.
    The images that the columns come from are padded to the planes' width (:func:`pad`): so a tap
    is one long run over all lines, and what it adds beyond their ends is zero.
    """
    n, flat, out = y.shape[0], columns.reshape(-1), y.reshape(-1)
    run, wide = at(960), at(32)
    plane = np.empty(32 * 32 + 2, np.float32)
    for i in range(n):
        for k in range(12):
            p, q, c = k // 6, k // 3 % 2, k % 3
            plane[:] = bias[c]
            for tap in range(9):
                v, w = tap // 3, tap % 3
                column = at(18 * (2 * v + p) + 3 * (2 * w + q) + c) * at(n)
                row, start = (column + at(i)) * run, at(32 * v + w)
                for j in range(run):
                    plane[start + j] += widen(flat[row + j])
            for r in range(32):
                row = at(((i * 64 + 2 * r + p) * 64 + q) * 3 + c)
                for s in range(wide):
                    out[row + at(6) * s] = plane[at(r) * wide + s]


@compiled
def unfold_planes(dy: Array, columns: Bits) -> None:
    """The adjoint of :func:`fold_planes` without its bias, but for padded columns.

    The two columns of padding hold values of a neighbour. They do no harm: multiplied by the padded
    images they give zero, and :func:`unpad` drops the rest.
    """
    n, flat, out = dy.shape[0], dy.reshape(-1), columns.reshape(-1)
    run, wide = at(960), at(32)
    plane = np.zeros(32 * 32 + 2, np.uint16)
    for i in range(n):
        for k in range(12):
            p, q, c = k // 6, k // 3 % 2, k % 3
            for r in range(32):
                row = at(((i * 64 + 2 * r + p) * 64 + q) * 3 + c)
                for s in range(wide):
                    plane[at(r) * wide + s] = narrow(flat[row + at(6) * s])
            for tap in range(9):
                v, w = tap // 3, tap % 3
                column = at(18 * (2 * v + p) + 3 * (2 * w + q) + c) * at(n)
                row, start = (column + at(i)) * run, at(32 * v + w)
                for j in range(run):
                    out[row + j] = plane[start + j]
