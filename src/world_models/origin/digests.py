"""DVC's digests: the MD5 of a file, and of a folder's list of files with theirs."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

IGNORED = ("__pycache__", ".pyc")
"""What ``.dvcignore`` leaves out of folders of code."""


def of_bytes(content: bytes) -> str:
    """The digest of a file's content."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def of_folder(files: Iterable[tuple[str, str]]) -> str:
    """The digest of a folder.

    Args:
        files: path within the folder and digest of each.
    """
    listed = [{"md5": digest, "relpath": name} for name, digest in sorted(files)]
    return f"{of_bytes(json.dumps(listed, sort_keys=True).encode())}.dir"


def of_disk(path: Path) -> str | None:
    """The digest of a small file, or of a folder of small files; None if it is not there."""
    if path.is_file():
        return of_bytes(path.read_bytes())
    if not path.is_dir():
        return None
    files = sorted(file for file in path.rglob("*") if file.is_file())
    kept = [file for file in files if not any(name in str(file) for name in IGNORED)]
    return of_folder((f.relative_to(path).as_posix(), of_bytes(f.read_bytes())) for f in kept)
