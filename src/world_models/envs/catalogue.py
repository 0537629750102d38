"""Finds environments by name: each is a folder here that holds ``specification.py``."""

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from world_models.envs.disturbance import NONE, Disturbance, DisturbedFrames
from world_models.envs.specification import Specification
from world_models.errors import ParameterError

FAST, GENUINE = "fast", "genuine"
"""Renderers that every environment has: its fastest, and what people use and evaluation sees."""

Simulator = gymnasium.Env[NDArray[np.uint8], NDArray[np.float32]]


@cache
def names() -> tuple[str, ...]:
    """Names of all environments, sorted."""
    folders = Path(__file__).parent.glob("*/specification.py")
    return tuple(sorted(path.parent.name for path in folders))


def specification(environment: str) -> Specification:
    """What there is to know of an environment; nothing heavy is loaded.

    Raises:
        ParameterError: there is no such environment.
    """
    if environment not in names():
        raise ParameterError(
            f"There is no environment {environment!r}. Known: {', '.join(names())}. An environment "
            "is a folder src/world_models/envs/<name> with a specification.py."
        )
    # By name: a stage that works on one environment depends on that one's code alone.
    found: Specification = import_module(
        f"world_models.envs.{environment}.specification"
    ).SPECIFICATION
    return found


def create(
    environment: str,
    renderer: str,
    render_mode: str | None = None,
    disturbance: Disturbance = NONE,
) -> Simulator:
    """Start one simulator, which gives frames uint8 (64, 64, 3).

    Args:
        environment: one of :func:`names`.
        renderer: ``fast``, ``genuine``, or a name of the simulator's own.
        render_mode: None, or ``rgb_array`` for large pictures by ``render()``.
        disturbance: what is changed in it.

    Raises:
        ParameterError: an unknown environment, renderer, mode or disturbance.
        EnvironmentMissingError: the simulator cannot start on this machine.
    """
    spec = specification(environment)
    known = {FAST: spec.renderers[0], GENUINE: spec.renderers[-1]}
    spec.check_disturbance(disturbance)
    own = disturbance.kind in spec.disturbances
    further: dict[str, Any] = {"environment": environment} if spec.wraps else {}
    if own:
        further["disturbance"] = disturbance
    module, _, name = spec.entry_point.partition(":")
    build: Any = getattr(import_module(module), name)
    simulator: Simulator = build(
        **further, renderer=known.get(renderer, renderer), render_mode=render_mode
    )
    return simulator if own or disturbance == NONE else DisturbedFrames(simulator, disturbance)
