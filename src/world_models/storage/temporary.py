"""Temporary folders: the next start sweeps those whose process was killed.

They lie in one folder of this user's, since the system's temporary folder is everybody's: what
others put there is never read and never removed.
"""

import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path

from world_models.storage import owned
from world_models.storage.owned import Owned

_FILES = "files"


@contextmanager
def folder() -> Iterator[Path]:
    """Yield an empty folder that is gone when the block ends, or after a kill at the next start.

    Raises:
        OSError: the disk of temporary files is full or may not be written.
    """
    made = make(_FILES)
    try:
        empty = made.path / _FILES  # beside the lock, which is no content
        empty.mkdir()
        yield empty
    finally:
        made.remove()


@contextmanager
def for_libraries() -> Iterator[None]:
    """Let what libraries make with ``tempfile`` in this block lie in such a folder, to be swept.

    Where no folder can be made it lies where it always does.
    """
    before = tempfile.tempdir
    with ExitStack() as stack:
        with suppress(OSError):
            tempfile.tempdir = str(stack.enter_context(folder()))
        try:
            yield
        finally:
            tempfile.tempdir = before


def make(kind: str, before: Callable[[Path], None] | None = None) -> Owned:
    """Make a folder whose maker removes it; the first call also sweeps its kind.

    Args:
        kind: the beginning of its name.
        before: called with each folder of a killed process before it is removed.

    Raises:
        OSError: the disk of temporary files is full or may not be written.
    """
    home = _home()
    if home is None:
        return owned.make(Path(tempfile.gettempdir()), f"world-models-{kind}-")
    _sweep(home, kind, before)
    return owned.make(home, f"{kind}-")


@cache
def _sweep(home: Path, kind: str, before: Callable[[Path], None] | None) -> None:
    """Once a process."""
    owned.sweep(home, f"{kind}-*", before)


def _home() -> Path | None:
    """This user's folder among the temporary ones; None where somebody else has taken its name."""
    home = Path(tempfile.gettempdir()) / f"world-models-{os.geteuid()}"
    with suppress(FileExistsError):
        home.mkdir(mode=0o700)
    found = home.lstat()
    private = stat.S_ISDIR(found.st_mode) and not stat.S_IMODE(found.st_mode) & 0o077
    return home if private and owned.is_own(found) else None
