"""Workers on this machine: fresh interpreters, one thread each, fed through a socket."""

import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from world_models.engine.api import ONE_THREAD, Task
from world_models.engine.cores import PINNING
from world_models.engine.spread import Death, spread
from world_models.engine.states import SIMULATOR_DIED
from world_models.engine.worker import main as live

_BOOT = """
import sys
sys.path[:] = {path!r}
from {module} import {function}
{function}({descriptor})
"""
_PATIENCE = 1.0  # seconds that a worker has to stop when asked, or to say where it hangs


class Worker:
    """One process and our end of its socket."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            # Named by the function itself, so that it is an import: a stage's deps hold it.
            boot = _BOOT.format(
                path=sys.path,
                module=live.__module__,
                function=live.__name__,
                descriptor=theirs.fileno(),
            )
            # Not multiprocessing: that would run the caller's __main__ again, and the
            # thread settings have to be there before the first import.
            self._process = subprocess.Popen(
                [sys.executable, "-c", boot],
                stdin=subprocess.DEVNULL,
                env=_environment(),
                pass_fds=(theirs.fileno(),),
                process_group=0,
            )
        self.pid = self._process.pid
        self.connection = Connection(ours.detach())
        self._task: str | None = None

    def send(self, task: Task, unit: bytes) -> None:
        """Begin a unit; a task's content goes along when it is another one than before."""
        content = None if self._task == task.key else task.content
        self._task = task.key
        with suppress(OSError):  # it died: the next receive() says so
            self.connection.send_bytes(pickle.dumps((task.key, content, unit), protocol=5))

    def receive(self) -> bytes | Death:
        """Its answer, or how it died."""
        try:
            return self.connection.recv_bytes()
        except (EOFError, OSError):
            return Death(_reason(self.end()))  # it is dying: then the exit code says why

    def ask_where(self) -> None:
        """Make it print its stack to standard error."""
        self._process.send_signal(signal.SIGUSR1)
        time.sleep(_PATIENCE / 4)

    def ask_to_stop(self) -> None:
        """Let it end by itself when it has nothing to do."""
        with suppress(OSError):  # dead already
            self.connection.send_bytes(b"")

    def end(self, patience: float = _PATIENCE) -> int:
        """Wait for it to end by itself, then kill what is left of it and its children.

        Returns:
            Its exit code.
        """
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(patience)
        with suppress(ProcessLookupError, PermissionError):  # all gone
            os.killpg(self.pid, signal.SIGKILL)
        self.connection.close()
        return self._process.wait()


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in PINNING}
    return kept | ONE_THREAD


def _reason(code: int) -> str:
    if code == SIMULATOR_DIED:
        return "its simulator died"
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    return f"{name}, as when memory runs out" if name == "SIGKILL" else name


class ProcessEngine:
    """Up to ``workers`` processes, started when first needed and kept until closed.

    Args:
        workers: processes at most.
        timeout: seconds after which a unit counts as hanging.
    """

    def __init__(self, workers: int, timeout: float) -> None:
        assert workers > 0, workers
        self.workers = workers
        self._timeout = timeout
        self._idle: list[Worker] = []
        self._busy: dict[Connection, Worker] = {}

    def __enter__(self) -> "ProcessEngine":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """End the workers: the idle ones in order unless there is an error, the others by force."""
        if kind is None:
            for worker in self._idle:
                worker.ask_to_stop()
            for worker in self._idle:
                worker.end()
            self._idle.clear()
        for worker in [*self._idle, *self._busy.values()]:
            worker.end(patience=0)

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that have been started and not ended."""
        return [worker.pid for worker in [*self._idle, *self._busy.values()]]

    def run(self, task: Task, units: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """See :meth:`api.Engine.run`."""
        return spread(self, task, units, self._timeout)

    def idle(self, wanted: int) -> list[Worker]:
        """Workers ready for a unit, at most ``wanted``; missing ones are started."""
        free = self.workers - len(self._busy)
        while len(self._idle) < min(wanted, free):
            self._idle.append(Worker())
        return self._idle[:wanted]

    def send(self, worker: Worker, task: Task, unit: bytes) -> None:
        """Begin a unit."""
        self._idle.remove(worker)
        self._busy[worker.connection] = worker
        worker.send(task, unit)

    def wait(self, seconds: float) -> list[tuple[Worker, bytes | Death]]:
        """Answers and deaths of workers at work."""
        answers = []
        for connection in wait(list(self._busy), seconds):
            assert isinstance(connection, Connection)
            worker = self._busy.pop(connection)
            answer = worker.receive()
            answers.append((worker, answer))
            if not isinstance(answer, Death):
                self._idle.append(worker)
        return answers

    def discard(self, worker: Worker, *, hung: bool) -> None:
        """Kill a worker that is at work; one that hung prints its stack before."""
        if hung:
            worker.ask_where()
        del self._busy[worker.connection]
        worker.end(patience=0)
