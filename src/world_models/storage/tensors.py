"""Named arrays in one safetensors file: no pickle, so no code of a stranger can run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as decode
from safetensors.numpy import save as encode

from world_models.errors import InputError
from world_models.storage import atomic


def to_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The arrays as safetensors; equal arrays give equal bytes, whatever their order."""
    return bytes(encode({name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}))


def from_bytes(data: bytes) -> dict[str, NDArray[Any]]:
    """The arrays that :func:`to_bytes` was given.

    Raises:
        InputError: ``data`` is no safetensors.
    """
    try:
        return dict(decode(data))
    except (SafetensorError, KeyError, ValueError) as error:
        raise InputError(f"These are no tensors ({error}).") from error


def save(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write the arrays to ``path``, whole or not at all.

    Raises:
        UserError: the disk is full.
    """
    atomic.write(path, to_bytes(arrays))


def load(path: Path) -> dict[str, NDArray[Any]]:
    """Read the arrays of ``path``; half precision, as releases store it, becomes float32.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        arrays = from_bytes(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    except InputError as error:
        raise InputError(
            f"{path} is damaged or no safetensors file. Bring it back with "
            f"`dvc checkout {path.parent}`."
        ) from error
    return {name: _in_float32(array) for name, array in arrays.items()}


def _in_float32(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(np.float32) if array.dtype == np.float16 else array
