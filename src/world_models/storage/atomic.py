"""Outputs appear whole or not at all: written in a hidden sibling, flushed to disk, renamed."""

import errno
import glob
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from world_models.errors import UserError
from world_models.storage import owned

_SUFFIX = ".own.partial"
_OLD = 86_400.0
"""Seconds without a change after which nobody writes a draft any more."""
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_THERE = frozenset({errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


@contextmanager
def atomic_folder(out: Path, *, replaces: bool = True) -> Iterator[Path]:
    """Yield an empty folder that becomes ``out`` when the block ends without an exception.

    An ``out`` from before stays untouched until then; after an exception nothing else is left.

    Args:
        out: the folder.
        replaces: whether an ``out`` that is there at the end gives way; else it stays.

    Raises:
        UserError: the disk is full or may not be written, or ``out`` has come to be there and is
            not to be replaced; with the cure.
    """
    with readable_refusals(out), _draft(out) as draft:
        draft.mkdir()
        yield draft
        _flush(draft)
        if replaces:
            _swap(draft, out)
        else:
            _appear(draft, out)


@contextmanager
def atomic_file(out: Path) -> Iterator[Path]:
    """Yield a path to write; it becomes ``out`` when the block ends without an exception.

    A file from before is replaced, never written into: it may be a link into DVC's cache.

    Raises:
        UserError: the disk is full or may not be written, with the cure.
    """
    with readable_refusals(out), _draft(out) as draft:
        yield draft
        _sync(draft)
        draft.replace(out)
        _sync(out.parent)


def write(out: Path, data: bytes) -> None:
    """Write ``data`` to ``out``, whole or not at all (see :func:`atomic_file`)."""
    with atomic_file(out) as draft:
        draft.write_bytes(data)


@contextmanager
def _draft(out: Path) -> Iterator[Path]:
    """A path to write, in a folder of our own beside ``out``: renaming needs the same disk."""
    out.parent.mkdir(parents=True, exist_ok=True)
    owned.sweep(out.parent, f".{glob.escape(out.name)}.*{_SUFFIX}")
    _sweep_numbered(out)
    folder = owned.make(out.parent, f".{out.name}.", _SUFFIX)
    try:
        yield folder.path / out.name
    finally:
        folder.remove()


def _sweep_numbered(out: Path) -> None:
    """Remove drafts of earlier versions, named by a process's number and without a lock.

    In another container the number means nothing, so they have to be old as well.
    """
    pattern = re.compile(rf"\.{re.escape(out.name)}\.(\d+)\.partial(\.old)?")
    for path in out.parent.glob(f".{glob.escape(out.name)}.*.partial*"):
        match = pattern.fullmatch(path.name)
        if match is None:
            continue
        with suppress(OSError, OverflowError):  # another process removes it; no such number
            if psutil.pid_exists(int(match[1])):
                continue
            found = [one.lstat() for one in (path, *path.rglob("*"))]
            old = max(one.st_mtime for one in found) < time.time() - _OLD
            if old and owned.is_own(found[0]):
                _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _swap(draft: Path, out: Path) -> None:
    # A rename cannot replace a folder that holds something, so the old one steps aside first: into
    # the draft's own folder, which is removed at the end.
    if not out.exists() and not out.is_symlink():
        draft.rename(out)
    else:
        aside = draft.with_name(f"{draft.name}.old")
        out.rename(aside)
        try:
            draft.rename(out)
        except BaseException:
            aside.rename(out)
            raise
    _sync(out.parent)


def _appear(draft: Path, out: Path) -> None:
    try:
        draft.rename(out)
    except OSError as error:
        if error.errno not in _THERE:
            raise
        raise UserError(
            f"{out} exists: another process made it meanwhile, and it stays as it is. Give another "
            "name, or remove it first."
        ) from error
    _sync(out.parent)


def _flush(folder: Path) -> None:
    for path in folder.rglob("*"):
        _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def readable_refusals(out: Path) -> Iterator[None]:
    """Turn the disk's refusal to write ``out`` into an error that people understand.

    Raises:
        UserError: the disk is full or may not be written, with the cure.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise UserError(_full(out)) from error
        if error.errno in _FORBIDDEN and _concerns(error, out):
            raise UserError(
                f"{out} may not be written ({error.strerror}). Change the owner or the "
                f"permissions of {out.parent}, then run the same command again."
            ) from error
        raise


def _concerns(error: OSError, out: Path) -> bool:
    # The block may read other files too; what it may not read is none of ours.
    if error.filename is None:
        return True
    refused = Path(error.filename)
    return refused.parent == out.parent or refused in out.parents


def _full(out: Path) -> str:
    place = next(path for path in (out.absolute().parent, *out.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free / 1e6
    return (
        f"No space to write {out}: its disk has {free:.0f} MB free, or a quota or limit on file "
        "size was met. What was there before is untouched. Make room (for instance with "
        "`dvc gc --workspace`), then run the same command again."
    )
