"""What git knows of the working folder's repository."""

import hashlib
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path


def ask(*arguments: str, **environment: str) -> str | None:
    """What a git command prints; None if it fails, or there is no git or no repository."""
    printed = _run(arguments, environment)
    return None if printed is None else printed.decode("utf-8", "replace").strip()


def changed(paths: Sequence[str]) -> bool:
    """Whether files under these paths, from the repository's top, are not those of ``HEAD``."""
    # An index of our own: DVC's copies for experiments carry flags that hide changes, and the
    # user's index is not ours to refresh.
    top = ask("rev-parse", "--show-toplevel")
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        ask("read-tree", "HEAD", **index)
        given = [f":(top){name}" for name in paths]
        status = ask("status", "--porcelain", "--untracked-files=all", "--", *given, **index)
    return top is None or bool(status)


def show(revision: str, path: str) -> str | None:
    """A file, from the working folder, as it is in a revision; None if it is not there."""
    return ask("show", f"{revision}:./{path}")


@cache
def md5(revision: str, path: str) -> str | None:
    """DVC's digest of a file or folder as it is in a revision; None if it is not there.

    Of a folder that is the MD5 of a list of its files with theirs, and ``.dir``.
    """
    kind = ask("cat-file", "-t", f"{revision}:./{path}")
    if kind == "blob":
        return _digest(_run(("cat-file", "blob", f"{revision}:./{path}"), {}) or b"")
    if kind != "tree":
        return None
    listed = [{"md5": digest, "relpath": name} for name, digest in _files(revision, path)]
    text = json.dumps(sorted(listed, key=lambda file: file["relpath"]), sort_keys=True)
    return f"{_digest(text.encode())}.dir"


def _files(revision: str, path: str) -> Iterator[tuple[str, str]]:
    """Name and MD5 of each file in a folder."""
    names = ask("ls-tree", "-r", "-z", "--name-only", f"{revision}:./{path}") or ""
    for name in filter(None, names.split("\0")):
        yield name, _digest(_run(("cat-file", "blob", f"{revision}:./{path}/{name}"), {}) or b"")


def _digest(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _run(arguments: Sequence[str], environment: dict[str, str]) -> bytes | None:
    try:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, check=True, env=os.environ | environment
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout
