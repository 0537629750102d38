"""Which formulation of V a machine gets: by what it can do, never by timing it."""

from typing import Literal

import torch

Formulation = Literal["winograd-float32", "columns-bfloat16", "subpixel-bfloat16"]
"""The fast formulations; the textbook's network is the reference for all of them."""


def has_bfloat16_units() -> bool:
    """Whether matrix products in bfloat16 are done by the CPU's own instructions."""
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()


def formulation(device: str = "cpu") -> Formulation:
    """The formulation for ``cpu`` or an accelerator; goes into the artifact's card.

    An accelerator has kernels of its own for convolutions. On a CPU bfloat16 needs units for it;
    without them it is slower than float32, and fewer products in float32 are what counts.
    """
    if device != "cpu":
        return "subpixel-bfloat16"
    return "columns-bfloat16" if has_bfloat16_units() else "winograd-float32"
