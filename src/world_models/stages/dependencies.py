"""What a stage's result depends on, beside its parameters and inputs: code, packages, machine.

``tools/dag.py`` reads the code's imports and writes ``dependencies.yaml``: the one list for DVC's
``deps`` and for the key of the state that a stage resumes from.
"""

import hashlib
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from world_models.schema import read_yaml

STORED = Path(__file__).with_suffix(".yaml")
ROOT = Path(__file__).resolve().parents[3]
ANY = "src/world_models/envs/${key}"
"""Stands for the code of the environment at hand."""
CHOOSER = "src/world_models/formulations.py"
"""Code that chooses by the machine's kind how V and M are computed."""


def describe(stage: str, environment: str) -> dict[str, Any]:
    """All of it, JSON-able: equal descriptions on equal inputs give equal results.

    Args:
        stage: such as ``vae``.
        environment: such as ``carracing``.
    """
    found = {"code": code(stage, environment), "packages": packages(stage, environment)}
    if CHOOSER in found["code"]:
        found["machine"] = import_module("world_models.formulations").machine()
    return found


def code(stage: str, environment: str) -> dict[str, str]:
    """SHA-256 of each file of ours, by its path from the project's root."""
    paths = set(_stored()["code"][stage])
    if ANY in paths:
        folder = (ROOT / ANY.replace("${key}", environment)).rglob("*.py")
        paths |= {path.relative_to(ROOT).as_posix() for path in folder}
        paths |= set(_stored()["environments"].get(environment, ()))
    files = [path for path in sorted(paths) if (ROOT / path).is_file()]  # fast/ may be removed
    return {path: hashlib.sha256((ROOT / path).read_bytes()).hexdigest() for path in files}


def packages(stage: str, environment: str) -> dict[str, str]:
    """The installed version of each package that computes, by its name."""
    by_environment = _stored()["versions"]
    known = [environment] if environment in by_environment else sorted(by_environment)
    names = sorted({name for one in known for name in by_environment[one][stage]})
    return {name: _version(name) for name in names}


@cache
def _stored() -> dict[str, Any]:
    return read_yaml(STORED)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
