"""A data set of episodes: shards beside a Parquet index; written and read in bounded memory."""

import io
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from world_models.errors import InputError
from world_models.storage import atomic
from world_models.storage.shards import (
    CHUNK,
    Episode,
    ShardInfo,
    encode_shard,
    shard_info,
)

__all__ = [
    "CHUNK",
    "Episode",
    "EpisodeReader",
    "Piece",
    "ShardInfo",
    "assemble",
    "encode_shard",
    "shard_info",
    "shard_name",
]

INDEX = "index.parquet"


def shard_name(number: int) -> str:
    """File name of a shard: ``shard-00042.h5``."""
    return f"shard-{number:05}.h5"


def assemble(folder: Path, shards: Sequence[ShardInfo]) -> pd.DataFrame:
    """Write the index of shards that lie in ``folder``, in the order given.

    Columns: episode, seed, length (steps), return, ended (``terminated``, ``truncated``, or
    ``stopped`` for neither), shard (file name), offset (of its first frame in the shard).
    """
    assert shards, "a data set holds an episode at least"
    columns = [_rows(info) for info in shards]
    names = columns[0].keys()
    merged = {name: np.concatenate([rows[name] for rows in columns]) for name in names}
    # From arrays, not through pandas: its metadata would put library versions into the bytes.
    table = pa.table({"episode": np.arange(len(merged["seed"])), **merged})
    buffer = io.BytesIO()
    parquet.write_table(table, buffer, compression="zstd")
    atomic.write(folder / INDEX, buffer.getvalue())
    return _frame(table)


def _rows(info: ShardInfo) -> dict[str, NDArray[Any]]:
    ended = np.where(info.truncated, "truncated", "stopped")
    return {
        "seed": info.seeds,
        "length": info.lengths,
        "return": info.returns,
        "ended": np.where(info.terminated, "terminated", ended).astype(object),
        "shard": np.full(len(info.seeds), info.name, object),
        "offset": np.cumsum(info.lengths) - info.lengths,
    }


def _frame(table: pa.Table) -> pd.DataFrame:
    # By lists: neither pandas' nor Arrow's notion of a string column leaks to the callers.
    return pd.DataFrame({name: table[name].to_pylist() for name in table.column_names})


class Piece(NamedTuple):
    """Steps ``start`` to ``stop`` of an episode, all in one compressed chunk."""

    episode: int
    start: int
    stop: int


class EpisodeReader:
    """Random access to a data set by episode and step.

    Shards open when first needed and stay open; the reader can be pickled, forked, and shared
    by threads.

    Attributes:
        index: one row an episode, as :func:`assemble` describes.
        lengths: steps, int64 (E,).

    Raises:
        InputError: the index or a shard is missing or unreadable.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            self.index = _frame(parquet.read_table(folder / INDEX))
            self.lengths: NDArray[np.int64] = self.index["length"].to_numpy(np.int64)
            self._offsets: list[int] = self.index["offset"].tolist()
            self._shards: list[str] = self.index["shard"].tolist()
        except (OSError, KeyError, pa.ArrowException) as error:
            raise InputError(_unreadable(folder / INDEX, error)) from error
        self._rank = self.index.groupby("shard").cumcount().to_numpy()
        self._open()

    def _open(self) -> None:
        self._files: dict[str, h5py.File] = {}
        self._process, self._lock = os.getpid(), threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return EpisodeReader, (self._folder,)

    def __enter__(self) -> "EpisodeReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def frames_total(self) -> int:
        """Frames in the data set."""
        return int(self.lengths.sum())

    @property
    def action_size(self) -> int:
        """Numbers in an action."""
        return int(self._shard(self._shards[0])["actions"].shape[1])

    def shard(self, episode: int) -> str:
        """File name of the shard that holds an episode; names ascend with the episodes."""
        return self._shards[episode]

    def close(self) -> None:
        """Close the shards; they open again when needed."""
        with self._lock:
            for file in self._files.values():
                file.close()
            self._files.clear()

    def episode(self, episode: int) -> Episode:
        """A whole episode."""
        span = self._span(episode, 0, int(self.lengths[episode]))
        file, rank = self._shard(self._shards[episode]), self._rank[episode]
        return Episode(
            seed=int(file["seeds"][rank]),
            frames=file["frames"][span],
            actions=file["actions"][span],
            rewards=file["rewards"][span],
            terminated=bool(file["terminated"][rank]),
            truncated=bool(file["truncated"][rank]),
        )

    def frames(self, episode: int, start: int, stop: int) -> NDArray[np.uint8]:
        """Frames ``start`` to ``stop`` of an episode, uint8 (stop - start,64,64,3)."""
        span = self._span(episode, start, stop)
        frames: NDArray[np.uint8] = self._shard(self._shards[episode])["frames"][span]
        return frames

    def spread(self, episodes: Sequence[int], count: int) -> NDArray[np.uint8]:
        """Up to ``count`` frames, evenly spread over all steps of ``episodes``, (n,64,64,3)."""
        lengths = self.lengths[list(episodes)]
        ends = np.cumsum(lengths)
        total = int(ends[-1])
        steps = np.linspace(0, total - 1, min(count, total)).astype(np.int64)
        rows = np.searchsorted(ends, steps, side="right")
        starts = (steps - (ends - lengths)[rows]).tolist()
        found = [self.frames(episodes[e], t, t + 1) for e, t in zip(rows, starts, strict=True)]
        return np.concatenate(found)

    def chunks(self, episodes: Iterable[int] | None = None) -> list[Piece]:
        """All steps of the episodes (default: all), cut where the compressed chunks end.

        In random order, this is the cheapest random access: each chunk is decompressed once.
        """
        pieces = []
        for episode in range(len(self)) if episodes is None else episodes:
            length, start = int(self.lengths[episode]), 0
            while start < length:
                into = (self._offsets[episode] + start) % CHUNK
                stop = min(start + CHUNK - into, length)
                pieces.append(Piece(episode, start, stop))
                start = stop
        return pieces

    def stream(self, pieces: Iterable[Piece]) -> Iterator[tuple[Piece, NDArray[np.uint8]]]:
        """Read piece after piece: memory does not grow with the data set."""
        for piece in pieces:
            yield piece, self.frames(*piece)

    def _span(self, episode: int, start: int, stop: int) -> slice:
        assert 0 <= start <= stop <= self.lengths[episode], (episode, start, stop)
        offset = self._offsets[episode]
        return slice(offset + start, offset + stop)

    def _shard(self, name: str) -> h5py.File:
        if self._process != os.getpid():  # forked: the parent's handles are not ours
            self._open()
        with self._lock:
            if name not in self._files:
                try:
                    # No locks: shards never change, and network file systems may know none.
                    self._files[name] = h5py.File(self._folder / name, "r", locking=False)
                except OSError as error:
                    raise InputError(_unreadable(self._folder / name, error)) from error
            return self._files[name]


def _unreadable(path: Path, error: Exception) -> str:
    return f"{path} cannot be read ({error}). Bring it back with `dvc checkout {path.parent}`."
