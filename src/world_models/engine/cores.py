"""Cores that this process may use: those it was started on, within a container's CPU quota."""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PINNING = ("OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY")
"""Variables by which OpenMP, when torch loads it, binds the thread that loads it to one core. Our
workers and threads would all inherit that core."""


def _affinity() -> frozenset[int]:
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


STARTED_ON = _affinity()
"""Noted when the package is imported, which is before torch is."""


def usable(root: Path = Path("/")) -> int:
    """How many, at least 1.

    Args:
        root: where ``proc`` and ``sys`` lie.
    """
    return max(1, math.ceil(min(len(STARTED_ON), quota(root))))


def quota(root: Path = Path("/")) -> float:
    """Cores' worth of CPU time that a container's quota allows; infinity without one.

    Args:
        root: where ``proc`` and ``sys`` lie.
    """
    return min(_quotas(root), default=math.inf)


def unpin() -> None:
    """Let this thread, and those that it starts, use all cores again."""
    if hasattr(os, "sched_setaffinity"):
        with suppress(OSError):  # the system has taken some away since
            os.sched_setaffinity(0, STARTED_ON)


def _quotas(root: Path) -> Iterator[float]:
    """Cores' worth of CPU time that each control group around this process allows (Linux)."""
    with suppress(OSError, ValueError):
        for line in (root / "proc/self/cgroup").read_text(encoding="ascii").splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:  # version 2
                for folder in _around(root / "sys/fs/cgroup", path):
                    yield from _quota(*_read(folder / "cpu.max"))
            elif "cpu" in controllers.split(","):
                for folder in _around(root / "sys/fs/cgroup/cpu", path):
                    files = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
                    yield from _quota(*(word for name in files for word in _read(folder / name)))


def _around(top: Path, path: str) -> Iterator[Path]:
    inner = top / path.lstrip("/")
    yield from (folder for folder in (inner, *inner.parents) if folder.is_relative_to(top))


def _read(file: Path) -> list[str]:
    return file.read_text(encoding="ascii").split() if file.is_file() else []


def _quota(quota: str = "max", period: str = "1") -> Iterator[float]:
    """Of the two numbers, in µs; nothing where there is no limit (``max``, or −1)."""
    if quota != "max" and float(quota) > 0:
        yield float(quota) / float(period)
