"""What the engine does: pure units of work, each on some worker, results as they come.

A unit's result depends on the task and the unit alone, so that neither the number of workers nor
their kind of transport changes a bit. Workers return values; only the driver writes.
"""

import hashlib
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "NUMBA_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
    ),
    "1",
)
"""Every worker's environment: one core a worker, and sums in one order."""


@dataclass(frozen=True, eq=False)
class Task:
    """What is common to all units; keep one object for as long as it stays the same.

    Functions travel by module and name, so they stand at the top of an importable module, which
    a module that is run by ``python -m`` is not: there it is called ``__main__``.

    Attributes:
        setup: makes the state (loads models, starts simulators) from the payload, once a worker
            process; None if the payload itself is the state.
        payload: picklable, sent once a worker; with no shared disk, arrays and not paths.
        work: ``work(state, unit) -> result``, all picklable.
    """

    setup: Callable[[Any], Any] | None
    payload: Any
    work: Callable[[Any, Any], Any]

    @cached_property
    def content(self) -> bytes:
        """The task as bytes, made once."""
        assert self.work.__module__ != "__main__", "a worker cannot import __main__"
        return pickle.dumps((self.setup, self.payload, self.work), protocol=5)

    @cached_property
    def key(self) -> str:
        """Equal tasks have equal keys, and share a worker's state."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.work.__module__}.{self.work.__qualname__}"


class Engine(Protocol):
    """Spreads units over workers; see ``settings.open_engine``."""

    @property
    def workers(self) -> int:
        """Units that can be worked on at a time."""

    def run(self, task: Task, units: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Do all units; yield (index of the unit, result) in the order of completion.

        An exception in ``work`` is raised here, with a note that names the unit; a worker that
        dies costs its unit, which is done again.

        Raises:
            EngineError: a unit killed its workers, or hung, too often.
        """
