"""Threads of our own, each of which runs its matrix products alone.

torch spreads each product over all threads and waits for the last of them. That costs much where
products are small, and the last bits of a sum follow from the number of threads. Here a batch is
cut into a fixed number of lanes. A lane runs through many layers on one thread, and lanes meet only
where their gradients are added, in a fixed order: so results are equal on any number of threads.
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
