"""Progress with the time left: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINE_EVERY = 10.0
"""Seconds between two plain lines: a log file of a ten-hour run stays readable."""


class Advance(Protocol):
    """What the body of :func:`progress` reports to."""

    def advance(self, n: int = 1, note: str = "") -> None:
        """Count ``n`` more of the total, with a short note such as the current loss."""


class _Bar:
    def __init__(self, bar: Progress, total: int, description: str, done: int) -> None:
        self._bar = bar
        self._task = bar.add_task(description, total=total, completed=done, note="")

    def advance(self, n: int = 1, note: str = "") -> None:
        self._bar.update(self._task, advance=n, note=note)


class _Lines:
    def __init__(self, total: int, description: str, done: int) -> None:
        self._total, self._description, self._done, self._before = total, description, done, done
        self._start = self._last = time.monotonic()

    def advance(self, n: int = 1, note: str = "") -> None:
        self._done += n
        now = time.monotonic()
        if now - self._last < LINE_EVERY and self._done < self._total:
            return
        self._last = now
        rate = (now - self._start) / max(self._done - self._before, 1)
        left = rate * (self._total - self._done)
        text = f"{self._description}: {self._done}/{self._total}, {clock(left)} left  {note}"
        print(text.rstrip(), file=sys.stderr, flush=True)  # noqa: T201


def clock(seconds: float) -> str:
    """Seconds as ``1:02:03`` or ``02:03``."""
    minutes, s = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{s:02}" if hours else f"{minutes:02}:{s:02}"


@contextmanager
def progress(total: int, description: str, done: int = 0) -> Iterator[Advance]:
    """Show progress on stderr towards ``total``; ``done`` were finished before (a resumed run)."""
    if not sys.stderr.isatty():
        yield _Lines(total, description, done)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        yield _Bar(bar, total, description, done)
