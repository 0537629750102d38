"""Reads the metrics that stages wrote."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from world_models.errors import InputError


def read(path: Path) -> Mapping[str, Any]:
    """A stage's metrics; empty if it has none."""
    if not path.exists():
        return {}
    found: Mapping[str, Any] = dict(json.loads(path.read_text(encoding="utf-8")))
    return found


@contextmanager
def readable(path: Path, stage: str) -> Iterator[None]:
    """Turn a fault in a metrics file into one line."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} holds no scores ({type(error).__name__}: {error}). Write it again with "
            f"`dvc repro --force {stage}`."
        ) from error
