"""What a stranger's Minari data set may hold: looked at before Minari reads it.

Minari reads whole episodes, and believes their sizes; where spaces are missing it makes the
environment that the data name, which runs code of their choice.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from world_models.errors import InputError
from world_models.storage import guard
from world_models.storage.shards import EPISODES, LENGTH, UNREADABLE, member

METADATA, MAIN = "metadata.json", "main_data.hdf5"
_BYTES = 16 << 30  # of one array of an episode


def check(folder: Path) -> None:
    """See that a data set can be opened.

    Args:
        folder: ``data`` of a data set.

    Raises:
        InputError: its files are of another kind, or say what cannot be; the message names one.
        OSError: one is missing, or cannot be read.
    """
    path = folder / METADATA
    said = guard.json_of(path)
    count = said.get("total_episodes")
    if type(count) is not int or not 1 <= count <= EPISODES:
        raise InputError(f"{path} says total_episodes = {count!a:.80}: 1 to {EPISODES:,}.")
    for name in ("observation_space", "action_space"):
        if not isinstance(said.get(name), str):
            raise InputError(f"{path} does not say the {name.replace('_', ' ')} as text.")
    if said.get("data_format") == "hdf5":
        _check_arrays(folder / MAIN, count)


def _check_arrays(path: Path, count: int) -> None:
    guard.plain(path)
    try:
        with h5py.File(path, "r", locking=False) as file:
            if len(file) != count:
                raise ValueError(f"it has {len(file):,} episodes, {METADATA} says {count:,}")
            episodes: dict[str, dict[str, tuple[int, ...]]] = {}
            for name, shape in _arrays(file, set()):
                episode, _, below = name.partition("/")
                episodes.setdefault(episode, {})[below] = shape
            for number in range(count):
                _check_episode(episodes.get(f"episode_{number}", {}))
    except UNREADABLE as error:
        raise InputError(f"{path} is damaged ({guard.brief(error)}).") from error


def _check_episode(shapes: dict[str, tuple[int, ...]]) -> None:
    """See that an episode's arrays belong together.

    Args:
        shapes: by the array's name within the episode.

    Raises:
        ValueError: they do not.
    """
    steps = shapes.get("rewards", ())
    if len(steps) != 1 or not 1 <= steps[0] <= LENGTH:
        raise ValueError(f"rewards have the shape {steps}, and episodes 1 to {LENGTH:,} steps")
    for name, shape in shapes.items():
        kind = name.partition("/")[0]
        if kind in ("terminations", "truncations") and shape != steps:
            raise ValueError(f"{name} have the shape {shape}, and rewards {steps}")
        rows = steps[0] + (kind == "observations")
        if kind in ("actions", "observations") and shape[:1] != (rows,):
            raise ValueError(f"{name} have the shape {shape}, and should have {rows:,} rows")


def _arrays(group: Any, seen: set[int], above: str = "") -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of all arrays below a group.

    Args:
        group: of the file.
        seen: addresses of the groups before it; this one's are added.
        above: names of the groups that it lies in.

    Raises:
        ValueError: one lies in another file, within itself, or is too large to be read.
    """
    address = h5py.h5o.get_info(group.id).addr
    if not isinstance(group, h5py.Group) or address in seen:
        raise ValueError(f"{group.name} is no group of its own")
    seen.add(address)
    for key in group:
        name, found = f"{above}{key}", member(group, key)
        if isinstance(found, h5py.Group):
            yield from _arrays(found, seen, f"{name}/")
        elif found is None:
            raise ValueError(f"{name} is not in the file itself")
        elif math.prod(found.shape or ()) * found.dtype.itemsize > _BYTES:
            raise ValueError(f"{name} is too large to be read: {found.dtype} {found.shape}")
        else:
            yield name, tuple(found.shape or ())
