"""bfloat16, a type that Numba does not have: the upper half of a float32.

Kernels get arrays of it as their bits, uint16.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from world_models import compiling

Bits = NDArray[np.uint16]
u32 = np.uint32  # every operand is cast: Numba would widen to 64 bits


def bits(x: torch.Tensor) -> Bits:
    """The bits of a bfloat16 tensor, without a copy."""
    assert x.dtype == torch.bfloat16, x.dtype
    found: Bits = x.view(torch.uint16).numpy()
    return found


@compiling.inlined()
def widen(x: Any) -> Any:
    """The float32 of bfloat16's bits; exact."""
    return u32(u32(x) << u32(16)).view(np.float32)


@compiling.inlined()
def narrow(x: Any) -> Any:
    """The bits of a float32's nearest bfloat16, ties to even; a NaN stays one."""
    b = np.float32(x).view(np.uint32)
    return np.uint16(u32(u32(b + u32(0x7FFF)) + u32(u32(b >> u32(16)) & u32(1))) >> u32(16))
