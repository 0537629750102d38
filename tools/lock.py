"""Write the lock files: every package of the environment with the checksums of its files.

They hold what ``constraints.txt`` pins and ``.[cluster,dev]`` needs: of each version all files
for this project's Pythons and platforms, as PyPI lists them, so that they depend on no machine and
no mirror. ``requirements.lock`` is of wheels, ``requirements-source.lock`` of the few packages
that have none. ``--check`` only tells, without a network, whether they are right but for checksums.
"""

import argparse
import json
import re
import sys
import tomllib
import urllib.request
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

ROOT = Path(__file__).resolve().parents[1]
INDEX = "https://pypi.org/simple/"
JSON = "application/vnd.pypi.simple.v1+json"
WHEELS, SOURCES = ROOT / "requirements.lock", ROOT / "requirements-source.lock"
PYTHONS = ("3.11", "3.12", "3.13")
EXTRAS = ("cluster", "dev")
BUILDERS = ("hatchling", "editables", "setuptools")
"""What builds this project and the packages without wheels."""
UNLOCKED = {
    "torch": "its builds for CPUs come from another index than PyPI, with other checksums",
}
"""Packages that ``constraints.txt`` alone holds, and why."""
SYSTEMS = ("any", "manylinux", "musllinux", "linux", "macosx")


def main() -> None:
    """Write the files, or check them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    if parser.parse_args().check:
        if faults := list(differences()):
            sys.exit("\n".join([*faults, "run: python tools/lock.py"]))
        return
    pins = constraints()
    with ThreadPoolExecutor(4) as pool:
        names = sorted(needed())
        found = dict(zip(names, pool.map(lambda n: checksums(n, pins[n]), names), strict=True))
    for path, source in ((WHEELS, False), (SOURCES, True)):
        entries = {n: files for n, files in found.items() if (wheels(files) == []) == source}
        path.write_text(text(entries, pins, source=source), encoding="utf-8")


def constraints() -> dict[str, str]:
    """The version of each package in ``constraints.txt``."""
    return _pins(ROOT / "constraints.txt")


def locked() -> dict[str, str]:
    """The version of each package in the lock files."""
    return _pins(WHEELS) | _pins(SOURCES)


def _pins(path: Path) -> dict[str, str]:
    found = re.findall(r"^([\w.-]+)==([^\s\\]+)", path.read_text(encoding="utf-8"), re.M)
    return {canonicalize_name(name): version for name, version in found}


def roots() -> list[Requirement]:
    """What ``pyproject.toml`` asks for, extras included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked, extras = list(project["dependencies"]), list(EXTRAS)
    while extras:
        for found in map(Requirement, project["optional-dependencies"][extras.pop()]):
            if found.name == project["name"]:
                extras += sorted(found.extras)
            else:
                asked.append(str(found))
    return [*map(Requirement, asked), *map(Requirement, BUILDERS)]


def needed() -> set[str]:
    """The packages that the environment needs on any Python and platform of ours.

    It follows what the installed packages say, so it is asked in an environment that is complete.
    Those that no constraint names are of other platforms, or belong to :data:`UNLOCKED`.
    """
    pins, done, open_ = constraints(), set[tuple[str, frozenset[str]]](), roots()
    while open_:
        requirement = open_.pop()
        name = canonicalize_name(requirement.name)
        key = (name, frozenset(requirement.extras))
        if key in done or name not in pins:
            continue
        done.add(key)
        for line in metadata.requires(name) or []:
            if _applies(needs := Requirement(line), {"", *requirement.extras}):
                open_.append(needs)
    return {name for name, _ in done} - UNLOCKED.keys()


def _applies(requirement: Requirement, extras: Iterable[str]) -> bool:
    """Whether it is needed on Linux or macOS by any of our Pythons, for any of the extras."""
    if requirement.marker is None:
        return True
    systems = ("linux", "Linux"), ("darwin", "Darwin")
    return any(
        requirement.marker.evaluate(
            {
                **default_environment(),
                "extra": extra,
                "python_version": python,
                "python_full_version": f"{python}.0",
                "sys_platform": system,
                "platform_system": name,
            }
        )
        for extra in extras
        for python in PYTHONS
        for system, name in systems
    )


def checksums(name: str, version: str) -> dict[str, str]:
    """SHA-256 of each file of the version that PyPI lists."""
    request = urllib.request.Request(f"{INDEX}{name}/", headers={"Accept": JSON})
    with urllib.request.urlopen(request, timeout=60) as answer:
        listed: list[dict[str, Any]] = json.load(answer)["files"]
    stem = re.compile(
        rf"{name.replace('-', '[-_.]+')}-{re.escape(version)}(-.*\.whl|\.tar\.gz|\.zip)", re.I
    )
    return {f["filename"]: f["hashes"]["sha256"] for f in listed if stem.fullmatch(f["filename"])}


def wheels(files: Iterable[str]) -> list[str]:
    """The wheels among them that one of our Pythons takes on Linux or macOS."""
    return sorted(name for name in files if any(map(_is_ours, _tags(name))))


def _tags(name: str) -> frozenset[Tag]:
    try:
        return parse_wheel_filename(name)[3]
    except InvalidWheelFilename:
        return frozenset()


def _is_ours(tag: Tag) -> bool:
    if not tag.platform.startswith(SYSTEMS):
        return False
    if tag.interpreter.startswith("py3") or tag.abi == "abi3":
        minor = tag.interpreter.removeprefix("py3").removeprefix("cp3")
        return int(minor or 0) <= 13
    return tag.interpreter in {f"cp{python.replace('.', '')}" for python in PYTHONS} and (
        tag.abi in (tag.interpreter, "none")
    )


def text(entries: dict[str, dict[str, str]], pins: dict[str, str], *, source: bool) -> str:
    """The content of a lock file."""
    what = "sources, which have to be built" if source else "wheels"
    lines = [
        "# Written by tools/lock.py from constraints.txt: packages with the checksums of their",
        f"# {what}. Not here: {', '.join(UNLOCKED)}, and tools/lock.py says why.",
    ]
    if not source:
        lines.append("--only-binary :all:")
    for name, files in sorted(entries.items()):
        kept = sorted(files) if source else wheels(files)
        lines.append(f"{name}=={pins[name]}")
        for checksum in sorted({files[file] for file in kept}):
            lines[-1] += " \\"
            lines.append(f"    --hash=sha256:{checksum}")
    return "\n".join(lines) + "\n"


def differences() -> Iterator[str]:
    """What the lock files lack, or have too much, in lines for people."""
    pins, found, wanted = constraints(), locked(), needed()
    for name in sorted(wanted - found.keys()):
        yield f"{name} is needed and in no lock file"
    for name in sorted(found.keys() - wanted):
        yield f"{name} is locked and not needed"
    for name in sorted(found.keys() & wanted):
        if found[name] != pins[name]:
            yield f"{name} is locked as {found[name]}, and constrained to {pins[name]}"


if __name__ == "__main__":
    main()
