"""Doom's colours: its screen is drawn in 256 of them."""

import struct
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_ENTRY = struct.Struct("<ii8s")


@cache
def read_palette(wad: Path) -> NDArray[np.uint8]:
    """The first palette of a WAD file's ``PLAYPAL``, uint8 (256, 3); the others are for flashes."""
    content = wad.read_bytes()
    count, directory = struct.unpack_from("<ii", content, 4)
    for offset, _, name in _ENTRY.iter_unpack(content[directory:][: count * _ENTRY.size]):
        if name.rstrip(b"\0") == b"PLAYPAL":
            return np.frombuffer(content, np.uint8, 768, offset).reshape(256, 3)
    raise AssertionError(f"{wad} has no palette")
