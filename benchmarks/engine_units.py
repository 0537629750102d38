"""Small units of work for ``study_engines``: in a module that imports nothing large."""

import os
import pickle
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from world_models.engine import states

_TASK: list[Any] = []


def remember(key: str, content: bytes) -> None:
    """Loky's start of a worker."""
    _TASK[:] = [key, content]


def perform(unit: Any) -> Any:
    """A unit on a worker of loky's."""
    return pickle.loads(states.perform(*_TASK, pickle.dumps(unit))).result


def pid(_: Any, seconds: float) -> int:
    """Which worker it is, after a while."""
    time.sleep(seconds)
    return os.getpid()


def die_once(folder: str, unit: int) -> int:
    """Unit 1 kills its worker the first time."""
    time.sleep(0.2)
    if unit == 1 and _first(folder):
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def hang_once(folder: str, unit: int) -> int:
    """Unit 1 hangs the first time."""
    if unit == 1 and _first(folder):
        time.sleep(600)
    return os.getpid()


def play_on(folder: str, unit: int) -> None:
    """A unit at work, with a child process such as a game."""
    subprocess.Popen(["sleep", "600"])
    (Path(folder) / str(unit)).touch()
    time.sleep(600)


def _first(folder: str) -> bool:
    with suppress(FileExistsError):
        (Path(folder) / "flag").touch(exist_ok=False)
        return True
    return False
