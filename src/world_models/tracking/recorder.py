"""The recorder: a process of its own that writes one run to MLflow.

It reads JSON lines on stdin (``open`` first, ``finish`` last) and answers on stdout with
``run_id``, ``warning`` and ``done``. When the pipe closes without ``finish``, the stage was killed.
"""

import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TextIO

from world_models.tracking import provenance
from world_models.tracking.mlflow_run import Run, open_or_continue, reason, settle

FLUSH_EVERY = 2.0
"""Seconds that metrics are held back to travel together."""
SAMPLE_EVERY = 10.0
"""Seconds between two samples of the machine."""
ATTEMPTS = 6
"""Tries of one write, 6 s in all beside the store's own time-outs."""

Say = Callable[..., None]


class Mail:
    """Messages from the stage, received by a thread so that the sender never waits."""

    def __init__(self, stream: TextIO) -> None:
        self._queue: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.ended = threading.Event()
        threading.Thread(target=self._receive, args=(stream,), daemon=True).start()

    def _receive(self, stream: TextIO) -> None:
        for line in stream:
            if not line.endswith("\n"):
                break  # the stage was killed while it wrote
            message = json.loads(line)
            if message["do"] == "finish":
                self.ended.set()
            self._queue.put(message)
        self.ended.set()
        self._queue.put({"do": "finish", "status": "KILLED", "time": int(time.time() * 1000)})

    def get(self, timeout: float | None = None) -> dict[str, Any] | None:
        """The next message, None when none came in ``timeout`` seconds."""
        try:
            return self._queue.get(timeout=timeout)
        except queue.Empty:
            return None


class Recorder:
    """Puts messages into the run; what fails for good is told once for each kind."""

    def __init__(self, run: Run, say: Say) -> None:
        self._run = run
        self._say = say
        self._told: set[str] = set()

    def work(self, mail: Mail) -> None:
        """Record until the stage ends."""
        flushed = sampled = time.monotonic()
        while True:
            message = mail.get(timeout=FLUSH_EVERY)
            now = time.monotonic()
            if now - sampled >= SAMPLE_EVERY:
                sampled = now
                self._attempt("system metrics", self._run.sample)
            if message is None or now - flushed >= FLUSH_EVERY or self._run.full:
                flushed = now
                self._attempt("metrics", self._run.flush)
            if message is not None and message["do"] == "finish":
                self._attempt("metrics", self._run.flush)
                self._attempt("end", partial(self._run.end, message["status"], message["time"]))
                return
            if message is not None:
                self._attempt(message["do"], partial(self._run.take, message))

    def _attempt(self, what: str, action: Callable[[], None]) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                action()
            except Exception as error:  # whatever MLflow raises
                if attempt == ATTEMPTS or isinstance(error, FileNotFoundError):
                    self._tell(what, error)
                    return
                time.sleep(0.1 * 2**attempt)
            else:
                return

    def _tell(self, what: str, error: Exception) -> None:
        if what not in self._told:
            self._told.add(what)
            self._say(warning=f"{what} could not be recorded: {reason(error)}")


def connect(opening: Mapping[str, Any], mail: Mail, say: Say) -> Run | None:
    """Open the run, trying again until the stage ends; None when it never came to be."""
    wait = 1.0
    while True:
        try:
            return open_or_continue(opening)
        except Exception as error:  # whatever MLflow raises
            if wait == 1.0:
                say(
                    warning=f"cannot record in {opening['uri']}: {reason(error)}. The stage goes "
                    "on; recording is tried again until it ends. Check MLFLOW_TRACKING_URI."
                )
        if mail.ended.wait(wait):
            say(warning=f"this run was not recorded in {opening['uri']}")
            return None
        wait = min(2 * wait, 60.0)


def main() -> None:
    """Serve one stage and exit."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends when the pipe does
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not look like an answer

    def say(**answer: str) -> None:
        try:
            print(json.dumps(answer), file=answers, flush=True)
        except BrokenPipeError:
            return  # the stage is gone; its run is recorded all the same

    mail = Mail(sys.stdin)
    opening = mail.get()
    assert opening is not None
    if opening["do"] == "finish":
        return
    place = (opening["environment"], opening["stage"], opening["own"])
    opening["tags"] |= provenance.describe_code(*place)
    run = connect(opening, mail, say)
    settle()
    if run is not None:
        say(run_id=run.run_id)
        Recorder(run, say).work(mail)
    say(done="")


if __name__ == "__main__":
    main()
