"""What fixes the last bit of a result: versions, code and CPU of a worker."""

import hashlib
import os
import platform
import sys
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path

PACKAGES = ("numpy", "torch", "numba", "gymnasium", "Box2D", "box2d-py", "vizdoom")
# What numerical libraries choose their kernels by.
_FEATURES = (
    "sse4_2 avx avx2 fma f16c avx512f avx512dq avx512bw avx512vl avx512_vnni avx512_bf16 "
    "avx512_fp16 avx_vnni amx_tile amx_bf16 amx_int8 asimd asimddp asimdhp bf16 i8mm sve sve2"
)
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@cache
def kind() -> Mapping[str, str]:
    """Facts of this process by name. Where all facts are equal, results are, to the last bit."""
    vendor, features = _cpu()
    return {
        "python": platform.python_version(),
        "machine": f"{platform.machine()} {sys.platform}",
        "code": _code(),
        "cpu": vendor,
        **{name: _version(name) for name in PACKAGES},
        **{name: "yes" if name in features else "no" for name in _FEATURES.split()},
    }


def differences(here: Mapping[str, str], there: Mapping[str, str]) -> list[str]:
    """What sets two kinds apart, one line each; empty if nothing."""
    return [
        f"{name}: {there.get(name)} there, {here.get(name)} here"
        for name in sorted({*here, *there})
        if here.get(name) != there.get(name)
    ]


def threads_fault() -> str | None:
    """Why this process may not work with one thread, or None."""
    wrong = [name for name in _THREADS if os.environ.get(name) != "1"]
    return f"{', '.join(wrong)} must be 1" if wrong else None


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "missing"


def _code() -> str:
    """A digest of this project's modules."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _cpu() -> tuple[str, set[str]]:
    """Vendor and features."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor(), set()
    first: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        first.setdefault(key.strip(), value.strip())
    vendor = first.get("vendor_id") or first.get("CPU implementer") or "unknown"
    return vendor, set((first.get("flags") or first.get("Features") or "").split())
