"""Whether the environment is what the lock files say, asked of the disk alone: no network.

Each package that is installed has to be of the version that was locked, each of its files the
bytes that it was installed with, and no file may lie among them that no package brought.
"""

import base64
import csv
import hashlib
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import lock

OURS = {"world-models", "pip"}
"""What is no package of others, and what comes with Python itself."""


def main() -> None:
    """Say what is wrong in a line each, and exit with 1; else how much was looked at."""
    installed = list(distributions())
    faults = [*versions(installed), *contents(installed), *strangers(installed), *conflicts()]
    if faults:
        sys.exit("\n".join(faults))
    print(f"audit: {len(installed)} packages are what was locked, but for {', '.join(unlocked())}")


def versions(installed: Iterable[Distribution]) -> Iterator[str]:
    """What is installed without having been asked for, or in another version."""
    pins, free = lock.constraints(), unlocked()
    for found in installed:
        name = canonicalize_name(found.name)
        if name in OURS or (name in free and name not in pins):
            continue
        if name not in pins:
            yield f"{name} is installed, and neither locked nor constrained"
        elif Version(found.version).public != pins[name]:
            yield f"{name} is installed as {found.version}, and constrained to {pins[name]}"


def unlocked() -> list[str]:
    """The installed packages without a checksum in the lock: torch, and what it alone needs."""
    installed = {canonicalize_name(found.name): found for found in distributions()}
    free, open_ = set[str](), [*lock.UNLOCKED]
    while open_:
        name = open_.pop()
        if name in installed and name not in free | lock.locked().keys():
            free.add(name)
            needs = map(Requirement, installed[name].requires or [])
            open_ += [canonicalize_name(one.name) for one in needs]
    return sorted(free)


def contents(installed: Iterable[Distribution]) -> Iterator[str]:
    """Files that are gone, or have other bytes than they were installed with."""
    for found in installed:
        # Of distribution.files, Python leaves out what is gone.
        for name, checksum, *_ in csv.reader((found.read_text("RECORD") or "").splitlines()):
            kind, _, value = checksum.partition("=")
            path = Path(str(found.locate_file(name)))
            if kind and not path.is_file():
                yield f"{found.name}: {path} is gone"
            elif kind and digest(path, kind) != value:
                yield f"{found.name}: {path} has other bytes than it was installed with"


def digest(path: Path, kind: str) -> str:
    """A file's checksum as ``RECORD`` writes it."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, kind).digest()
    return base64.urlsafe_b64encode(found).rstrip(b"=").decode()


def strangers(installed: Iterable[Distribution]) -> Iterator[str]:
    """Files among the packages that none of them brought; Python would import them all the same."""
    folders, brought = set[Path](), set[Path]()
    for found in installed:
        folders.add(Path(str(found.locate_file(""))).resolve())
        brought |= {Path(str(file.locate())).resolve() for file in found.files or []}
    for folder in sorted(folder for folder in folders if folder.name == "site-packages"):
        for path in sorted(folder.rglob("*")):
            cached = path.suffix == ".pyc"
            if path.is_file() and not cached and path.resolve() not in brought:
                yield f"{path} belongs to no package"


def conflicts() -> Iterator[str]:
    """Packages that others need and that are not there, or in a version that does not fit."""
    command = [sys.executable, "-m", "pip", "check", "--disable-pip-version-check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        yield (done.stdout + done.stderr).strip()


if __name__ == "__main__":
    main()
