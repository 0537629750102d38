"""The pipe between a stage and its recorder: never blocks the stage, never raises into it."""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PYTHONWARNINGS": "ignore",  # of MLflow's dependencies; not ours to mend
    "OMP_NUM_THREADS": "1",
    "GIT_OPTIONAL_LOCKS": "0",  # asking git must not disturb a git command of the user's
}
_DEFAULTS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
"""MLflow's own would hang for minutes on a dead server; the recorder tries again itself."""


class Channel:
    """A recorder process, and threads that feed it and listen to it.

    Attributes:
        run_id: MLflow's id of the run, None until the recorder has opened it.
    """

    def __init__(self, opening: Mapping[str, Any]) -> None:
        self.run_id: str | None = None
        self._outgoing: queue.SimpleQueue[Mapping[str, Any] | None] = queue.SimpleQueue()
        self._done = threading.Event()
        self._deaf = False  # nobody reads any more
        self._left = False  # the recorder goes on alone
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  closed in close()
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._process = self._start()
        except OSError as error:
            self._deaf = True
            self.warn(f"the recorder cannot start ({error}); this run is not recorded")
            return
        self._threads = [
            threading.Thread(target=self._write, name="tracking-write", daemon=True),
            threading.Thread(target=self._listen, name="tracking-listen", daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        self.send(opening)

    def _start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-m", "world_models.tracking.recorder"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=_DEFAULTS | os.environ | _QUIET,
            start_new_session=True,  # Ctrl-C is for the stage, which then says how it ended
        )

    def send(self, message: Mapping[str, Any]) -> None:
        """Pass a JSON-able message on, in order."""
        if not self._deaf:
            self._outgoing.put(message)

    def warn(self, text: str) -> None:
        """Say a line for people on stderr."""
        print(f"tracking: {text}", file=sys.stderr, flush=True)  # noqa: T201

    def close(self, status: str, patience: float) -> bool:
        """Say how the stage ended, and wait up to ``patience`` seconds until it is recorded.

        Returns:
            False if the recorder is still at work and goes on by itself.
        """
        self.send({"do": "finish", "status": status, "time": int(time.time() * 1000)})
        self._outgoing.put(None)
        if self._process is None:
            self._log.close()
        elif self._done.wait(patience):
            for thread in self._threads:
                thread.join(5)
            self._process.wait(30)
            self._log.close()
        else:
            self._left = True
            self.warn("recording takes long; it goes on in the background")
        return not self._left

    def _write(self) -> None:
        assert self._process is not None
        stream = self._process.stdin
        assert stream is not None
        try:
            while (message := self._outgoing.get()) is not None:
                stream.write(json.dumps(message, default=str).encode() + b"\n")
                stream.flush()
        except OSError:
            self._deaf = True  # the listener tells why
        with suppress(OSError):
            stream.close()

    def _listen(self) -> None:
        assert self._process is not None
        stream = self._process.stdout
        assert stream is not None
        ended_well = False
        for line in stream:
            message = json.loads(line)
            self.run_id = message.get("run_id", self.run_id)
            if "warning" in message:
                self.warn(message["warning"])
            ended_well = ended_well or "done" in message
        stream.close()
        if not ended_well and not self._left:
            self.warn(f"the recorder ended early; the stage goes on without it. {self._reason()}")
        self._deaf = True
        self._done.set()

    def _reason(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""
