"""Models of MLflow's store, brought to this machine: an agent's V, M and C among them.

An agent's model names its parts, which are logged models of their own, so that each weight is
stored once (:mod:`world_models.tracking.models` writes it).
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException

from world_models.errors import InputError
from world_models.storage.artifact import CARD, file_digest
from world_models.tracking import moved, store
from world_models.tracking.store import SCHEME

AGENT = "agent.json"
"""The file of an agent's model that names its parts."""
DATA = "data"
"""The folder of a model that holds what we wrote; beside it lie MLflow's own files."""


@contextmanager
def agent(address: str) -> Iterator[dict[str, Path]]:
    """Fetch V, M and C of an agent's model; they are gone when the block ends.

    The store is the one that MLflow was told of, else the project's own.

    Args:
        address: such as ``models:/ENVIRONMENT@champion``.

    Yields:
        The folders by their kind: ``vae``, ``mdnrnn``, ``controller``.

    Raises:
        InputError: the store has no such model, it is no agent, or a part of it is gone.
    """
    if not mlflow.is_tracking_uri_set():  # type: ignore[no-untyped-call]
        location = store.locate()
        moved.follow(location)
        mlflow.set_tracking_uri(location.uri)
    with tempfile.TemporaryDirectory(prefix="world-models-") as folder:
        data = _download(address, Path(folder) / "agent") / DATA
        if not (data / AGENT).is_file():
            raise InputError(
                f"{address} is no agent, but a part of one. Give an agent, such as "
                f"{SCHEME}ENVIRONMENT@champion, or load the part by mlflow.pyfunc.load_model."
            )
        with parts(data) as found:
            yield found


@contextmanager
def parts(data: Path) -> Iterator[dict[str, Path]]:
    """Fetch the parts that an agent's model names; they are gone when the block ends.

    Args:
        data: the folder that holds :data:`AGENT`.

    Raises:
        InputError: one cannot be fetched, or is not the one that the agent was made of.
    """
    named = json.loads((data / AGENT).read_text(encoding="utf-8"))["parts"]
    with tempfile.TemporaryDirectory(prefix="world-models-") as folder:
        found = {}
        for kind, part in named.items():
            model = SCHEME + part["model"]
            found[kind] = _download(model, Path(folder) / kind) / DATA
            if file_digest(found[kind] / CARD) != part["card"]:
                raise InputError(f"The agent's {kind} is no longer what it was made of ({model}).")
        yield found


def _download(address: str, folder: Path) -> Path:
    folder.mkdir()
    try:
        download_artifacts(artifact_uri=address, dst_path=str(folder))
    except (MlflowException, OSError) as error:
        raise InputError(
            f"{address} cannot be fetched from {mlflow.get_tracking_uri()}: {error}. Check the "
            "name and MLFLOW_TRACKING_URI; `world-models ui` shows which models there are."
        ) from error
    return folder
