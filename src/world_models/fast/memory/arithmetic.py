"""What several kernels compute: exponentials, and bfloat16, a type that numba does not have.

A bfloat16 is the upper half of a float32; arrays of it come as their bits, uint16.
"""

from typing import Any

import numpy as np

from world_models.fast.memory.compiling import Array, Bits, compiled, f4, inline, u4


@inline
def widen(bits: Any) -> Any:
    """A bfloat16, given by its bits, as a float32."""
    return u4(u4(bits) << u4(16)).view(np.float32)


@inline
def narrow(x: Any) -> Any:
    """Bits of the bfloat16 nearest to a float32, ties to even."""
    bits = np.float32(x).view(np.uint32)
    odd = u4(bits >> u4(16)) & u4(1)  # every operand is cast: numba would widen to 64 bits
    return np.uint16(u4(u4(bits + u4(0x7FFF)) + u4(odd)) >> u4(16))


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
