"""The machine that a figure comes from, and a lesser one that this one can pass for.

A CPU without AVX-512 and bfloat16 units, as in most laptops, is emulated by environment variables
that limit each library to AVX2 before it is loaded: PyTorch's own kernels, oneDNN, MKL, OpenBLAS
and Numba. Caches, memory and clock stay those of the machine at hand.
"""

import platform
from pathlib import Path
from typing import Any

import torch

from world_models.devices import cpu_multiplies_bfloat16

AVX2_ALONE = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
    "NUMBA_CPU_NAME": "znver3",
    # The choice looks at the CPU, not at what libraries may use of it.
    "WORLD_MODELS_FORMULATION": "winograd-float32,compiled-float32",
}
FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


def features() -> list[str]:
    """Which of :data:`FEATURES` the CPU has; empty where Linux does not say."""
    path = Path("/proc/cpuinfo")
    flags = path.read_text("utf-8").split("flags", 1)[-1].split("\n", 1)[0] if path.exists() else ""
    return [name for name in FEATURES if name in flags.split()]


def can_emulate() -> bool:
    """Whether this machine has more than AVX2, so that leaving it out makes a difference."""
    return "avx512f" in features() or cpu_multiplies_bfloat16()


def facts(*, emulated: bool) -> dict[str, Any]:
    """What a reader wants to know of the machine; speeds in GFLOP/s show that limits act."""
    vendor = ""
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        vendor = next((x.split(":")[1].strip() for x in lines if x.startswith("vendor_id")), "")
    return {
        "vendor": vendor or platform.processor(),
        "features": features(),
        "emulated": "AVX2 alone" if emulated else None,
        "cores": torch.get_num_threads(),
        "torch": torch.__version__,
        "kernels": torch.backends.cpu.get_cpu_capability(),
    }
