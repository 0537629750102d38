"""Which process a run belongs to, and whether that has ended."""

import socket
from pathlib import Path

import psutil


def identity(pid: int) -> str:
    """``place pid start``: another process that gets the same number later starts later."""
    return f"{_place()} {pid} {psutil.Process(pid).create_time():.2f}"


def is_gone(process: str) -> bool:
    """Whether that process has ended. False for other places, which cannot be seen from here."""
    try:
        place, pid, _ = process.rsplit(" ", 2)
        if place != _place():
            return False
        ended = psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE
        return ended or identity(int(pid)) != process
    except psutil.NoSuchProcess:
        return True
    except (ValueError, psutil.Error):
        return False


def _place() -> str:
    """Where numbers of processes mean the same: containers may share their host's name."""
    try:
        return f"{socket.gethostname()}/{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:  # not Linux
        return socket.gethostname()
