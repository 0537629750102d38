"""Which number type the matrix products use: a question of capability, never of timing."""

from typing import Literal

import torch

Precision = Literal["float32", "bfloat16"]


def choose_precision(device: torch.device) -> Precision:
    """Choose bfloat16 where the hardware multiplies it (AMX, AVX-512 BF16, GPU), else float32.

    Timing would choose differently on a busy machine, and results with it.
    """
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device.type != "cpu":
        return "float32"
    amx = getattr(torch.cpu, "_is_amx_tile_supported", bool)()
    avx512 = getattr(torch.cpu, "_is_avx512_bf16_supported", bool)()
    return "bfloat16" if amx or avx512 else "float32"


def as_dtype(precision: Precision) -> torch.dtype:
    """The torch type of a precision's name."""
    return torch.bfloat16 if precision == "bfloat16" else torch.float32
