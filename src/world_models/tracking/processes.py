"""Which process a run belongs to, and whether that has ended."""

import socket

import psutil


def identity(pid: int) -> str:
    """``host pid start``: another process that gets the same number later starts later."""
    return f"{socket.gethostname()} {pid} {psutil.Process(pid).create_time():.2f}"


def is_gone(process: str) -> bool:
    """Whether that process has ended. False for other hosts, which cannot be seen from here."""
    try:
        host, pid, _ = process.rsplit(" ", 2)
        if host != socket.gethostname():
            return False
        ended = psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE
        return ended or identity(int(pid)) != process
    except psutil.NoSuchProcess:
        return True
    except (ValueError, psutil.Error):
        return False
