"""Counts what a stage does to files, and kills it, or lets the system refuse, at one of them.

Python runs this at the start of each process whose ``PYTHONPATH`` holds the folder. Only a stage's
own process is touched, not its workers and its recorder.
"""

import atexit
import os
import signal
import sys
from pathlib import Path
from typing import Any

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate"}
WRITES = os.O_WRONLY | os.O_RDWR


def _watch(at: int, error: int, count: str) -> None:
    seen = 0

    def look(event: str, args: tuple[Any, ...]) -> None:
        nonlocal seen
        if event not in CHANGES and not (event == "open" and (args[2] or 0) & WRITES):
            return
        seen += 1
        if seen == at and error:
            raise OSError(error, os.strerror(error), str(args[0]))
        if seen == at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(look)
    if count:
        atexit.register(lambda: Path(count).write_text(str(seen), encoding="utf-8"))


def _jump(after: int, seconds: int) -> None:
    """Let ``time.time`` jump once it was asked ``after`` times."""
    import time

    genuine, asked = time.time, 0

    def jumped() -> float:
        nonlocal asked
        asked += 1
        return genuine() + seconds * (asked > after)

    time.time = jumped


_wanted = {name: os.environ.get(f"TORTURE_{name}", "") for name in ("AT", "ERROR", "COUNT", "JUMP")}
if any("world_models.stages." in word for word in sys.orig_argv):
    if _wanted["AT"] or _wanted["COUNT"]:
        _watch(int(_wanted["AT"] or 0), int(_wanted["ERROR"] or 0), _wanted["COUNT"])
    if _wanted["JUMP"]:
        _jump(*map(int, _wanted["JUMP"].split(":")))
