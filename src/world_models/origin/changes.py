"""In what a stage, as it ran last, differs from a commit or from the working folder's files."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from world_models.origin import git
from world_models.origin.lock import Entry, Lock, parse_yaml

MISSING = object()
SHOWN = 4


def from_commit(entry: Entry, lock: Lock, revision: str) -> list[str]:
    """In what a stage's parameters and code are not a commit's, in words; empty if in nothing.

    Args:
        entry: the stage.
        lock: where it stands: what another stage made is not asked for in the commit.
        revision: the commit.
    """
    parameters = of_parameters(entry, lambda path: git.show(revision, path))
    other = of_code(entry, lock, lambda path: git.md5(revision, path))
    return [*parameters, *(f"{path}: other content" for path in other)]


def of_code(entry: Entry, lock: Lock, digest: Callable[[str], str | None]) -> list[str]:
    """Which files or folders of a stage's code have another digest than when it ran."""
    code = (path for path in entry.deps if lock.maker(path) is None)
    return [path for path in code if digest(path) != entry.deps[path]]


def of_parameters(entry: Entry, read: Callable[[str], str | None]) -> Iterator[str]:
    """Which of a stage's parameters have other values in their files, in words.

    Args:
        entry: the stage.
        read: gives a file's text by its path from the root; None if there is none.
    """
    for path, values in entry.parameters.items():
        known = _load(read(path))
        for key, value in values.items():
            for name, used, there in _differences(key, value, _at(known, key)):
                stands = "not there" if there is MISSING else f"{there!r}"
                yield f"{name} = {used!r} ({stands} in {path})"


def since_scored(lock: Lock, environment: str, read: Callable[[str], str | None]) -> list[str]:
    """Which parameters of the stages that led to an environment's score have other values now.

    Args:
        lock: what it says was run.
        environment: whose score it is.
        read: as in :func:`of_parameters`.
    """
    return [change for entry in lock.scored(environment) for change in of_parameters(entry, read)]


def in_words(changes: Sequence[str]) -> str:
    """The first few of changes, and how many more there are."""
    more = len(changes) - SHOWN
    return f"{', '.join(changes[:SHOWN])}{f' and {more} more' if more > 0 else ''}"


def _differences(name: str, used: Any, there: Any) -> Iterator[tuple[str, Any, Any]]:
    """The leaves that differ: name, value that was used, value that is there."""
    if isinstance(used, Mapping) and isinstance(there, Mapping):
        for key in {**used, **there}:
            inner = used.get(key, MISSING), there.get(key, MISSING)
            yield from _differences(f"{name}.{key}", *inner)
    elif used != there:
        yield name, "nothing" if used is MISSING else used, there


def _at(content: Any, key: str) -> Any:
    for part in key.split("."):
        if not isinstance(content, Mapping) or part not in content:
            return MISSING
        content = content[part]
    return content


def _load(text: str | None) -> Any:
    try:
        return parse_yaml(text) if text else {}
    except ValueError:
        return {}
