"""What a stage resumes from: a locked folder that outlives the stage's outputs.

DVC deletes a stage's outputs before it runs it again, so the state lies elsewhere: under the DVC
root, by a fingerprint of parameters, inputs and code. Another fingerprint is another folder, so
nothing is ever resumed that the same command would not have made.
"""

import hashlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from world_models.errors import UserError
from world_models.storage import atomic, owned
from world_models.storage.artifact import Card

FOLDER = ".scratch"
UNUSED_DAYS = 30
"""State that nobody used for so many days is removed."""
_DIGEST = hashlib.sha256().digest_size


def fingerprint(
    parameters: Mapping[str, Any], inputs: Sequence[Card], dependencies: Mapping[str, Any]
) -> str:
    """SHA-256 (hexadecimal) over all that fixes a result.

    Args:
        parameters: JSON-able, such as a schema's ``model_dump()``.
        inputs: cards of the artifacts read, in a fixed order.
        dependencies: JSON-able: code, versions of packages, and the machine's kind.
    """
    content = [dict(parameters), [card.digest() for card in inputs], dict(dependencies)]
    text = json.dumps(content, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def find_root() -> Path:
    """The DVC root: ``$DVC_ROOT`` (the genuine repository even in ``dvc exp run --temp``).

    Else the nearest folder from here upwards with ``.dvc``, else the working folder.
    """
    if os.environ.get("DVC_ROOT"):
        return Path(os.environ["DVC_ROOT"])
    here = Path.cwd()
    return next((path for path in (here, *here.parents) if (path / ".dvc").is_dir()), here)


class Scratch:
    """A locked folder of named byte strings, each with a checksum; see :meth:`open`.

    A context manager that gives the lock back; the content stays until :meth:`remove`.

    Attributes:
        folder: where it lies; large files of the stage's own may be put there too.
    """

    def __init__(self, folder: Path, lock: FileLock) -> None:
        self.folder = folder
        self._lock = lock

    @classmethod
    def open(cls, root: Path, stage: str, environment: str, fingerprint: str) -> "Scratch":
        """Lock ``<root>/.scratch/<stage>-<environment>-<fingerprint12>``, made if need be.

        State of other parameters or code is kept: going back to them goes on from it. What nobody
        used for :data:`UNUSED_DAYS` days is removed, with a line on stderr.

        Raises:
            UserError: another process works on just this, the disk is full, or its file system
                has no locks.
        """
        folder = root / FOLDER / f"{stage}-{environment}-{fingerprint[:12]}"
        with atomic.readable_refusals(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            scratch = cls(folder, _acquire(folder))
            _remove_unused(root, folder)
            folder.mkdir(exist_ok=True)
            (folder / "holder").write_text(f"{os.getpid()}\n")
        return scratch

    def __enter__(self) -> "Scratch":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the lock back and keep the content; after :meth:`remove`, do nothing."""
        if self._lock.is_locked:
            (self.folder / "holder").unlink(missing_ok=True)
            self._lock.release()

    def save(self, name: str, data: bytes) -> None:
        """Store ``data``; what ``name`` held before stays as the fall-back of :meth:`load`.

        Raises:
            UserError: the disk is full.
        """
        path = self._path(name)
        if path.exists():
            path.replace(_previous(path))
        with atomic.atomic_file(path) as draft, draft.open("wb") as file:
            file.write(hashlib.sha256(data).digest())
            file.write(data)

    def load(self, name: str) -> bytes | None:
        """What was stored last and is whole, or None; a damaged file is passed over."""
        path = self._path(name)
        for candidate in (path, _previous(path)):
            data = _read(candidate)
            if data is not None:
                return data
        return None

    def remove(self, keep: Collection[str] = ()) -> None:
        """The stage succeeded: forget all of it, but for the names that a longer run goes on from.

        Args:
            keep: names that stay.
        """
        if not keep:
            _discard(self.folder, self._lock)
            return
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name not in keep:
                path.unlink()
        self.close()

    def _path(self, name: str) -> Path:
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name), name
        assert name != "holder", name
        return self.folder / name


def _previous(path: Path) -> Path:
    return path.with_name(f"{path.name}~")


def _read(path: Path) -> bytes | None:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    digest, data = content[:_DIGEST], content[_DIGEST:]
    if hashlib.sha256(data).digest() == digest:
        return data
    print(f"warning: {path} is damaged; going on from before it.", file=sys.stderr)  # noqa: T201
    return None


def _lock_path(folder: Path) -> Path:
    # Beside the folder, not in it: the lock is held while the folder is removed.
    return folder.with_name(f"{folder.name}.lock")


def _acquire(folder: Path) -> FileLock:
    lock = FileLock(_lock_path(folder))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(
            f"{folder.name.rsplit('-', 1)[0]} is already running in {_holder(folder)}, which holds "
            f"{folder}. Wait for it or stop it, then run the same command again."
        ) from None
    except OSError as error:
        if error.errno not in owned.WITHOUT_LOCKS:
            raise
        raise UserError(
            f"{folder.parent} cannot be locked ({error.strerror}), so that two stages could write "
            "to the same state. Move the project to a disk whose file system has locks."
        ) from error
    return lock


def _holder(folder: Path) -> str:
    try:
        return f"process {int((folder / 'holder').read_text())}"
    except (OSError, ValueError):
        return "another process"


@dataclass(frozen=True)
class Kept:
    """State that lies in the scratch.

    Attributes:
        folder: ``<stage>-<environment>-<key>`` below ``.scratch``.
        size: bytes.
        days: since its last use.
    """

    folder: Path
    size: int
    days: float


def kept(root: Path) -> list[Kept]:
    """All state below ``root``, the latest used first."""
    return sorted(_look(root), key=lambda state: state.days)


def _look(root: Path) -> Iterator[Kept]:
    for folder in (root / FOLDER).glob("*-*-*"):
        if not folder.is_dir():  # a lock
            continue
        with suppress(FileNotFoundError):  # its stage has just ended
            files = list(_files(folder))
            used = max([folder.stat().st_mtime, *(stat.st_mtime for stat in files)])
            days = max(time.time() - used, 0) / 86_400
            yield Kept(folder, sum(stat.st_size for stat in files), days)


def _files(folder: Path) -> Iterator[os.stat_result]:
    """All files below; a stage at work writes there, so what is gone is passed over."""
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                yield Path(parent, name).stat()


def discard(state: Kept) -> bool:
    """Remove state; False if a live process holds it, which then keeps it."""
    lock = FileLock(_lock_path(state.folder))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    _discard(state.folder, lock)
    return True


def _remove_unused(root: Path, current: Path) -> None:
    for state in kept(root):
        if state.folder != current and state.days > UNUSED_DAYS and discard(state):
            text = f"{state.folder} was not used for {state.days:.0f} days and is removed."
            print(text, file=sys.stderr)  # noqa: T201


def _discard(folder: Path, lock: FileLock) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    _lock_path(folder).unlink(missing_ok=True)
    lock.release()
