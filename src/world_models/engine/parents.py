"""A stage ends with the DVC that began it, which would not know how it went."""

import os
import signal
import threading
import time

import psutil

SHELLS = {"sh", "dash", "bash", "zsh", "ksh", "fish", "csh", "tcsh", "env"}
"""Between DVC and its stages; they stay behind when DVC is killed."""
EVERY = 1.0
"""Seconds between two looks."""


def end_with_dvc() -> None:
    """Ask this process to stop (SIGTERM) once the DVC that runs it is gone; without one, nothing.

    Else a killed ``dvc repro`` would leave its stage at work, and the next one would meet its lock.
    """
    if os.environ.get("DVC_STAGE") and (beginner := _beginner()):
        threading.Thread(target=_watch, args=(beginner,), daemon=True).start()


def _beginner() -> psutil.Process | None:
    """The nearest process above this one that is no shell."""
    try:
        above = psutil.Process().parents()
        return next((process for process in above if process.name() not in SHELLS), None)
    except psutil.Error:  # it has just ended, or may not be looked at
        return None


def _watch(beginner: psutil.Process) -> None:
    while _lives(beginner):
        time.sleep(EVERY)
    os.kill(os.getpid(), signal.SIGTERM)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
