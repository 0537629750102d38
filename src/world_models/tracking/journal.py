"""The journal: a file of JSON lines that holds all of a run until MLflow has it."""

import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Message = dict[str, Any]
"""What a line says. ``do`` is its kind: open, parameters, metrics, tags, artifact, input, end.
``time`` is when it was written, in ms since 1970."""


@dataclass(frozen=True)
class Journal:
    """Appends messages to ``<run>-<time>.jsonl``, and keeps files in a folder of that name.

    Any number of processes may append at once. It can be pickled.

    Attributes:
        path: of the ``.jsonl`` file.
    """

    path: Path

    @property
    def run(self) -> str:
        """Name of the run, the same for all attempts of a stage that was interrupted."""
        return self.path.stem.rpartition("-")[0]

    @property
    def files(self) -> Path:
        """The folder of kept files."""
        return self.path.with_suffix("")

    @property
    def log(self) -> Path:
        """What the recorder's libraries print, to look into when it fails."""
        return self.path.with_suffix(".log")

    def create(self, opening: Message) -> None:
        """Begin with the message that says which run it is.

        Raises:
            OSError: the file cannot be written, or exists.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._write(opening, os.O_CREAT | os.O_EXCL)

    def append(self, message: Message) -> None:
        """Add a line, in one write, so that lines of several processes do not mix.

        Raises:
            OSError: the file is gone, or cannot be written.
        """
        self._write(message, os.O_APPEND)

    def _write(self, message: Message, flags: int) -> None:
        line = json.dumps(message | {"time": now()}, default=str).encode() + b"\n"
        # For the owner alone: the address of the store may hold a password.
        file = os.open(self.path, os.O_WRONLY | flags, 0o600)
        try:
            os.write(file, line)
        finally:
            os.close(file)

    def opening(self) -> Message | None:
        """The first line; None if the journal is gone, or was cut short by a full disk."""
        try:
            with self.path.open("rb") as file:
                return _parse(file.readline())
        except FileNotFoundError:
            return None

    def keep(self, path: Path) -> Path:
        """Keep a file, or a folder's files, as they are now, whatever happens to ``path`` later.

        Links are enough where the disk allows them: our files are replaced and never written into.

        Raises:
            OSError: it does not exist, or cannot be copied.
        """
        kept = self.files / f"{time.time_ns()}" / path.name
        kept.parent.mkdir(parents=True)
        if path.is_dir():
            shutil.copytree(path, kept, copy_function=_link)
        else:
            _link(str(path), str(kept))
        return kept

    def remove(self) -> None:
        """Remove the journal and all that belongs to it; the line file goes last."""
        shutil.rmtree(self.files, ignore_errors=True)
        self.log.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)


class Reader:
    """Reads a journal that is still being written."""

    def __init__(self, journal: Journal) -> None:
        self.file = journal.path.open("r+b")  # to be locked on a network's disk, too
        self._part = b""

    def read(self) -> list[Message]:
        """The messages that came since the last call; a line that is not complete waits."""
        *lines, self._part = (self._part + self.file.read()).split(b"\n")
        found = (_parse(line) for line in lines)
        return [message for message in found if message is not None]


def now() -> int:
    """The time in ms since 1970, as MLflow counts it."""
    return int(time.time() * 1000)


def _parse(line: bytes) -> Message | None:
    try:
        message = json.loads(line)
    except ValueError:  # cut short by a full disk
        return None
    return message if isinstance(message, dict) else None


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # on another disk
        shutil.copy2(source, target)
