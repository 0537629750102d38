"""Workers of a Dask cluster, one unit at a time each; arrays travel, so no disk is shared."""

import queue
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from world_models.engine import states
from world_models.engine.api import Task
from world_models.engine.kind import differences, kind, threads_fault
from world_models.engine.spread import Death, spread
from world_models.errors import EngineError, UserError

START = "dask worker {address} --nthreads 1 --nworkers auto"
_CONNECT = 15.0  # seconds for the scheduler to answer
_FIRST = 60.0  # seconds for a first worker to come
_FETCH = 300.0  # seconds for a result that is ready to arrive
_LOOK = 0.5  # seconds between two looks at who is there


def inspect() -> tuple[Mapping[str, str], str | None]:
    """A worker's kind and what is wrong with its threads; runs there."""
    return kind(), threads_fault()


class ClusterEngine:
    """All fit workers of a Dask cluster, those that join later included.

    A worker of another kind than this process (versions, code, CPU) is refused with a warning.

    Args:
        address: of the scheduler, such as ``tcp://10.0.0.1:8786``.
        timeout: seconds after which a unit counts as hanging.

    Raises:
        UserError: Dask is not installed, no scheduler answers, or there is no fit worker.
    """

    def __init__(self, address: str, timeout: float) -> None:
        self._address, self._timeout = address, timeout
        self._client = _connect(address)
        self._idle: list[str] = []
        self._busy: dict[str, Any] = {}  # worker → future of its unit
        self._refused: dict[str, str] = {}  # worker → why
        self._task: dict[str, str] = {}  # worker → key of the task that it was sent last
        self._events: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._looked = 0.0
        try:
            self._await_first()
        except BaseException:
            self._client.close()
            raise

    def __enter__(self) -> "ClusterEngine":
        return self

    def __exit__(self, *_: object) -> None:
        for future in self._busy.values():
            future.cancel()
        self._client.close()

    @property
    def workers(self) -> int:
        """Units that can be worked on at a time, at this moment."""
        return len(self._idle) + len(self._busy)

    def run(self, task: Task, units: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """See :meth:`api.Engine.run`."""
        return spread(self, task, units, self._timeout)

    def idle(self, wanted: int) -> list[str]:
        """Workers ready for a unit, at most ``wanted``."""
        self._look()
        return self._idle[:wanted]

    def send(self, worker: str, task: Task, unit: bytes) -> None:
        """Begin a unit; a task's content goes along when it is another one than before."""
        content = None if self._task.get(worker) == task.key else task.content
        self._task[worker] = task.key
        self._idle.remove(worker)
        # Bound to one worker, so that each loss and each delay is seen and counted here.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph")  # but once a worker
            future = self._client.submit(
                states.perform, task.key, content, unit, workers=[worker], pure=False, retries=0
            )
        self._busy[worker] = future
        future.add_done_callback(lambda _: self._events.put((worker, future)))

    def wait(self, seconds: float) -> list[tuple[str, bytes | Death]]:
        """Answers and deaths of workers at work."""
        answers: list[tuple[str, bytes | Death]] = []
        for worker, future in self._ended(seconds):
            if self._busy.get(worker) is future:  # and was not given up
                answer = _fetch(future)
                answers.append((worker, answer))
                self._release(worker, fit=not isinstance(answer, Death))
        for worker in self._look():
            answers.append((worker, Death("it left the cluster")))
            self._release(worker, fit=False)
        return answers

    def discard(self, worker: str, *, hung: bool) -> None:
        """Give a unit up. A worker with a nanny is killed; another one is not used again."""
        self._release(worker, fit=not hung)
        if hung:
            self._refused[worker] = "it hung"
            with suppress(Exception):  # no nanny, or gone
                # It goes on by itself after the time-out; nothing here has to wait for it.
                self._client.restart_workers([worker], timeout=1, raise_for_error=False)

    def _ended(self, seconds: float) -> list[tuple[str, Any]]:
        ended = []
        with suppress(queue.Empty):
            ended.append(self._events.get(timeout=seconds))
            while True:
                ended.append(self._events.get_nowait())
        return ended

    def _release(self, worker: str, *, fit: bool) -> None:
        self._busy.pop(worker).cancel()
        if fit:
            self._idle.append(worker)
        else:
            self._task.pop(worker, None)

    def _look(self, *, at_once: bool = False) -> list[str]:
        """Take up workers that came, drop those that left; give the busy ones among these."""
        if time.monotonic() - self._looked < _LOOK and not at_once:
            return []
        here = self._client.nthreads()
        self._looked = time.monotonic()
        known = {*self._idle, *self._busy, *self._refused}
        self._idle = [worker for worker in self._idle if worker in here]
        new = {worker: threads for worker, threads in here.items() if worker not in known}
        if new:
            self._examine(new)
        return [worker for worker in self._busy if worker not in here]

    def _examine(self, new: dict[str, int]) -> None:
        reports = self._client.run(inspect, workers=list(new), on_error="return")
        for worker, report in reports.items():
            fault = _fault(report, new[worker])
            if fault is None:
                self._idle.append(worker)
            else:
                self._refused[worker] = fault
                print(f"warning: worker {worker} is refused: {fault}", file=sys.stderr)  # noqa: T201

    def _await_first(self) -> None:
        deadline = time.monotonic() + _FIRST
        while not self._idle:
            self._look(at_once=True)
            if self._refused and not self._idle:
                lines = [f"  {worker}: {fault}" for worker, fault in self._refused.items()]
                raise EngineError(
                    f"No worker of {self._address} is fit; results would differ in the last bit. "
                    "Give the workers this machine's versions and type of CPU:\n" + "\n".join(lines)
                )
            if time.monotonic() > deadline:
                raise EngineError(
                    f"{self._address} has no workers. Start some with "
                    f"`{START.format(address=self._address)}`."
                )
            if not self._idle:
                time.sleep(_LOOK)


def _connect(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise UserError(
            f"WORLD_MODELS_SCHEDULER = {address!r} wants Dask, which is not installed: "
            '`pip install "world-models[cluster]"`, or unset it to work on this machine.'
        ) from None
    try:
        connect: Any = Client
        return connect(address, timeout=_CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UserError(
            f"WORLD_MODELS_SCHEDULER = {address!r}: no Dask scheduler answers there ({error}). "
            "Start one with `dask scheduler`, or unset it to work on this machine."
        ) from error


def _fault(report: Any, threads: int) -> str | None:
    """Why a worker is not fit, or None."""
    if isinstance(report, BaseException):
        return f"{type(report).__name__}: {report}"
    there, fault = report
    if threads != 1:
        fault = f"it has {threads} threads; start it with --nthreads 1"
    return "; ".join(differences(kind(), there)) or fault


def _fetch(future: Any) -> bytes | Death:
    try:
        answer: bytes = future.result(timeout=_FETCH)
    except Exception as error:  # the worker went; what Dask raises then varies
        return Death(f"{type(error).__name__}: {error}")
    return answer or Death("it was started anew")
