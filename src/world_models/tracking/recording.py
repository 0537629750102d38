"""From a journal to MLflow: retried until all of it is there."""

import fcntl
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from world_models.origin.addresses import without_passwords
from world_models.tracking import processes
from world_models.tracking.experiments import open_store
from world_models.tracking.journal import Journal, Message, Reader, now
from world_models.tracking.mlflow_run import Run, open_or_continue
from world_models.tracking.reading import cure, reason

LOOK_EVERY = 0.2
"""Seconds between two looks at the journal."""
FLUSH_EVERY = 2.0
"""Seconds that metrics are held back to travel together."""
SAMPLE_EVERY = 10.0
"""Seconds between two samples of the machine."""
RETRY_AFTER = 1.0, 60.0
"""Seconds between two tries to reach the store: at first, and at most."""
ATTEMPTS = 3
"""Tries of one write while the store answers."""

Say = Callable[[str], None]


class UnreachableError(Exception):
    """The store does not answer; the message says why."""


class Recording:
    """One journal on its way into MLflow."""

    def __init__(self, reader: Reader, opening: Message, say: Say) -> None:
        self._reader, self._opening, self._say = reader, opening, say
        self._messages: deque[Message] = deque()
        self._end: Message | None = None
        self._run: Run | None = None
        self._flushed = self._sampled = time.monotonic()
        self._warned: set[str] = set()

    def work(self) -> bool:
        """Record until the stage has ended.

        Returns:
            Whether all is in MLflow. If not, the store cannot be reached; the journal stays.
        """
        wait, again = RETRY_AFTER[0], 0.0
        while True:
            self._look()
            if self._end or time.monotonic() >= again:
                try:
                    if self._record():
                        return True
                    wait = RETRY_AFTER[0]
                except UnreachableError as error:
                    self._warn_unreachable(error)
                    if self._end:
                        return False
                    again = time.monotonic() + wait
                    wait = min(2 * wait, RETRY_AFTER[1])
            time.sleep(LOOK_EVERY)

    def _look(self) -> None:
        """Take new lines. A stage that has ended without a last line was killed."""
        gone = processes.is_gone(self._opening["tags"]["process"])  # asked before its last lines
        for message in self._reader.read():
            if message["do"] == "end":
                self._end = message
            else:
                self._messages.append(message)
        if gone and self._end is None:
            self._end = {"do": "end", "status": "KILLED", "time": now()}

    def _record(self) -> bool:
        """Write what there is; whether the run has ended."""
        run = self._run or self._open()
        while self._messages:
            message = self._messages[0]
            self._try(message["do"], partial(run.take, message))
            self._messages.popleft()
        if self._end:
            self._try("metrics", run.flush)
            self._try("end", partial(run.take, self._end))
            return True
        now = time.monotonic()
        if now - self._sampled >= SAMPLE_EVERY:
            self._sampled = now
            self._try("system metrics", run.sample)
        if now - self._flushed >= FLUSH_EVERY:
            self._flushed = now
            self._try("metrics", run.flush)
        return False

    def _open(self) -> Run:
        try:
            self._run = open_or_continue(self._opening)
        except Exception as error:  # whatever MLflow raises
            raise UnreachableError(reason(error)) from error
        return self._run

    def _try(self, what: str, write: Callable[[], None]) -> None:
        """Write; what fails again and again although the store answers is left out."""
        for attempt in range(ATTEMPTS):
            try:
                return write()
            except Exception as error:  # whatever MLflow raises
                why = reason(error)
            time.sleep(attempt)
        try:
            open_store(self._opening["uri"])
        except Exception as error:
            raise UnreachableError(reason(error)) from error
        if what not in self._warned:
            self._warned.add(what)
            self._say(f"{what} could not be recorded: {why}")
        return None

    def _warn_unreachable(self, error: UnreachableError) -> None:
        uri, why = without_passwords(self._opening["uri"]), str(error)
        if self._end:
            self._say(
                f"not all is recorded in {uri} ({why}); it is kept in {self._reader.file.name}. "
                f"{cure(why, uri)} The next stage records it, or: "
                "python -m world_models.tracking.recorder"
            )
        elif "store" not in self._warned:
            self._warned.add("store")
            self._say(
                f"cannot record in {uri}: {why}. The stage goes on; recording is tried again. "
                f"{cure(why, uri)}"
            )


def record(journal: Journal, opening: Message, say: Say, *, wait: bool) -> bool:
    """Record one journal and remove it.

    Args:
        journal: of a stage that runs, or of one that has ended.
        opening: its first line.
        say: takes a line for people.
        wait: for another recorder that has the journal; else it is left to that one.

    Returns:
        False if the store cannot be reached: the journal stays.
    """
    with _locked(journal, wait=wait) as reader:
        done = reader is None or Recording(reader, opening, say).work()
        if reader is not None and done:
            journal.remove()
    return done


def record_left_behind(folder: Path, own: Journal | None, say: Say) -> None:
    """Record the journals in ``folder`` of stages that have ended; ``own`` is not among them."""
    unreachable = set()
    for path in sorted(folder.glob("*.jsonl")):
        journal = Journal(path)
        opening = journal.opening()
        if opening is None or journal == own:
            continue
        if opening["uri"] in unreachable or not processes.is_gone(opening["tags"]["process"]):
            continue
        # An earlier attempt at the same run must be in MLflow before this one continues it.
        earlier = own is not None and own.run == journal.run
        if not record(journal, opening, say, wait=earlier):
            unreachable.add(opening["uri"])


@contextmanager
def _locked(journal: Journal, *, wait: bool) -> Iterator[Reader | None]:
    """A reader of the journal; None if another recorder has it, or had it and is done."""
    try:
        reader = Reader(journal)
    except FileNotFoundError:
        yield None
        return
    with reader.file:
        try:
            fcntl.flock(reader.file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield None
        else:
            yield reader if journal.path.exists() else None
