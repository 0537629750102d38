"""Folders that belong to the process that made them: what a killed one left can be swept.

The process holds a lock on a file in its folder, and the kernel gives the lock back when the
process ends, however it ends. So nobody has to ask whether a process lives by its number, which
means nothing in another container.
"""

import errno
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

LOCK = ".owner"
"""The locked file in such a folder."""
WITHOUT_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL})
"""What a file system says that has no locks."""


class Owned:
    """A folder of this process's own, see :func:`make`.

    Attributes:
        path: where it lies; it holds :data:`LOCK`.
    """

    def __init__(self, path: Path, descriptor: int | None) -> None:
        self.path = path
        self._descriptor = descriptor
        self._maker = os.getpid()

    def remove(self) -> None:
        """Remove it with all that it holds; in a process that the maker forked, do nothing."""
        if os.getpid() != self._maker:
            return
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        shutil.rmtree(self.path, ignore_errors=True)


def make(parent: Path, prefix: str, suffix: str = "") -> Owned:
    """Make a folder that no :func:`sweep` removes while this process, or a fork of it, lives.

    Raises:
        OSError: ``parent`` may not be written, or its disk is full.
    """
    while True:
        path = Path(tempfile.mkdtemp(suffix, prefix, parent))
        try:
            return Owned(path, _hold(path))
        except (FileNotFoundError, BlockingIOError):
            continue  # a sweep came between these two lines
        except OSError as error:
            if error.errno in WITHOUT_LOCKS:  # then no sweep can take it for a dead process's
                return Owned(path, None)
            shutil.rmtree(path, ignore_errors=True)
            raise


def sweep(parent: Path, pattern: str, before: Callable[[Path], None] | None = None) -> None:
    """Remove this user's folders whose process is gone; leave whatever is in doubt.

    Args:
        parent: where they were made.
        pattern: of their names, as for ``Path.glob``.
        before: called with each folder before it is removed.
    """
    for path in parent.glob(pattern):
        with suppress(OSError):  # its process lives, or another one is removing it
            if not is_own(path.lstat()) or path.is_symlink():
                continue
            descriptor = _hold(path)
            try:
                if before is not None:
                    before(path)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(descriptor)


def is_own(found: os.stat_result) -> bool:
    """Whether this user owns a file."""
    return found.st_uid == os.geteuid()


def _hold(folder: Path) -> int:
    """Lock a folder; its descriptor, whose closing gives the lock back.

    Raises:
        BlockingIOError: another process holds it.
        FileNotFoundError: it was removed meanwhile.
        OSError: the file system has no locks.
    """
    path = folder / LOCK
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _check_there(path, descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check_there(path: Path, descriptor: int) -> None:
    if not os.path.samestat(os.fstat(descriptor), path.lstat()):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))


def read_note(path: Path, limit: int = 1 << 16) -> str:
    """The text of a small file that this user wrote: no link, pipe or device is followed.

    Raises:
        OSError: it is not such a file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not (stat.S_ISREG(found.st_mode) and is_own(found) and found.st_size <= limit):
            raise OSError(errno.EINVAL, "not a note of this user's", str(path))
        return file.read(limit).decode("utf-8", "replace")
