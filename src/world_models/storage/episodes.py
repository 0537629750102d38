"""A data set of episodes: shards beside a Parquet index; written and read in bounded memory."""

import io
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from world_models.errors import InputError
from world_models.storage import atomic, guard
from world_models.storage.shards import (
    CHUNK,
    EPISODES,
    LENGTH,
    UNREADABLE,
    Episode,
    ShardInfo,
    encode_shard,
    shard_info,
)
from world_models.storage.shards import (
    check as check_shard,
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
_TEXT = (pa.string(), pa.large_string())
_COLUMNS = {
    **dict.fromkeys(("episode", "seed", "length", "offset"), (pa.int64(),)),
    "return": (pa.float64(),),
    "ended": _TEXT,
    "shard": _TEXT,
}


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
            self.index = _frame(_table(guard.read_bytes(folder / INDEX, guard.LIMITS[".parquet"])))
            _check(self.index)
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            raise InputError(_unreadable(folder / INDEX, error)) from error
        self.lengths: NDArray[np.int64] = self.index["length"].to_numpy(np.int64)
        self._offsets: list[int] = self.index["offset"].tolist()
        self._shards: list[str] = self.index["shard"].tolist()
        for name in dict.fromkeys(self._shards):
            guard.inside(folder, name, INDEX)
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
        name, rank = self._shards[episode], self._rank[episode]
        with self._reading(name) as file:
            found = Episode(
                seed=int(file["seeds"][rank]),
                frames=file["frames"][span],
                actions=file["actions"][span],
                rewards=file["rewards"][span],
                terminated=bool(file["terminated"][rank]),
                truncated=bool(file["truncated"][rank]),
            )
            if not np.isfinite(found.actions).all() or not np.isfinite(found.rewards).all():
                raise ValueError(f"episode {episode} has actions or rewards that are not finite")
            if found.seed != self.index["seed"].iloc[episode]:
                raise ValueError(f"episode {episode} has another seed than in the index")
        return found

    def frames(self, episode: int, start: int, stop: int) -> NDArray[np.uint8]:
        """Frames ``start`` to ``stop`` of an episode, uint8 (stop - start,64,64,3)."""
        span = self._span(episode, start, stop)
        with self._reading(self._shards[episode]) as file:
            frames: NDArray[np.uint8] = file["frames"][span]
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

    @contextmanager
    def _reading(self, name: str) -> Iterator[h5py.File]:
        """A shard, whose damage is told with its name."""
        file = self._shard(name)
        try:
            yield file
        except UNREADABLE as error:
            raise InputError(_unreadable(self._folder / name, error)) from error

    def _shard(self, name: str) -> h5py.File:
        if self._process != os.getpid():  # forked: the parent's handles are not ours
            self._open()
        with self._lock:
            if name not in self._files:
                self._files[name] = self._opened(name)
            return self._files[name]

    def _opened(self, name: str) -> h5py.File:
        path = self._folder / name
        try:
            guard.plain(path)
            # No locks: shards never change, and network file systems may know none.
            file = h5py.File(path, "r", locking=False)
            try:
                check_shard(file, self.lengths[(self.index["shard"] == name).to_numpy()])
            except BaseException:
                file.close()
                raise
        except UNREADABLE as error:
            raise InputError(_unreadable(path, error)) from error
        return file


def _table(content: bytes) -> pa.Table:
    """An index's table, if it has the columns of one, and not too many rows for memory."""
    # As numbers of texts: a million rows of one long text stay small.
    file = parquet.ParquetFile(pa.BufferReader(content), read_dictionary=["ended", "shard"])
    rows, schema = file.metadata.num_rows, file.schema_arrow
    if not 1 <= rows <= EPISODES:
        raise ValueError(f"it has {rows:,} rows, and an index has 1 to {EPISODES:,}")
    for name, dtype in _COLUMNS.items():
        found = schema.field(name).type if name in schema.names else "absent"
        if getattr(found, "value_type", found) not in dtype:
            raise ValueError(f"its column {name} is {found}, and should be {dtype[0]}")
    if len(schema.names) != len(_COLUMNS):
        raise ValueError(f"its columns are {', '.join(schema.names)[:80]!a}")
    table = file.read()
    for name in _COLUMNS:
        if table[name].null_count:
            raise ValueError(f"its column {name} lacks values")
    return table


def _check(index: pd.DataFrame) -> None:
    """See that the rows of an index are episodes, one after the other in their shards.

    Raises:
        ValueError: they are not.
    """
    lengths = index["length"]
    if (lengths < 1).any() or (lengths > LENGTH).any():
        raise ValueError(f"a length is not 1 to {LENGTH:,}")
    if (index["offset"] != lengths.groupby(index["shard"]).cumsum() - lengths).any():
        raise ValueError("an offset is not the sum of the lengths before it in its shard")
    if not np.isfinite(index["return"]).all():
        raise ValueError("a return is not finite")
    if not index["ended"].isin(("terminated", "truncated", "stopped")).all():
        raise ValueError("an episode ended neither terminated, truncated nor stopped")
    if (index["episode"] != np.arange(len(index))).any():
        raise ValueError("its episodes are not numbered from 0")


def _unreadable(path: Path, error: Exception) -> str:
    said = guard.brief(error)
    return f"{path} cannot be read ({said}). Bring it back with `dvc checkout {path.parent}`."
