"""The loop that gives units to workers, whatever they are: retries, time-outs, errors."""

import pickle
import sys
import time
from collections import Counter, deque
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from world_models.engine.api import Task
from world_models.engine.states import Done, Failed
from world_models.errors import EngineError, UserError

DEATHS, HANGS = 3, 2
"""A unit at which so many workers died, or that ran out of time so often, is given up."""
ALONE = 300.0
"""Seconds to go on without any worker: a cluster's manager may be replacing them."""
_TICK = 0.5  # seconds between two looks at the clock and at who is there

W = TypeVar("W", bound=Hashable)


@dataclass(frozen=True)
class Death:
    """A worker is gone."""

    reason: str


class Pool(Protocol[W]):
    """Workers that do one unit at a time."""

    def idle(self, wanted: int) -> Sequence[W]:
        """Workers ready for a unit, at most ``wanted``; more may be started for it."""

    def send(self, worker: W, task: Task, unit: bytes) -> None:
        """Begin a unit; if the worker is dead, :meth:`wait` says so."""

    def wait(self, seconds: float) -> list[tuple[W, bytes | Death]]:
        """Answers and deaths of workers at work; waits for the first one at most ``seconds``."""

    def discard(self, worker: W, *, hung: bool) -> None:
        """Kill a worker that is at work; one that hung may be asked before where it is."""


def spread(
    pool: Pool[W], task: Task, units: Sequence[Any], timeout: float
) -> Iterator[tuple[int, Any]]:
    """Do all units on the pool; yield (index, result) in the order of completion.

    Args:
        pool: the workers.
        task: what to do.
        units: what to do it on.
        timeout: seconds after which a unit (with its worker's set-up) counts as hanging.

    Raises:
        EngineError: a unit was given up, or there is no worker.
    """
    run = _Run(pool, task, units, timeout)
    try:
        while run.open:
            run.fill()
            done = run.collect()
            run.fill()  # before the caller takes its time over the results
            yield from done
    finally:
        run.abandon()


class _Run(Generic[W]):
    def __init__(self, pool: Pool[W], task: Task, units: Sequence[Any], timeout: float) -> None:
        self._pool, self._task, self._units, self._timeout = pool, task, units, timeout
        self._todo = deque(range(len(units)))
        self._running: dict[W, tuple[int, float]] = {}
        self._losses: Counter[tuple[int, int]] = Counter()  # of a unit, by DEATHS or HANGS
        self._alone = time.monotonic()

    @property
    def open(self) -> bool:
        return bool(self._todo or self._running)

    def fill(self) -> None:
        if not self._todo:
            return
        for worker in self._pool.idle(len(self._todo)):
            index = self._todo.popleft()
            self._running[worker] = index, time.monotonic()
            self._pool.send(worker, self._task, pickle.dumps(self._units[index], protocol=5))
        if self._running:
            self._alone = time.monotonic()
        elif time.monotonic() - self._alone > ALONE:
            raise EngineError(
                f"All workers are gone, and none came within {ALONE:g} s. Start some, then run "
                "the same command again."
            )

    def collect(self) -> list[tuple[int, Any]]:
        done = []
        for worker, answer in self._pool.wait(_TICK):
            index, _ = self._running.pop(worker)
            content = answer if isinstance(answer, Death) else pickle.loads(answer)
            if isinstance(content, Done):
                done.append((index, content.result))
            else:
                self._settle(index, content)
        self._give_up_overdue()
        return done

    def abandon(self) -> None:
        for worker in self._running:
            self._pool.discard(worker, hung=False)
        self._running.clear()

    def _settle(self, index: int, content: Failed | Death) -> None:
        if isinstance(content, Failed):
            if not isinstance(content.error, UserError):
                content.error.add_note(f"In {self._name(index)}, on a worker:\n{content.trace}")
            raise content.error
        self._redo(index, DEATHS, f"lost its worker ({content.reason})")

    def _give_up_overdue(self) -> None:
        now = time.monotonic()
        for worker, (index, since) in list(self._running.items()):
            if now - since > self._timeout:
                del self._running[worker]
                self._pool.discard(worker, hung=True)
                event = f"was not done within {self._timeout:g} s (WORLD_MODELS_TIMEOUT)"
                self._redo(index, HANGS, event)

    def _redo(self, index: int, limit: int, event: str) -> None:
        self._losses[index, limit] += 1
        if self._losses[index, limit] >= limit:
            raise EngineError(
                f"{self._name(index)} {event}, for the {limit}{_ORDINAL[limit]} time. What was "
                "finished before is kept: run the same command again to go on, with fewer "
                "workers (WORLD_MODELS_WORKERS) if memory is short."
            )
        self._todo.appendleft(index)
        print(f"warning: {self._name(index)} {event}; it is done again.", file=sys.stderr)  # noqa: T201

    def _name(self, index: int) -> str:
        return f"Unit {index} (of 0 to {len(self._units) - 1}) of {self._task.name}"


_ORDINAL = {HANGS: "nd", DEATHS: "rd"}
