"""Results that do not depend on how many threads torch has."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread in this block; its number of threads is restored at the end.

    torch splits the sums of a matrix product among its threads, so their number is in the last
    bits.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
