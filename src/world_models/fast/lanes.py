"""Threads of our own, each of which runs its matrix products alone.

torch parts a product among threads and waits for all of them, which costs much where products are
small; and how it parts a sum follows from their number. The parts of a batch do not meet until
their gradients are added, so each lane goes a long way by itself, and as lanes are cut and added up
in the same way on any number of threads, so are the results.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


class Lanes:
    """Runs a function for each lane, on threads of its own if there are any."""

    def __init__(self, pool: ThreadPoolExecutor | None = None) -> None:
        self._pool = pool

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Results of ``function`` for each item, in their order; nothing of it is recorded."""
        untracked = torch.no_grad()(function)  # autograd's mode is each thread's own
        return list(
            map(untracked, items) if self._pool is None else self._pool.map(untracked, items)
        )


@contextmanager
def open_lanes(threads: int) -> Iterator[Lanes]:
    """Lanes over ``threads`` threads; torch's number of threads is restored at the end."""
    before = torch.get_num_threads()
    try:
        if threads == 1:
            torch.set_num_threads(1)
            yield Lanes()
        else:
            with ThreadPoolExecutor(threads, "lane", torch.set_num_threads, (1,)) as pool:
                yield Lanes(pool)
    finally:
        torch.set_num_threads(before)
