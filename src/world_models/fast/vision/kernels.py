"""The data movement of V's formulation in float32, compiled: what is around each GEMM.

Layouts: images NHWC, float32, C-contiguous; ``columns`` and Winograd operands have one row for
each output position or tile. Every kernel works on the images that it is given, on one thread,
without the GIL, and is deterministic. Weights come in channels-last order (torch's memory format
for 4-d weights), so that the innermost loop always runs over contiguous channels.

Inner loops run over flat arrays with unsigned indices and write to one run of memory each. An index
that may be negative costs a test for each number, and LLVM gives up vectorising where many pairs of
runs might overlap: folding is eight times as fast this way.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from world_models import compiling

Array = NDArray[np.float32]
F = TypeVar("F", bound=Callable[..., Any])
Index = Any  # numpy's stubs have no operations between np.uintp's that stay np.uintp
at = np.uintp
"""Type of an index into a flat array."""


def compiled(function: F) -> F:
    """Compile at the first call, cached on disk; inf and NaN keep their meaning."""
    options = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}}
    return cast("F", compiling.compiled(**options)(function))


def inlined(function: F) -> F:
    """Compile as part of each caller: a call costs as much as a run of 64 numbers."""
    return cast("F", compiling.inlined()(function))


@compiled
def pixels_to_columns(frames: NDArray[np.uint8], columns: Array) -> None:
    """Frames uint8 (n, 64, 64, 3) to columns (n·31·31, 48), 0–255: kernel 4, stride 2.

    A run of 12 numbers is six words of 64 bits. All are read before one is written: the compiler
    does not know that image and columns are apart, and would copy number by number.
    """
    pixels, out = frames.reshape(-1), columns.reshape(-1).view(np.uint64)
    size, width = at(64 * 64 * 3), at(64 * 3 // 2)
    image = np.empty(64 * 64 * 3, np.float32)
    words = image.view(np.uint64)
    for i in range(frames.shape[0]):
        for j in range(size):
            image[j] = np.float32(np.int32(pixels[at(i) * size + j]))
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
def bias_relu(bias: Array, y: Array) -> None:
    """Replace y (rows, C) by max(y + bias, 0)."""
    zero = np.float32(0)
    for row in range(y.shape[0]):
        for c in range(y.shape[1]):
            y[row, c] = max(y[row, c] + bias[c], zero)


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
def fold(columns: Array, bias: Array, k: int, y: Array) -> None:
    """Columns (n·h·h, k·k·C) to y = max(transposed convolution + bias, 0), (n, 2·h+k-2, …, C).

    Each line of the image is summed by itself, in the first-level cache.
    """
    n, size, _, channels = y.shape
    h, width, zero = (size - k) // 2 + 1, at(size * channels), np.float32(0)
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
                            line[start + j] += flat[row + j]
            row = at(i * size + r) * width
            for j in range(width):
                out[row + j] = max(line[j], zero)


@compiled
def unfold(dy: Array, k: int, columns: Array) -> None:
    """The adjoint of :func:`fold` without its bias, dy being masked by the ReLU already."""
    n, size, _, channels = dy.shape
    h, run, flat, out = (size - k) // 2 + 1, at(k * channels), dy.reshape(-1), columns.reshape(-1)
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
def fold_planes(columns: Array, bias: Array, y: Array) -> None:
    """Columns (6·6·3, n·30·30) to y = transposed convolution + bias, (n, 64, 64, 3).

    Three channels make short runs, so each of the 12 planes (phase, channel) is summed by itself.
    """
    n, flat, out = at(y.shape[0]), columns.reshape(-1), y.reshape(-1)
    run, wide = at(30), at(32)
    plane = np.empty(32 * 32, np.float32)
    for i in range(y.shape[0]):
        for k in range(12):
            p, q, c = k // 6, k // 3 % 2, k % 3
            plane[:] = bias[c]
            for tap in range(9):
                u, v = tap // 3, tap % 3
                column = at(18 * (2 * u + p) + 3 * (2 * v + q) + c) * n + at(i)
                for a in range(30):
                    row, start = (column * run + at(a)) * run, at(a + u) * wide + at(v)
                    for j in range(run):
                        plane[start + j] += flat[row + j]
            for r in range(32):
                row = at(((i * 64 + 2 * r + p) * 64 + q) * 3 + c)
                for s in range(wide):
                    out[row + at(6) * s] = plane[at(r) * wide + s]


@compiled
def unfold_planes(dy: Array, columns: Array) -> None:
    """The adjoint of :func:`fold_planes` without its bias."""
    n, flat, out = at(dy.shape[0]), dy.reshape(-1), columns.reshape(-1)
    run, wide = at(30), at(32)
    plane = np.empty(32 * 32, np.float32)
    for i in range(dy.shape[0]):
        for k in range(12):
            p, q, c = k // 6, k // 3 % 2, k % 3
            for r in range(32):
                row = at(((i * 64 + 2 * r + p) * 64 + q) * 3 + c)
                for s in range(wide):
                    plane[at(r) * wide + s] = flat[row + at(6) * s]
            for tap in range(9):
                u, v = tap // 3, tap % 3
                column = at(18 * (2 * u + p) + 3 * (2 * v + q) + c) * n + at(i)
                for a in range(30):
                    row, start = (column * run + at(a)) * run, at(a + u) * wide + at(v)
                    for j in range(run):
                        out[row + j] = plane[start + j]
