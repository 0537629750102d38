"""Minari itself, an optional package, and where it keeps its data sets."""

import os
import re
from importlib import import_module
from pathlib import Path
from typing import Any

from world_models.errors import ParameterError, UserError

NAME = re.compile(r"(?:[-\w]+/)*[-\w]+-v\d+")


def minari() -> Any:
    """The package.

    Raises:
        UserError: it is not installed.
    """
    try:
        return import_module("minari")
    except ImportError as error:
        raise UserError(
            f"Minari cannot be loaded ({error}). Install it with `pip install --constraint "
            "constraints.txt minari`."
        ) from error


def root(given: Path | None) -> Path:
    """The folder of all Minari data sets: ``given``, else where Minari itself looks."""
    default = Path.home() / ".minari" / "datasets"
    return given or Path(os.environ.get("MINARI_DATASETS_PATH", default))


def check_name(name: str) -> None:
    """Make sure that Minari takes the name.

    Raises:
        ParameterError: it does not.
    """
    if not NAME.fullmatch(name):
        raise ParameterError(
            f"{name!r} is no name of a Minari data set: give NAME-v0 or GROUP/NAME-v0, such as "
            "world-models/ENV-v0."
        )
