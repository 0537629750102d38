"""The encoded data set: flat arrays over all steps, one ``.npy`` each, and where episodes begin.

Written as a stream, read as one block.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from world_models.errors import InputError

_STEPS = ("mu", "logvar", "actions", "rewards")
_DTYPES: Mapping[str, type[np.generic]] = {
    **dict.fromkeys(_STEPS, np.float32),
    "offsets": np.int64,
    "terminated": np.bool_,
    "truncated": np.bool_,
    "seeds": np.int64,
}


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
    """Writes encoded episodes one after another; a context manager that finishes the files.

    Args:
        folder: an existing, empty folder (such as an artifact's draft).
        steps: N, of all episodes together.
        z_size: Z.
        action_size: A.
    """

    def __init__(self, folder: Path, *, steps: int, z_size: int, action_size: int) -> None:
        self._folder, self._steps = folder, steps
        self._widths = {"mu": (z_size,), "logvar": (z_size,), "actions": (action_size,)}
        self._offsets = [0]
        self._ends: list[tuple[int, bool, bool]] = []

    def __enter__(self) -> "LatentsWriter":
        # Plain writes: where the disk is full they raise, and a memory map would kill the process.
        self._files = {name: (self._folder / f"{name}.npy").open("wb") for name in _STEPS}
        for name, file in self._files.items():
            shape = (self._steps, *self._widths.get(name, ()))
            head = {"descr": "<f4", "fortran_order": False, "shape": shape}
            npy.write_array_header_1_0(file, head)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for file in self._files.values():
            file.close()
        if kind is None:
            self._finish()

    def add(
        self,
        *,
        mu: NDArray[np.float32],
        logvar: NDArray[np.float32],
        actions: NDArray[np.float32],
        rewards: NDArray[np.float32],
        seed: int,
        terminated: bool,
        truncated: bool,
    ) -> None:
        """Append an episode of T steps: (T,Z), (T,Z), (T,A), (T,), all float32."""
        steps = {"mu": mu, "logvar": logvar, "actions": actions, "rewards": rewards}
        for name, rows in steps.items():
            assert rows.shape == (len(mu), *self._widths.get(name, ())), (name, rows.shape)
            assert rows.dtype == np.float32, (name, rows.dtype)
            self._files[name].write(np.ascontiguousarray(rows).data)
        self._offsets.append(self._offsets[-1] + len(mu))
        self._ends.append((seed, terminated, truncated))

    def _finish(self) -> None:
        assert self._offsets[-1] == self._steps, (self._offsets[-1], self._steps)
        seeds, terminated, truncated = zip(*self._ends, strict=True)
        episodes = {"seeds": seeds, "terminated": terminated, "truncated": truncated}
        for name, values in {**episodes, "offsets": self._offsets}.items():
            np.save(self._folder / f"{name}.npy", np.array(values, _DTYPES[name]))


class LatentsReader:
    """Reads what :class:`LatentsWriter` wrote."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self) -> Latents:
        """All of it, in memory.

        Raises:
            InputError: a file is missing or damaged, or the files do not belong together.
        """
        latents = Latents(**{field.name: self._read(field.name) for field in fields(Latents)})
        steps = {len(getattr(latents, name)) for name in _STEPS} | {int(latents.offsets[-1])}
        ends = (latents.terminated, latents.truncated, latents.offsets[1:])
        if len(steps) != 1 or {len(end) for end in ends} != {latents.episodes}:
            raise InputError(f"The files of {self._folder} differ in length. {self._cure()}")
        return latents

    def _read(self, name: str) -> NDArray[Any]:
        path = self._folder / f"{name}.npy"
        try:
            array: NDArray[Any] = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise InputError(f"{path} cannot be read ({error}). {self._cure()}") from error
        if array.dtype != _DTYPES[name]:
            raise InputError(
                f"{path} holds {array.dtype}, not {_DTYPES[name].__name__}. {self._cure()}"
            )
        return array

    def _cure(self) -> str:
        return f"Bring them back with `dvc checkout {self._folder}`."
