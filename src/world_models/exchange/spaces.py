"""Observations and actions of other data sets as frames and action vectors."""

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from world_models.envs import catalogue
from world_models.envs.actions import Actions, Thresholds
from world_models.envs.frames import PARTS, SIZE
from world_models.envs.shrinker import Shrinker
from world_models.errors import InputError

Frames = NDArray[np.uint8]
Vectors = NDArray[np.float32]


def picture_key(space: spaces.Space[Any], key: str | None) -> tuple[str, ...]:
    """Where in an observation the pictures are: ``()`` if it is one, else the key.

    Args:
        space: of the observations.
        key: as it was asked for; None where there is one picture alone.

    Raises:
        InputError: there is no picture, or more than one.
    """
    if key is None and _is_picture(space):
        return ()
    below = space.spaces if isinstance(space, spaces.Dict) else {}
    pictures = [name for name, found in below.items() if _is_picture(found)]
    if key in pictures or (key is None and len(pictures) == 1):
        return (key or pictures[0],)
    known = ", ".join(pictures) or "none"
    raise InputError(
        f"Observations are {space}. Frames are RGB pictures, uint8 (height, width, 3); pictures by "
        f"key: {known}. Name one with --key."
    )


def _is_picture(space: spaces.Space[Any]) -> bool:
    shape = space.shape or ()
    return isinstance(space, spaces.Box) and space.dtype == np.uint8 and shape[2:] == (3,)


def to_frames(pictures: Frames, shape: tuple[int, ...]) -> Frames:
    """Pictures uint8 (T, height, width, 3) as frames (T, 64, 64, 3), resized by area.

    Args:
        pictures: to be resized.
        shape: that their space says.

    Raises:
        InputError: they are of another type or shape.
    """
    if pictures.dtype != np.uint8 or pictures.shape != shape or not pictures.size:
        found = f"{pictures.dtype} {pictures.shape}"
        raise InputError(f"Pictures should be uint8 {shape}, as their space says, not {found}.")
    height, width = shape[1:3]
    if (height, width) == (SIZE, SIZE):
        return np.ascontiguousarray(pictures)
    shrink = Shrinker(height, width, (0, PARTS * height))
    frames = np.empty((len(pictures), SIZE, SIZE, 3), np.uint8)
    for picture, frame in zip(pictures, frames, strict=True):
        shrink(np.ascontiguousarray(picture), frame)
    return frames


def action_reader(space: spaces.Space[Any], environment: str) -> Callable[[Any], Vectors]:
    """A function from an episode's actions to vectors, float32 (T, A).

    Numbered actions become what the environment's own numbered actions are, else one-hot.

    Args:
        space: of one action.
        environment: that the data are of; it need not be one of this project's.

    Raises:
        InputError: they are of another kind or size than the environment's.
    """
    known = environment in catalogue.names()
    actions = catalogue.specification(environment).actions if known else None
    table = _vectors(space, actions)
    if table is not None:
        first = int(getattr(space, "start", 0))
        return lambda taken: table[_numbers(taken, first, len(table))]
    shape = space.shape
    size = int(np.prod(shape or (1,)))
    if not isinstance(space, spaces.Box) or (actions is not None and size != actions.size):
        wanted = f"{environment} takes {actions}" if actions else "vectors or numbers are taken"
        raise InputError(f"Actions are {space}, but {wanted}: these data cannot be used here.")
    return lambda taken: _finite(taken, size)


def _numbers(taken: Any, first: int, n: int) -> NDArray[np.int64]:
    """Numbered actions, from 0: int64 (T,)."""
    found = np.asarray(taken)
    if found.dtype.kind not in "iu" or found.size != len(found):
        raise InputError(f"Numbered actions are integers (T,), not {found.dtype} {found.shape}.")
    numbers = found.reshape(-1).astype(np.int64) - first
    if ((numbers < 0) | (numbers >= n)).any():
        raise InputError(f"An action is not {first} to {first + n - 1}, as its space says.")
    return numbers


def _finite(taken: Any, size: int) -> Vectors:
    """Vectors float32 (T, A)."""
    found = np.asarray(taken, np.float32)
    if found.size != len(found) * size or not np.isfinite(found).all():
        raise InputError(f"Actions are {size} finite numbers a step; some are others.")
    return found.reshape(-1, size)


def _vectors(space: spaces.Space[Any], actions: Actions | None) -> Vectors | None:
    """Of numbered actions: the vector of each, float32 (n, A); None for others."""
    if not isinstance(space, spaces.Discrete):
        return None
    n = int(space.n)
    if getattr(actions, "n", n) != n:
        raise InputError(f"There are {n} actions in the data, but the environment has {actions}.")
    if isinstance(actions, Thresholds):
        edges = np.array([-1, *actions.cuts, 1], np.float32)
        middles: Vectors = (edges[1:] + edges[:-1]) * np.float32(0.5)
        return middles[:, None]
    return np.eye(n, dtype=np.float32)
