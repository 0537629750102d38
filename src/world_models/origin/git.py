"""What git knows of the working folder's repository."""

import os
import subprocess
from collections.abc import Sequence
from functools import cache

from world_models.origin import digests
from world_models.origin.addresses import without_passwords
from world_models.storage import temporary


def ask(*arguments: str, **environment: str) -> str | None:
    """What a git command prints; None if it fails, or there is no git or no repository."""
    printed = _run(arguments, environment)
    return None if printed is None else printed.decode("utf-8", "replace").strip()


def there() -> bool:
    """Whether the working folder lies in a repository, and git is there to read it."""
    return ask("rev-parse", "--git-dir") is not None


def address() -> str | None:
    """The repository's address (its remote ``origin``), without a password or token; None if none.

    Runs and models record it, and others read these.
    """
    found = ask("config", "--get", "remote.origin.url")
    return None if found is None else without_passwords(found)


def changed(paths: Sequence[str]) -> bool:
    """Whether files under these paths, from the repository's top, are not those of ``HEAD``."""
    # An index of our own: DVC's copies for experiments carry flags that hide changes, and the
    # user's index is not ours to refresh.
    top = ask("rev-parse", "--show-toplevel")
    with temporary.folder() as folder:
        index = {"GIT_INDEX_FILE": str(folder / "index")}
        ask("read-tree", "HEAD", **index)
        given = [f":(top){name}" for name in paths]
        status = ask("status", "--porcelain", "--untracked-files=all", "--", *given, **index)
    return top is None or bool(status)


def show(revision: str, path: str) -> str | None:
    """A file, from the working folder, as it is in a revision; None if it is not there."""
    found = content(revision, path)
    return None if found is None else found.decode("utf-8", "replace")


def content(revision: str, path: str) -> bytes | None:
    """The bytes of such a file."""
    return _run(("show", f"{revision}:./{path}"), {})


@cache
def md5(revision: str, path: str) -> str | None:
    """DVC's digest of a file or folder as it is in a revision; None if it is not there.

    Of a folder that is the MD5 of a list of its files with theirs, and ``.dir``.
    """
    kind = ask("cat-file", "-t", f"{revision}:./{path}")
    if kind == "blob":
        return digests.of_bytes(content(revision, path) or b"")
    if kind != "tree":
        return None
    listed = ask("ls-tree", "-r", "-z", "--name-only", f"{revision}:./{path}") or ""
    names = [name for name in listed.split("\0") if name]
    return digests.of_folder(
        (n, digests.of_bytes(content(revision, f"{path}/{n}") or b"")) for n in names
    )


def newest_with(text: str, path: str) -> str | None:
    """The newest commit of any branch, tag or DVC experiment whose file ``path`` has a text."""
    changed_it = ask("log", "--all", "--format=%H", f"-S{text}", "--", path) or ""
    head = ask("rev-parse", "HEAD")
    for revision in filter(None, [head, *changed_it.split()]):
        if text in (show(revision, path) or ""):
            return revision
    return None


def _run(arguments: Sequence[str], environment: dict[str, str]) -> bytes | None:
    try:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, check=True, env=os.environ | environment
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout
