"""One shard: whole episodes in one HDF5 file, frames compressed with zstd.

Layout: ``frames`` uint8 (N,64,64,3) in chunks of 50, ``actions`` float32 (N,A), ``rewards``
float32 (N,), episode after episode; ``seeds``, ``lengths`` int64 (E,), ``terminated``,
``truncated`` bool (E,). No time stamps: equal episodes give equal bytes.
"""

import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray

from world_models.errors import InputError

CHUNK = 50
"""Frames compressed together: what one random access has to read."""
LENGTH = 100_000
"""Steps of an episode at most: its frames, which are read as one, are 1.2 GB."""
EPISODES = 1_000_000
"""Of a data set at most, whose index is in memory."""
_WIDTH = 4096  # numbers in an action at most
_ROWS = 20 * CHUNK  # of actions and rewards compressed together
_ZSTD = 32015  # the filter's number among HDF5's
LEVEL = 3
"""Of zstd. Measured on CarRacing, one core: 1/14 of the raw size, 29,000 frames/s written and
53,000 read; level 2 is 1/13, level 5 is 1/15 at a quarter of the speed; shuffling gains nothing.
"""
FRAME = (64, 64, 3)
_BLOCK = 1 << 24  # bytes by which the image in memory grows


@dataclass(frozen=True, eq=False)
class Episode:
    """One episode; ``frames[t]`` is what the agent sees when it takes ``actions[t]``.

    The final observation is not stored.

    Attributes:
        seed: that the simulator was reset with.
        frames: uint8 (T,64,64,3), 0–255.
        actions: float32 (T,A).
        rewards: float32 (T,), for the step that follows.
        terminated: the episode ended by itself (death, lap).
        truncated: it was cut at the cap.
    """

    seed: int
    frames: NDArray[np.uint8]
    actions: NDArray[np.float32]
    rewards: NDArray[np.float32]
    terminated: bool
    truncated: bool

    def __post_init__(self) -> None:
        length = len(self.frames)
        assert length > 0, "an episode has a step at least"
        assert self.frames.dtype == np.uint8, self.frames.dtype
        assert self.frames.shape[1:] == FRAME, self.frames.shape
        assert self.actions.dtype == np.float32, self.actions.dtype
        assert self.actions.ndim == 2, self.actions.shape
        assert self.rewards.dtype == np.float32, self.rewards.dtype
        assert len(self.actions) == length, (len(self.actions), length)
        assert self.rewards.shape == (length,), self.rewards.shape

    def __len__(self) -> int:
        return len(self.frames)


@dataclass(frozen=True, eq=False)
class ShardInfo:
    """What the index needs to know of a shard.

    Attributes:
        name: of the file.
        seeds: int64 (E,).
        lengths: steps, int64 (E,).
        returns: undiscounted, float64 (E,).
        terminated: bool (E,).
        truncated: bool (E,).
    """

    name: str
    seeds: NDArray[np.int64]
    lengths: NDArray[np.int64]
    returns: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]

    @property
    def frames(self) -> int:
        """Frames in the shard."""
        return int(self.lengths.sum())


def encode_shard(episodes: Iterable[Episode]) -> bytes:
    """Compress episodes to a shard's bytes: pure, so a worker can do it and send 1/14.

    Takes one episode at a time; no more than their compressed bytes are held in memory.
    """
    # In memory: a full disk is then met by plain writes, not in the midst of HDF5.
    with h5py.File(
        "shard.h5", "w", driver="core", backing_store=False, block_size=_BLOCK, libver="v110"
    ) as file:
        ends = [_append(file, episode) for episode in episodes]
        assert ends, "a shard holds an episode at least"
        seeds, lengths, terminated, truncated = zip(*ends, strict=True)
        file["seeds"] = np.array(seeds, np.int64)
        file["lengths"] = np.array(lengths, np.int64)
        file["terminated"] = np.array(terminated, np.bool_)
        file["truncated"] = np.array(truncated, np.bool_)
        file.flush()
        image: bytes = file.id.get_file_image()
    return image


def _append(file: h5py.File, episode: Episode) -> tuple[int, int, bool, bool]:
    """Append an episode's steps; returns its seed, length, and how it ended."""
    if "frames" not in file:
        _create(file, episode.actions.shape[1])
    start = len(file["frames"])
    for name in ("frames", "actions", "rewards"):
        file[name].resize(start + len(episode), axis=0)
        file[name][start:] = getattr(episode, name)
    return episode.seed, len(episode), episode.terminated, episode.truncated


