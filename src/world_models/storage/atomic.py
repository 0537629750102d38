"""Outputs appear whole or not at all: written in a hidden sibling, flushed to disk, renamed."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from world_models.errors import UserError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


@contextmanager
def atomic_folder(out: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes ``out`` when the block ends without an exception.

    An ``out`` from before stays untouched until then; after an exception nothing else is left.

    Raises:
        UserError: the disk is full or may not be written, with the cure.
    """
    with readable_refusals(out):
        draft = _draft(out)
        try:
            draft.mkdir()
            yield draft
            _flush(draft)
            _swap(draft, out)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def atomic_file(out: Path) -> Iterator[Path]:
    """Yield a path to write; it becomes ``out`` when the block ends without an exception.

    A file from before is replaced, never written into: it may be a link into DVC's cache.

    Raises:
        UserError: the disk is full or may not be written, with the cure.
    """
    with readable_refusals(out):
        draft = _draft(out)
        try:
            yield draft
            _sync(draft)
            draft.replace(out)
            _sync(out.parent)
        finally:
            draft.unlink(missing_ok=True)


def write(out: Path, data: bytes) -> None:
    """Write ``data`` to ``out``, whole or not at all (see :func:`atomic_file`)."""
    with atomic_file(out) as draft:
        draft.write_bytes(data)


def _draft(out: Path) -> Path:
    out.parent.mkdir(parents=True, exist_ok=True)
    _sweep(out)
    return out.parent / f".{out.name}.{os.getpid()}.partial"


def _sweep(out: Path) -> None:
    """Remove what a killed process left behind, never what a live one is writing."""
    pattern = re.compile(rf"\.{re.escape(out.name)}\.(\d+)\.partial(\.old)?")
    for path in out.parent.glob(".*.partial*"):
        match = pattern.fullmatch(path.name)
        if match is None:
            continue
        owner = int(match[1])
        if owner == os.getpid() or not psutil.pid_exists(owner):
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _swap(draft: Path, out: Path) -> None:
    # A rename cannot replace a folder that holds something, so the old one steps aside first.
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
        _remove(aside)
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
