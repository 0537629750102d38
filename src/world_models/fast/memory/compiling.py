"""How M's inner loops are compiled. A change here is not seen by numba's cache: clear it.

The cache lies in the ``__pycache__`` beside the kernels and looks at a kernel's own file only.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])
Array = NDArray[np.float32]
Bits = NDArray[np.uint16]
"""bfloat16, a type that numba does not have: the upper halves of float32 numbers."""
f4, u4 = np.float32, np.uint32

# Without "reassoc": the order of additions is part of the result. Without "ninf" and "nnan" a
# broken input would pass unseen.
_FAST = {"contract", "nsz", "arcp"}


def inline(function: F) -> F:
    """Make a part of kernels, of the same file."""
    return numba.njit(function, fastmath=_FAST, error_model="numpy", inline="always")  # type: ignore[no-any-return]


def compiled(function: F) -> F:
    """Make a kernel. The lock on the GIL is released: lanes of a batch run in threads."""
    return numba.njit(function, fastmath=_FAST, error_model="numpy", cache=True, nogil=True)  # type: ignore[no-any-return]
