"""The simulators by name; each lies in a folder of its own and is loaded only when asked for."""

from importlib import import_module
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from world_models.errors import ParameterError

ENVIRONMENTS = ("carracing", "takecover")
GENUINE = "genuine"
"""A renderer's name in every environment: what people use, and what evaluation sees."""

Simulator = gymnasium.Env[NDArray[np.uint8], NDArray[np.float32]]


def create(environment: str, renderer: str, render_mode: str | None = None) -> Simulator:
    """Start one simulator, which gives frames uint8 (64, 64, 3).

    Args:
        environment: one of ``ENVIRONMENTS``.
        renderer: ``fast``, ``genuine``, or a name of the simulator's own.
        render_mode: None, or ``rgb_array`` for large pictures by ``render()``.

    Raises:
        ParameterError: an unknown environment, renderer or mode.
        EnvironmentMissingError: the simulator cannot start on this machine.
    """
    module = _module(environment)
    name = module.RENDERERS[-1] if renderer == GENUINE else renderer
    simulator: Simulator = module.create(name, render_mode)
    return simulator


def cap(environment: str) -> int:
    """Steps after which an episode is truncated."""
    steps: int = _module(environment).CAP
    return steps


def _module(environment: str) -> Any:
    if environment not in ENVIRONMENTS:
        known = ", ".join(ENVIRONMENTS)
        raise ParameterError(f"There is no environment {environment!r}. Known: {known}.")
    # By name: a stage that works on one environment depends on that one's code alone.
    return import_module(f"world_models.envs.{environment}.simulator")
