"""The encoded data set: a safetensors file for each shard of the rollouts, read as one block.

A file holds ``mu``, ``logvar``, ``actions`` and ``rewards``, float32, of all steps of its episodes,
one episode after another, and for each episode ``lengths``, ``seeds``, int64, and ``terminated``,
``truncated``, bool. Rollouts that only gain shards thus give latents that only gain files.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from world_models.errors import InputError
from world_models.storage import tensors
from world_models.storage.card_schema import CARD
from world_models.storage.guard import inside
from world_models.storage.tensors import Kind

_STEPS = {
    "mu": Kind(np.float32, ("N", "Z")),
    "logvar": Kind(np.float32, ("N", "Z")),
    "actions": Kind(np.float32, ("N", "A")),
    "rewards": Kind(np.float32, ("N",)),
}
_EPISODES = {
    "lengths": Kind(np.int64, ("E",)),
    "seeds": Kind(np.int64, ("E",)),
    "terminated": Kind(np.bool_, ("E",)),
    "truncated": Kind(np.bool_, ("E",)),
}
_KINDS = _STEPS | _EPISODES
_SUFFIX = ".safetensors"


@dataclass(frozen=True, eq=False)
class Latents:
    """E episodes with N steps together; episode e is steps ``offsets[e]`` to ``offsets[e+1]``.

    Attributes:
        mu: float32 (N,Z).
        logvar: float32 (N,Z).
        actions: float32 (N,A).
        rewards: float32 (N,).
        offsets: int64 (E+1,), from 0 to N.
        terminated: bool (E,).
        truncated: bool (E,).
        seeds: int64 (E,).
    """

    mu: NDArray[np.float32]
    logvar: NDArray[np.float32]
    actions: NDArray[np.float32]
    rewards: NDArray[np.float32]
    offsets: NDArray[np.int64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    seeds: NDArray[np.int64]

    @property
    def episodes(self) -> int:
        """E."""
        return len(self.seeds)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Steps of each episode, int64 (E,)."""
        return np.diff(self.offsets)

    @property
    def z_size(self) -> int:
        """Z."""
        return int(self.mu.shape[1])

    @property
    def action_size(self) -> int:
        """A."""
        return int(self.actions.shape[1])

    def span(self, episode: int) -> slice:
        """The steps of an episode."""
        return slice(int(self.offsets[episode]), int(self.offsets[episode + 1]))


class LatentsWriter:
    """Writes encoded episodes one after another; a context manager that finishes the last file.

    Args:
        folder: an existing, empty folder (such as an artifact's draft).
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._shard = folder, ""
        self._parts: dict[str, list[NDArray[Any]]] = {}

    def __enter__(self) -> "LatentsWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        if kind is None:
            self._write()

    def add(
        self,
        shard: str,
        *,
        mu: NDArray[np.float32],
        logvar: NDArray[np.float32],
        actions: NDArray[np.float32],
        rewards: NDArray[np.float32],
        seed: int,
        terminated: bool,
        truncated: bool,
    ) -> None:
        """Append an episode of T steps: (T,Z), (T,Z), (T,A), (T,), all float32.

        Args:
            shard: the file of the rollouts that it is of; a new name ends a file. In their order.
            mu: of q(z).
            logvar: of q(z).
            actions: what was done.
            rewards: for the step that follows.
            seed: of the episode.
            terminated: it ended by itself.
            truncated: it was cut.

        Raises:
            UserError: the disk is full.
        """
        if shard != self._shard:
            assert shard > self._shard, (shard, self._shard)
            self._write()
            self._shard = shard
        ends = {"lengths": len(mu), "seeds": seed, "terminated": terminated, "truncated": truncated}
        steps = {"mu": mu, "logvar": logvar, "actions": actions, "rewards": rewards}
        for name, rows in steps.items():
            assert len(rows) == len(mu), (name, rows.shape)
            assert rows.dtype == np.float32, (name, rows.dtype)
        own = {name: np.array([value], _KINDS[name].dtype) for name, value in ends.items()}
        for name, array in (steps | own).items():
            self._parts.setdefault(name, []).append(array)

    def _write(self) -> None:
        if self._parts:
            arrays = {name: np.concatenate(parts) for name, parts in self._parts.items()}
            tensors.save(self._folder / f"{Path(self._shard).stem}{_SUFFIX}", arrays)
        self._parts = {}


class LatentsReader:
    """Reads what :class:`LatentsWriter` wrote.

    Args:
        folder: where it lies.
        files: those of its card, which alone are read; None: all that the folder holds.
    """

    def __init__(self, folder: Path, files: Iterable[str] | None = None) -> None:
        self._folder = folder
        self._files = None if files is None else sorted(files)

    def load(self) -> Latents:
        """All of it, in memory.

        Raises:
            InputError: a file is missing or damaged, or its arrays do not belong together.
        """
        paths = sorted(self._folder.glob(f"*{_SUFFIX}"))
        if self._files is not None:
            paths = [inside(self._folder, n, CARD) for n in self._files if n.endswith(_SUFFIX)]
        shards = [self._read(path) for path in paths]
        if not shards:
            raise InputError(
                f"{self._folder} holds no latents: shard-00000{_SUFFIX} and so on. {self._cure()}"
            )
        for shard, path in zip(shards, paths, strict=True):
            if any(shard[name].shape[1:] != shards[0][name].shape[1:] for name in _STEPS):
                raise InputError(
                    f"z or actions of {path} have other sizes than those of {paths[0]}. "
                    f"{self._cure()}"
                )
        # One name at a time: no more than one array is held twice.
        whole = {name: np.concatenate([shard.pop(name) for shard in shards]) for name in _KINDS}
        offsets = np.concatenate([[0], np.cumsum(whole.pop("lengths"))]).astype(np.int64)
        return Latents(**whole, offsets=offsets)

    def _read(self, path: Path) -> dict[str, NDArray[Any]]:
        arrays = tensors.load(path)
        try:
            steps = tensors.fit(arrays, _KINDS, f"{path} is no shard of latents")["N"]
        except InputError as error:
            raise InputError(f"{error} {self._cure()}") from None
        lengths, top = arrays["lengths"], float(arrays["logvar"].max())
        # In Python's integers, which do not overflow.
        if lengths.min() < 1 or sum(lengths.tolist()) != steps:
            raise InputError(f"The lengths of {path} are not those of its steps. {self._cure()}")
        if top > tensors.LOGVAR:
            raise InputError(
                f"{path}: logvar reaches {top:g}, above {tensors.LOGVAR:g}. {self._cure()}"
            )
        return arrays

    def _cure(self) -> str:
        return f"Bring them back with `dvc checkout {self._folder}`."
