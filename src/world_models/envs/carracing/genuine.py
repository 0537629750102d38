"""Gymnasium's own CarRacing, imported quietly, or an error that says how to install it."""

import os
import warnings

import gymnasium

from world_models.errors import EnvironmentMissingError

# pygame's greeting would end up in every worker's output. No video driver is chosen: pictures are
# drawn on surfaces in memory, and a window that somebody else opens in this process stays his.
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
try:
    with warnings.catch_warnings():
        # Box2D's SWIG types warn as they are made; as an error that would end the process.
        warnings.simplefilter("ignore")
        from Box2D import b2
        from gymnasium.envs.box2d import car_dynamics, car_racing
except (ImportError, gymnasium.error.DependencyNotInstalled) as error:
    raise EnvironmentMissingError(
        f"CarRacing cannot start: {error}. It needs Box2D and pygame; "
        'install them with: pip install swig "gymnasium[box2d]"'
    ) from error

__all__ = ["b2", "car_dynamics", "car_racing"]
