"""The folder of an MLflow model, written by hand: MLflow's own writer needs pandas, and seconds.

Beside our files in ``data`` it has what MLflow reads: ``MLmodel`` with the signature, an example of
the input, and what is to be installed. The loader is :mod:`world_models.pyfunc`.
"""

import json
import platform
import re
import time
import uuid
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
import numpy as np
import yaml
from numpy.typing import NDArray
from safetensors.numpy import load_file

from world_models.origin.addresses import without_passwords
from world_models.storage.artifact import Card

LOADER = "world_models.pyfunc"
PINNED = ("mlflow", "numba", "numpy", "safetensors", "scipy", "torch")
"""Packages that compute, or read: a model names the versions that it was made with."""
ORIGINALS = "originals"
"""Name of the frames in the file that stage vae stores for its pictures."""
Spec = Mapping[str, tuple[str, tuple[int, ...]]]
"""Type and shape of a row by name; the name of one alone may be empty."""
FRAMES: Spec = {"": ("uint8", (64, 64, 3))}
FIRST = [{"name": "first", "type": "boolean", "default": [], "shape": [-1]}]
"""MLflow's ``params`` of a model that keeps state: where an episode begins."""


class Signature(NamedTuple):
    """What a model takes and gives."""

    inputs: Spec
    outputs: Spec
    stateful: bool

    def to_dict(self) -> dict[str, str | None]:
        """As MLflow writes it."""
        params = json.dumps(FIRST) if self.stateful else None
        return {"inputs": _schema(self.inputs), "outputs": _schema(self.outputs), "params": params}

    def example(self, frames: Path | None) -> dict[str, NDArray[Any]]:
        """One row of input by name: a stored frame, if there is one, else grey; zeros for others.

        Args:
            frames: the file that stage vae stores, with frames of the environment.
        """
        if self.inputs == FRAMES:
            stored = load_file(frames)[ORIGINALS][:1] if frames else None
            return {"": np.full((1, 64, 64, 3), 128, np.uint8) if stored is None else stored}
        return {name: np.zeros((1, *shape), dtype) for name, (dtype, shape) in self.inputs.items()}


def of_part(card: Card) -> Signature:
    """The signature of V, M or C."""
    found = card.details
    if card.kind == "vae":
        z = ("float32", (found["z_size"],))
        return Signature(FRAMES, {"mu": z, "logvar": z}, stateful=False)
    if card.kind == "mdnrnn":
        z, h = ("float32", (found["z_size"],)), ("float32", (found["hidden_size"],))
        inputs = {"z": z, "action": ("float32", (found["action_size"],))}
        return Signature(inputs, {"next_z": z, "h": h}, stateful=True)
    spec = found["spec"]
    features, action = ({"": ("float32", (spec[name],))} for name in ("inputs", "outputs"))
    return Signature(features, action, stateful=False)


def of_agent(controller: Card) -> Signature:
    """The signature of an agent: frames in, actions out."""
    return Signature(FRAMES, of_part(controller).outputs, stateful=True)


def write(
    folder: Path,
    model_id: str,
    run_id: str,
    signature: Signature,
    frames: Path | None,
    code: Mapping[str, str],
) -> None:
    """Write all but ``data``.

    Args:
        folder: exists.
        model_id: MLflow's id of the logged model.
        run_id: of the run that made it.
        signature: what it takes and gives.
        frames: as for :meth:`Signature.example`.
        code: the run's tags of its commit.
    """
    example = _jsonable(signature.example(frames))
    serving = {"inputs": example} | ({"params": {"first": [True]}} if signature.stateful else {})
    files = {
        "MLmodel": yaml.safe_dump(_model(model_id, run_id, signature)),
        "input_example.json": json.dumps(example),
        "serving_input_example.json": json.dumps(serving),
        "requirements.txt": "".join(f"{line}\n" for line in requirements(code)),
        "python_env.yaml": yaml.safe_dump(
            {"python": platform.python_version(), "dependencies": ["-r requirements.txt"]}
        ),
    }
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def requirements(code: Mapping[str, str]) -> list[str]:
    """What is to be installed: this project at its commit, and the versions that compute.

    Args:
        code: the run's tags of its commit. Without an address of the repository, or with changes
            that are not in the commit, the project is named by its version alone.
    """
    commit, address = (code.get(f"mlflow.source.git.{k}") for k in ("commit", "repoURL"))
    clean = commit and address and code.get("dirty.code") == "false"
    own = f"world-models @ {_for_pip(str(address))}@{commit}" if clean else "world-models"
    pinned = [f"{name}=={metadata.version(name).partition('+')[0]}" for name in PINNED]
    return [own, *pinned]


def _for_pip(address: str) -> str:
    """An address of a repository as pip takes it, without a password."""
    address = without_passwords(address)
    short = re.fullmatch(r"(?P<at>[\w.-]+@[\w.-]+):(?P<path>[^/].*)", address)
    if short:
        return f"git+ssh://{short['at']}/{short['path']}"
    return f"git+{address}" if "://" in address else f"git+file://{Path(address).absolute()}"


def _model(model_id: str, run_id: str, signature: Signature) -> dict[str, Any]:
    return {
        "artifact_path": f"models:/{model_id}",
        "flavors": {
            "python_function": {
                "data": "data",
                "env": {"virtualenv": "python_env.yaml"},
                "loader_module": LOADER,
                "python_version": platform.python_version(),
            }
        },
        "mlflow_version": mlflow.__version__,
        "model_id": model_id,
        "model_uuid": uuid.uuid4().hex,
        "run_id": run_id,
        "saved_input_example_info": {
            "artifact_path": "input_example.json",
            "serving_input_path": "serving_input_example.json",
            "type": "ndarray",
        },
        "signature": signature.to_dict(),
        "utc_time_created": time.strftime("%Y-%m-%d %H:%M:%S.000000", time.gmtime()),
    }


def _schema(spec: Spec) -> str:
    return json.dumps(
        [
            {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": [-1, *shape]}}
            | ({"name": name} if name else {})
            for name, (dtype, shape) in spec.items()
        ]
    )


def _jsonable(example: Mapping[str, NDArray[Any]]) -> Any:
    return (
        {k: v.tolist() for k, v in example.items()} if "" not in example else example[""].tolist()
    )
