"""How M's inner loops are compiled."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from world_models import compiling

F = TypeVar("F", bound=Callable[..., Any])
Array = NDArray[np.float32]
f4 = np.float32

# Without "reassoc": the order of additions is part of the result. Without "ninf" and "nnan" a
# broken input would pass unseen.
_FAST = {"contract", "nsz", "arcp"}


def inline(function: F) -> F:
    """Make a part of kernels."""
    return cast("F", compiling.inlined(fastmath=_FAST, error_model="numpy")(function))


def compiled(function: F) -> F:
    """Make a kernel. The lock on the GIL is released: lanes of a batch run in threads."""
    make = compiling.compiled(fastmath=_FAST, error_model="numpy", nogil=True)
    return cast("F", make(function))