def _create(file: h5py.File, action_size: int) -> None:
    zstd = hdf5plugin.Zstd(clevel=LEVEL)
    for name, shape, dtype, chunk in (
        ("frames", FRAME, "u1", CHUNK),
        ("actions", (action_size,), "f4", _ROWS),
        ("rewards", (), "f4", _ROWS),
    ):
        file.create_dataset(
            name,
            shape=(0, *shape),
            maxshape=(None, *shape),
            chunks=(chunk, *shape),
            dtype=dtype,
            compression=zstd,
        )


def shard_info(name: str, data: bytes) -> ShardInfo:
    """What the index needs to know of the shard ``data``, to be stored under ``name``.

    Raises:
        InputError: ``data`` is no shard.
    """
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            check(file)
            return _info(name, file)
    except UNREADABLE as error:
        raise InputError(f"{name} is no shard of episodes ({error}).") from error


UNREADABLE = (OSError, KeyError, ValueError, TypeError, RuntimeError)
"""What h5py raises where a file does not hold what it should."""


def check(file: h5py.File, lengths: NDArray[np.int64] | None = None) -> None:
    """See that a file is a shard as this module writes it, before it is read.

    Args:
        file: a shard of anyone.
        lengths: what the index says, int64 (E,); None without an index.

    Raises:
        ValueError: it is not; the message says how.
    """
    episodes = _dataset(file, "lengths", np.int64, ())
    if lengths is not None and episodes.shape != lengths.shape:
        raise ValueError(f"the index has {len(lengths)} of its {len(episodes)} episodes")
    if len(episodes) > EPISODES:
        raise ValueError(f"it has {len(episodes):,} episodes, and a shard has {EPISODES:,} at most")
    for name, dtype in (("seeds", np.int64), ("terminated", np.bool_), ("truncated", np.bool_)):
        _same("lengths", episodes, name, _dataset(file, name, dtype, ()))
    found = episodes[:]
    if not len(found) or found.min() < 1 or found.max() > LENGTH:
        raise ValueError(f"an episode has 1 to {LENGTH:,} steps, these have others")
    if lengths is not None and (found != lengths).any():
        raise ValueError("its lengths are not those of the index")
    rewards = _dataset(file, "rewards", np.float32, ())
    if len(rewards) != found.sum():
        raise ValueError(f"its episodes have {found.sum():,} steps, it holds {len(rewards):,}")
    actions = _dataset(file, "actions", np.float32, (None,))
    _same("rewards", rewards, "actions", actions)
    _same("rewards", rewards, "frames", _dataset(file, "frames", np.uint8, FRAME))
    if not 1 <= actions.shape[1] <= _WIDTH:
        raise ValueError(f"an action has 1 to {_WIDTH:,} numbers, these have {actions.shape[1]:,}")


def _same(name: str, one: h5py.Dataset, other_name: str, other: h5py.Dataset) -> None:
    if len(one) != len(other):
        raise ValueError(f"it has {len(one):,} {name}, but {len(other):,} {other_name}")


def member(group: Any, name: str) -> Any:
    """The array or group that a group of an HDF5 file holds by a name, if in the file itself.

    A link may name another file, and so may an array: no stranger's file opens a third one. None
    then, and for whatever is neither.
    """
    found = group[name] if isinstance(group.get(name, getlink=True), h5py.HardLink) else None
    own = isinstance(found, h5py.Dataset) and not (found.is_virtual or found.external)
    return found if own or isinstance(found, h5py.Group) else None


def _dataset(file: h5py.File, name: str, dtype: Any, tail: tuple[int | None, ...]) -> h5py.Dataset:
    """One of a shard's arrays, (rows, *tail), if it lies in the file itself."""
    found = member(file, name)
    if found is None or isinstance(found, h5py.Group):
        raise ValueError(f"{name} is no array in the file itself")
    sizes = zip(tail, found.shape[1:], strict=False)
    fits = found.ndim == 1 + len(tail) and all(size in (None, own) for size, own in sizes)
    if found.dtype != dtype or not fits:
        raise ValueError(f"{name} is {found.dtype} {found.shape}")
    filters = found.id.get_create_plist()
    if any(filters.get_filter(n)[0] != _ZSTD for n in range(filters.get_nfilters())):
        raise ValueError(f"{name} is compressed in another way than by zstd")
    rows, *width = found.chunks or (0,)
    most = CHUNK if name == "frames" else _ROWS
    if rows > most or math.prod(width) > math.prod(found.shape[1:]):
        raise ValueError(f"{name} is compressed in chunks of {found.chunks}")
    return found


def _info(name: str, file: h5py.File) -> ShardInfo:
    lengths = file["lengths"][:]
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    rewards = file["rewards"][:].astype(np.float64)
    return ShardInfo(
        name=name,
        seeds=file["seeds"][:],
        lengths=lengths,
        returns=np.add.reduceat(rewards, starts),
        terminated=file["terminated"][:],
        truncated=file["truncated"][:],
    )
