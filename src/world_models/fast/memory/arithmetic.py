"""What several kernels compute: exponentials, and rows to bfloat16 and back."""

from typing import Any

import numpy as np

from world_models.fast.bfloat16 import Bits, narrow, widen
from world_models.fast.memory.compiling import Array, compiled, f4, inline


@inline
def exp(x: Any) -> Any:
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


@compiled
def widen_row(bits: Bits, x: Array) -> None:
    """:func:`widen` for each number of ``bits``."""
    for j in range(x.shape[0]):
        x[j] = widen(bits[j])


@compiled
def narrow_row(x: Array, bits: Bits) -> None:
    """:func:`narrow` for each number of ``x``."""
    for j in range(x.shape[0]):
        bits[j] = narrow(x[j])
