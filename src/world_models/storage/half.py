"""Artifacts in half precision: half the bytes, for releases that git carries."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from world_models.errors import InputError
from world_models.storage import guard, tensors
from world_models.storage.artifact import CARD, ORIGINAL, Card, file_digest

PRECISION = "float16"
"""What ``details.precision`` of such an artifact's card says."""


def write(source: Path, card: Card, out: Path) -> Card:
    """Copy an artifact of safetensors files, its float32 arrays rounded to float16.

    :func:`world_models.storage.tensors.load` makes them float32 again. The card keeps parameters,
    metrics and lineage; its details say the precision, and the digest of the card it was made from.

    Args:
        source: the artifact's folder.
        card: its card.
        out: a new folder, inside an atomic one.

    Returns:
        The copy's card.

    Raises:
        InputError: a value is too large for float16, or a file is missing or damaged.
    """
    out.mkdir()
    for name in card.files:
        guard.inside(out, name, CARD)
        arrays = tensors.load(source / name)
        halves = {key: rounded(array, f"{source / name}: {key}") for key, array in arrays.items()}
        tensors.save(out / name, halves)
    files = {name: file_digest(out / name) for name in card.files}
    details = card.details | {"precision": PRECISION, ORIGINAL: card.identity}
    copy = replace(card, details=details, files=files)
    (out / CARD).write_text(copy.to_json(), encoding="utf-8")
    return copy


def rounded(array: NDArray[Any], where: str) -> NDArray[Any]:
    """Round float32 to the nearest float16; what is no float32 stays as it is.

    Args:
        array: any.
        where: it stands, for the message.

    Raises:
        InputError: a value is too large for float16.
    """
    if array.dtype != np.float32:
        return array
    largest, limit = float(np.abs(array).max(initial=0)), float(np.finfo(np.float16).max)
    if not largest <= limit:
        raise InputError(
            f"{where} holds {largest:g}, and float16 ends at {limit:g}: this model cannot be "
            "released in half precision. Train it again with a smaller learning rate."
        )
    return array.astype(np.float16)
