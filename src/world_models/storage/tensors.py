"""Named arrays in one safetensors file: no pickle, so no code of a stranger can run."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as decode
from safetensors.numpy import save as encode

from world_models.errors import InputError
from world_models.storage import atomic, guard

_LIMIT = guard.LIMITS[".safetensors"]
_HEADER = 16 << 20  # bytes that names and shapes may take, beside the numbers
LOGVAR = 80.0
"""Above it, a variance exp(logvar) is no float32, and no V that has learned anything says so."""


class Kind(NamedTuple):
    """What an array has to be.

    Attributes:
        dtype: such as ``np.float32``.
        axes: the size of each; equal letters are equal sizes, at least 1 each.
    """

    dtype: Any
    axes: tuple[int | str, ...]

    def __str__(self) -> str:
        return f"{np.dtype(self.dtype)} ({', '.join(map(str, self.axes))})"


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
    except (SafetensorError, KeyError, ValueError, TypeError, OverflowError) as error:
        raise InputError(f"These are no tensors ({guard.brief(error)}).") from error


def save(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write the arrays to ``path``, whole or not at all.

    Raises:
        UserError: the disk is full.
    """
    atomic.write(path, to_bytes(arrays))


def load(
    path: Path, kinds: Mapping[str, Kind] | None = None, what: str = ""
) -> dict[str, NDArray[Any]]:
    """Read the arrays of ``path``; half precision, as releases store it, becomes float32.

    Args:
        path: the file.
        kinds: what the arrays are, by name; None for any. Of fixed sizes, they say how large the
            file may be before it is read.
        what: the arrays are, such as "the weights of an M"; for the message.

    Raises:
        InputError: the file is missing or damaged, its arrays are others, or hold NaN or infinity.
    """
    try:
        content = guard.read_bytes(path, _limit(kinds))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        arrays = from_bytes(content)
    except InputError as error:
        raise InputError(
            f"{path} is damaged or no safetensors file. Bring it back with "
            f"`dvc checkout {path.parent}`."
        ) from error
    found = {name: _in_float32(array) for name, array in arrays.items()}
    if kinds is not None:
        _fit_file(found, kinds, path, what)
    for name, array in found.items():
        if not finite(array):
            raise InputError(
                f"{path}: {name} holds NaN or infinity. Make the file anew, or bring back a sound "
                f"one with `dvc checkout {path.parent}`."
            )
    return found


def _fit_file(
    arrays: Mapping[str, NDArray[Any]], kinds: Mapping[str, Kind], path: Path, what: str
) -> None:
    try:
        fit(arrays, kinds, f"{path} does not hold {what}" if what else path)
    except InputError as error:
        raise InputError(
            f"{error} Bring card and file back with `dvc checkout {path.parent}`, or make them "
            "anew."
        ) from None


def finite(array: NDArray[Any]) -> bool:
    """Whether all numbers are; without an array of as many answers."""
    if array.dtype.kind != "f" or not array.size:
        return True
    return math.isfinite(float(array.min())) and math.isfinite(float(array.max()))


def fit(
    arrays: Mapping[str, NDArray[Any]], kinds: Mapping[str, Kind], place: Path | str
) -> dict[str, int]:
    """See that arrays are what they have to be.

    Args:
        arrays: by name.
        kinds: the same names, and what belongs to each.
        place: what the message begins with.

    Returns:
        The size that each letter stands for.

    Raises:
        InputError: one is missing, too many, of another type or of other sizes.
    """
    sizes: dict[str, int] = {}
    for name in sorted(kinds.keys() | arrays.keys()):
        kind, array = kinds.get(name), arrays.get(name)
        if kind is None or array is None or not _fits(array, kind, sizes):
            wanted = kind if kind else "absent"
            found = "absent" if array is None else f"{array.dtype} {array.shape}"
            known = ", ".join(f"{letter} {size}" for letter, size in sizes.items())
            also = f" with {known}" if known and kind else ""
            said = ascii(name[:80])[1:-1]
            raise InputError(f"{place}: {said} should be {wanted}{also}, is {found}.")
    return sizes


def _fits(array: NDArray[Any], kind: Kind, sizes: dict[str, int]) -> bool:
    if array.dtype != np.dtype(kind.dtype) or array.ndim != len(kind.axes):
        return False
    for axis, size in zip(kind.axes, array.shape, strict=True):
        if size != (sizes.setdefault(axis, size) if isinstance(axis, str) else axis) or size < 1:
            return False
    return True


def _limit(kinds: Mapping[str, Kind] | None) -> int:
    """The most bytes of a file: of arrays of known sizes, as many as these have."""
    if kinds is None:
        return _LIMIT
    content = _HEADER
    for kind in kinds.values():
        if any(isinstance(axis, str) for axis in kind.axes):
            return _LIMIT
        content += math.prod(map(int, kind.axes)) * int(np.dtype(kind.dtype).itemsize)
    return min(_LIMIT, content)


def _in_float32(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(np.float32) if array.dtype == np.float16 else array
