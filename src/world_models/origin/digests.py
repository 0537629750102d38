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
    """The digest of a file or folder; None if it is not there."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, _md5).hexdigest()
    if not path.is_dir():
        return None
    files = sorted(file for file in path.rglob("*") if file.is_file())
    kept = [file for file in files if not any(name in str(file) for name in IGNORED)]
    return of_folder((f.relative_to(path).as_posix(), str(of_disk(f))) for f in kept)


def _md5() -> "hashlib._Hash":
    return hashlib.md5(usedforsecurity=False)
