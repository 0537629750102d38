"""Workers on this machine: fresh interpreters, one thread each, fed through a socket."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from world_models.engine import pickling
from world_models.engine.api import ONE_THREAD, Task
from world_models.engine.spread import Death, spread
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
                env=os.environ | ONE_THREAD,
                pass_fds=(theirs.fileno(),),
                process_group=0,
            )
        self.connection = Connection(ours.detach())
        self._task: str | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def send(self, task: Task, unit: bytes) -> None:
        """Begin a unit."""
        with suppress(OSError):  # it died: the next receive() says so
            if self._task != task.key:
                self._post("task", pickling.dumps((task.key, task.content)))
                self._task = task.key
            self._post("unit", pickling.dumps((task.key, unit)))

    def receive(self) -> bytes | Death:
        """Its answer, or how it died."""
        try:
            return self.connection.recv_bytes()
        except (EOFError, OSError):
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_PATIENCE)  # it is dying: then the exit code tells why
            return Death(_reason(self.kill()))

    def ask_where(self) -> None:
        """Make it print its stack to standard error."""
        self._process.send_signal(signal.SIGUSR1)
        time.sleep(_PATIENCE / 4)

    def ask_to_stop(self) -> None:
        """Let it end by itself when it has nothing to do."""
        with suppress(OSError):  # dead already
            self._post("stop", b"")

    def stop(self) -> None:
        """Wait for it to end as asked, then kill what is left of it."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE)
        self.kill()

    def kill(self) -> int:
        """Kill it and its children at once; its exit code."""
        with suppress(ProcessLookupError, PermissionError):  # all gone
            os.killpg(self.pid, signal.SIGKILL)
        code = self._process.wait()
        self.connection.close()
        return code

    def _post(self, kind: str, content: bytes) -> None:
        self.connection.send_bytes(kind.encode())
        self.connection.send_bytes(content)


def _reason(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    return f"{name}, as when memory runs out" if name == "SIGKILL" else name


class ProcessEngine:
    """Up to ``workers`` processes, started when first needed and kept until closed.

    Args:
        workers: processes at most.
        timeout: seconds after which a unit is held to hang.
    """

    def __init__(self, workers: int, timeout: float) -> None:
        assert workers > 0, workers
        self._workers, self._timeout = workers, timeout
        self._idle: list[Worker] = []
        self._busy: dict[Connection, Worker] = {}

    def __enter__(self) -> "ProcessEngine":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.kill()

    @property
    def workers(self) -> int:
        """Units that can be worked on at a time."""
        return self._workers

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that have been started and not stopped."""
        return [worker.pid for worker in self._crew()]

    def run(self, task: Task, units: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """See :meth:`api.Engine.run`."""
        return spread(self, task, units, self._timeout)

    def idle(self, wanted: int) -> list[Worker]:
        """Workers ready for a unit, at most ``wanted``; missing ones are started."""
        free = self._workers - len(self._busy)
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
        worker.kill()

    def close(self) -> None:
        """End the workers, those at work by force."""
        for worker in self._idle:
            worker.ask_to_stop()
        for worker in self._idle:
            worker.stop()
        self._idle.clear()
        self.kill()

    def kill(self) -> None:
        """End all workers by force."""
        for worker in self._crew():
            worker.kill()
        self._idle.clear()
        self._busy.clear()

    def _crew(self) -> list[Worker]:
        return [*self._idle, *self._busy.values()]
