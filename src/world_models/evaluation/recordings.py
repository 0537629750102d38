"""Recorded episodes in one file: what videos are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from world_models.envs.disturbance import NONE, Disturbance, Kind
from world_models.errors import InputError
from world_models.storage import tensors

_DISTURBANCE = "disturbance."
_KINDS = {
    "seeds": tensors.Kind(np.int64, ("E",)),
    "lengths": tensors.Kind(np.int64, ("E",)),
    "actions": tensors.Kind(np.float32, ("N", "A")),
    "z": tensors.Kind(np.float32, ("N", "Z")),
}


@dataclass(frozen=True)
class Recording:
    """One episode, step by step: enough to play it again in a simulator that draws.

    Attributes:
        seed: of the episode.
        actions: float32 (T, A).
        z: V's or the dream's, when C took them, float32 (T, Z).
        disturbance: of the simulator that it was played in.
    """

    seed: int
    actions: NDArray[np.float32]
    z: NDArray[np.float32]
    disturbance: Disturbance = NONE


def save(path: Path, recordings: Sequence[Recording]) -> None:
    """Write n ≥ 1 recordings as safetensors: ``seeds``, ``lengths``, ``actions``, ``z``.

    Actions (N, A) and z (N, Z) of all episodes follow each other; N is the sum of the lengths. A
    disturbance, the same for all, has an array of its own: ``disturbance.friction`` (1,).
    """
    kind, strength = recordings[0].disturbance
    arrays = {
        "seeds": np.array([recording.seed for recording in recordings], np.int64),
        "lengths": np.array([len(recording.actions) for recording in recordings], np.int64),
        "actions": np.concatenate([recording.actions for recording in recordings]),
        "z": np.concatenate([recording.z for recording in recordings]),
    }
    if kind != "none":
        arrays[_DISTURBANCE + kind] = np.array([strength])
    tensors.save(path, arrays)


def load(path: Path) -> list[Recording]:
    """Read what :func:`save` wrote.

    Raises:
        InputError: the file is missing or damaged, or holds other arrays.
    """
    arrays = tensors.load(path)
    _check(arrays, path)
    borders = np.cumsum(arrays["lengths"])[:-1]
    actions, z = np.split(arrays["actions"], borders), np.split(arrays["z"], borders)
    seeds = arrays["seeds"].tolist()
    return [
        Recording(*parts, _disturbance(arrays)) for parts in zip(seeds, actions, z, strict=True)
    ]


def _check(arrays: Mapping[str, NDArray[Any]], path: Path) -> None:
    changes = [name for name in arrays if name.startswith(_DISTURBANCE)]
    known = [f"{_DISTURBANCE}{kind}" for kind in get_args(Kind) if kind != NONE.kind]
    kinds = _KINDS | {name: tensors.Kind(np.float64, (1,)) for name in changes if name in known}
    cure = f"Bring it back with `dvc checkout {path.parent}`."
    try:
        steps = tensors.fit(arrays, kinds, f"{path} holds no recordings")["N"]
    except InputError as error:
        raise InputError(f"{error} {cure}") from None
    lengths = arrays["lengths"].tolist()
    if min(lengths) < 1 or sum(lengths) != steps:
        raise InputError(f"{path}: its lengths are not those of its steps. {cure}")
    if len(changes) > 1:
        raise InputError(f"{path} names more than one disturbance. {cure}")


def _disturbance(arrays: Mapping[str, NDArray[Any]]) -> Disturbance:
    for name, strength in arrays.items():
        if name.startswith(_DISTURBANCE):
            kind: Any = name.removeprefix(_DISTURBANCE)
            return Disturbance(kind, float(strength[0]))
    return NONE
