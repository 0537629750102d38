"""Reads the metrics that stages wrote."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from world_models.errors import InputError
from world_models.storage import guard


def read(path: Path) -> Mapping[str, Any]:
    """A stage's metrics; empty if it has none.

    Raises:
        InputError: they are damaged; :func:`readable` adds the cure.
    """
    return guard.json_of(path) if path.exists() else {}


@contextmanager
def readable(path: Path, stage: str) -> Iterator[None]:
    """Turn a fault in a metrics file into one line."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, InputError) as error:
        told = str(error).removeprefix(f"{path} cannot be read: ").rstrip(".")
        said = told if isinstance(error, InputError) else f"{type(error).__name__}: {told}"
        raise InputError(
            f"{path} holds no scores ({said}). Write it again with `dvc repro --force {stage}`."
        ) from error
