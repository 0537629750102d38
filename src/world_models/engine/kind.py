"""What fixes the last bit of a result: versions, code and CPU of a worker."""

import hashlib
import os
import platform
import sys
from dataclasses import dataclass, fields
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


@dataclass(frozen=True)
class Kind:
    """Equal kinds give equal bits.

    Attributes:
        python: version.
        packages: versions of the packages that compute.
        code: digest of this project's modules.
        machine: architecture and operating system.
        cpu: vendor and features.
    """

    python: str
    packages: tuple[str, ...]
    code: str
    machine: str
    cpu: tuple[str, ...]

    @classmethod
    def here(cls) -> "Kind":
        """The kind of this process."""
        return _here()

    def differences(self, other: "Kind") -> list[str]:
        """What sets ``other`` apart, one line each; empty if nothing."""
        lines = []
        for field in fields(self):
            ours, theirs = getattr(self, field.name), getattr(other, field.name)
            if isinstance(ours, tuple):
                ours, theirs = (", ".join(sorted(set(a) - set(b))) or "–" for a, b in
                                ((ours, theirs), (theirs, ours)))  # fmt: skip
            if ours != theirs:
                lines.append(f"{field.name}: {theirs} there, {ours} here")
        return lines


@cache
def _here() -> Kind:
    return Kind(
        python=platform.python_version(),
        packages=tuple(_version(name) for name in PACKAGES),
        code=_code(),
        machine=f"{platform.machine()} {sys.platform}",
        cpu=_cpu(),
    )


def threads_fault() -> str | None:
    """Why this process may not work with one thread, or None."""
    wrong = [name for name in _THREADS if os.environ.get(name) != "1"]
    return f"{', '.join(wrong)} must be 1" if wrong else None


def _version(package: str) -> str:
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return f"no {package}"


def _code() -> str:
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _cpu() -> tuple[str, ...]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return (platform.processor(),)
    first: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        first.setdefault(key.strip(), value.strip())
    features = (first.get("flags") or first.get("Features") or "").split()
    vendor = first.get("vendor_id") or first.get("CPU implementer") or "unknown"
    return (vendor, *sorted(set(_FEATURES.split()).intersection(features)))
