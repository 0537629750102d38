"""The C library's memory, for loops that ask for the same large blocks again and again."""

import ctypes
from contextlib import suppress

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGE = 1 << 30


def keep_memory() -> None:
    """Let this process keep freed blocks of up to 1 GiB for its next use of them.

    A training step frees some 100 MB and asks for as much again. glibc gives blocks of that size
    back to the kernel, which clears every page anew: a fifth of V's step at a batch of 32. Without
    glibc nothing happens.
    """
    with suppress(OSError, AttributeError, TypeError):
        library = ctypes.CDLL(None)
        library.mallopt(_TRIM_THRESHOLD, _LARGE)
        library.mallopt(_MMAP_THRESHOLD, _LARGE)
