"""``world-models doctor``: what this machine has, what is missing, and how to get it."""

import getpass
import json
import os
import platform
import shutil
import sys
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from world_models.commands.health import Finding, probe, project
from world_models.engine import cores
from world_models.envs import catalogue
from world_models.envs.doom.launcher import SHARED, check_shared
from world_models.errors import EnvironmentMissingError
from world_models.storage.scratch import find_root

PACKAGES = (
    *("torch", "pytorch-lightning", "gymnasium", "vizdoom", "numba", "cma", "h5py"),
    *("hdf5plugin", "dvc", "mlflow", "av", "matplotlib", "safetensors"),
)
FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
"""Of the CPU, as Linux names them; the last two make bfloat16 fast."""
DISK = 5.0
"""GB that the default profile takes."""
START = """
import sys
import numpy as np
from world_models.envs import catalogue
from world_models.errors import UserError
try:
    simulator = catalogue.create(sys.argv[1], sys.argv[2])
    frame, _ = simulator.reset(seed=1)
    simulator.step(np.zeros(simulator.action_space.shape, np.float32))
    assert frame.shape == (64, 64, 3), frame.shape
    simulator.close()
except UserError as error:
    sys.exit(str(error))
"""


def run(arguments: Namespace) -> int:
    """Look at everything; 1 if something is not well."""
    root = find_root()
    findings = [
        *_machine(),
        *_surroundings(),
        *_packages(),
        *_tools(),
        *_simulators(),
        *project(root),
    ]
    if arguments.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            print(f"{'ok ' if finding.well else 'BAD'}  {finding.what:24} {finding.found}")
            if finding.cure and not finding.well:
                print(f"     → {finding.cure}")
    return 0 if all(finding.well for finding in findings) else 1


def _machine() -> Iterator[Finding]:
    python = platform.python_version()
    fits = (3, 11) <= sys.version_info[:2] < (3, 14)
    yield Finding("python", python, fits, "use Python 3.11, 3.12 or 3.13 (make setup PYTHON=…)")
    yield Finding("system", f"{platform.system()} {platform.release()} {platform.machine()}")
    yield Finding("cores", f"{cores.usable()} usable of {os.cpu_count()}; one worker each")
    if (quota := cores.quota()) < len(cores.STARTED_ON):
        yield Finding(
            "CPU quota", f"{quota:g} of {len(cores.STARTED_ON)} cores, a container's limit"
        )
    yield Finding("CPU features", _cpu())
    memory = psutil.virtual_memory().available / 1e9
    cure = "close something, or lower WORLD_MODELS_WORKERS and the batch sizes"
    yield Finding("memory", f"{memory:.1f} GB free", memory > 2, cure)
    free = shutil.disk_usage(find_root()).free / 1e9
    cure = f"free {DISK:.0f} GB: dvc gc -w, or another disk"
    yield Finding("disk", f"{free:.1f} GB free", free > DISK, cure)


def _surroundings() -> Iterator[Finding]:
    """What containers often lack: a name for the user, and shared memory for Doom's games."""
    try:
        yield Finding("user", getpass.getuser())
    except (KeyError, OSError):
        found = f"user id {os.getuid()} has no name, without which DVC cannot start"
        cure = "export USER=me, or an entry for the id in /etc/passwd"
        yield Finding("user", found, well=False, cure=cure)
    try:
        check_shared(SHARED)
    except EnvironmentMissingError as error:
        found, _, cure = str(error).partition(". ")
        yield Finding("shared memory", found, well=False, cure=cure)
    else:
        if SHARED.is_dir():
            yield Finding("shared memory", f"{shutil.disk_usage(SHARED).free / 1e6:.0f} MB free")


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return "unknown on this system"
    lines = (line for line in text.splitlines() if line.startswith("flags"))
    flags = set(next(lines, "").split())
    return ", ".join(f"{name} {'yes' if name in flags else 'no'}" for name in FEATURES)


def _packages() -> Iterator[Finding]:
    for name in PACKAGES:
        try:
            yield Finding(name, version(name))
        except PackageNotFoundError:
            yield Finding(name, "missing", False, "make setup")  # noqa: FBT003
    yield probe("accelerator", _ACCELERATOR)
    yield probe("H.264", _ENCODER, "pip install --force-reinstall av (the wheel has libx264)")


_ACCELERATOR = """
import torch
names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
mps = torch.backends.mps.is_available()
print(", ".join(names) or ("Apple GPU" if mps else "none: everything runs on the CPU"))
"""
_ENCODER = """
import av
assert "libx264" in av.codecs_available, "PyAV lacks the encoder libx264"
print("libx264")
"""


def _tools() -> Iterator[Finding]:
    for name in ("git", "make"):
        path = shutil.which(name)
        yield Finding(name, path or "missing", path is not None, f"install {name}")


def _simulators() -> Iterator[Finding]:
    for environment in catalogue.names():
        about = catalogue.specification(environment)
        for renderer in about.renderers:
            name = f"{environment} ({renderer})"
            yield probe(name, START, about.install, environment, renderer)
