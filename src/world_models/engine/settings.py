"""Execution settings of the engine: from the environment, tracked nowhere, changing no bit."""

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TypeVar

from world_models.engine import cores
from world_models.engine.api import Engine
from world_models.engine.cluster import ClusterEngine
from world_models.engine.processes import ProcessEngine
from world_models.errors import UserError

TIMEOUT = 3600.0
"""Seconds; some ten times what the slowest unit takes on the slowest machine we know."""
N = TypeVar("N", int, float)


@dataclass(frozen=True)
class EngineSettings:
    """Where units are worked on.

    Attributes:
        workers: processes on this machine (without effect on a cluster).
        scheduler: address of a Dask scheduler, such as ``tcp://10.0.0.1:8786``; None for
            processes on this machine.
        timeout: seconds after which a unit counts as hanging.
    """

    workers: int
    scheduler: str | None
    timeout: float

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "EngineSettings":
        """Read ``WORLD_MODELS_WORKERS`` (default: the cores that this process may use),
        ``WORLD_MODELS_SCHEDULER`` (none) and ``WORLD_MODELS_TIMEOUT`` (3600 s).

        Raises:
            UserError: a value is no positive number.
        """  # noqa: D205
        return cls(
            workers=_positive(environment, "WORLD_MODELS_WORKERS", int, cores.usable()),
            scheduler=environment.get("WORLD_MODELS_SCHEDULER") or None,
            timeout=_positive(environment, "WORLD_MODELS_TIMEOUT", float, TIMEOUT),
        )


def _positive(environment: Mapping[str, str], key: str, kind: Callable[[str], N], default: N) -> N:
    text = environment.get(key)
    if not text:
        return default
    try:
        value = kind(text)
    except ValueError:
        value = kind("0")
    if not 0 < value < float("inf"):
        raise UserError(f"{key} = {text!r}: give a number above 0, or unset it for {default:g}.")
    return value


def open_engine(settings: EngineSettings) -> AbstractContextManager[Engine]:
    """The engine that the settings ask for; workers live, with their states, to the block's end.

    Raises:
        UserError: no scheduler answers, or none of its workers is of this machine's kind.
    """
    if settings.scheduler is None:
        return ProcessEngine(settings.workers, settings.timeout)
    return ClusterEngine(settings.scheduler, settings.timeout)
