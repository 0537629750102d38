"""Models of MLflow's store, brought to this machine: an agent's V, M and C among them.

An agent's model names its parts, which are logged models of their own, so that each weight is
stored once (:mod:`world_models.tracking.models` writes it).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import mlflow
from mlflow.artifacts import download_artifacts
from pydantic import Field

from world_models.errors import InputError
from world_models.origin.addresses import without_passwords
from world_models.schema import Parameters
from world_models.storage import guard, temporary
from world_models.storage.artifact import MODELS, open_artifact
from world_models.tracking import moved, reading, store
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
        InputError: the store has no such model or cannot be read, it is no agent, or a part of it
            is gone or damaged.
    """
    reading.be_impatient()
    if not mlflow.is_tracking_uri_set():  # type: ignore[no-untyped-call]
        location = store.locate()
        with reading.answering(location.uri):
            moved.follow(location)
        mlflow.set_tracking_uri(location.uri)
    with temporary.folder() as folder:
        data = _download(address, folder / "agent") / DATA
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
    environment, named = _named(data / AGENT)
    with temporary.folder() as folder:
        found = {}
        for kind, part in named.items():
            model = SCHEME + part.model
            found[kind] = _download(model, folder / kind) / DATA
            _check(found[kind], kind, environment, part.card, model)
        yield found


class _Part(Parameters):
    """A part's logged model, and the digest of its card."""

    model: Annotated[str, Field(pattern=r"^[\w-]+$")]
    card: guard.Digest


class _Parts(Parameters):
    """One of each of :data:`MODELS`."""

    vae: _Part
    mdnrnn: _Part
    controller: _Part


class _Agent(Parameters):
    """What :data:`AGENT` holds."""

    environment: guard.Environment
    parts: _Parts


def _named(path: Path) -> tuple[str, dict[str, _Part]]:
    """An agent's environment and, by kind, the parts that it is made of."""
    try:
        said = guard.fitting(_Agent, guard.json_of(path), path)
    except (OSError, InputError) as error:
        raise InputError(
            f"The agent's {path.name} is missing or damaged ({error}). "
            "Load another version of it; `world-models ui` shows them."
        ) from error
    return said.environment, {kind: getattr(said.parts, kind) for kind in MODELS}


def _check(folder: Path, kind: str, environment: str, digest: str, model: str) -> None:
    try:
        card = open_artifact(folder, kind, environment)
        whole = card.digest() == digest
    except InputError:
        whole = False
    if not whole:
        raise InputError(
            f"The agent's {kind} ({model}) is no longer what it was made of: its files were "
            "changed or removed, or are another environment's. Bring them back from a copy of the "
            "store, or make the agent anew: dvc repro."
        )


def _download(address: str, folder: Path) -> Path:
    folder.mkdir()
    try:
        download_artifacts(artifact_uri=address, dst_path=str(folder))
    except reading.FAULTS as error:
        where, why = map(without_passwords, (mlflow.get_tracking_uri(), str(error)))
        raise InputError(
            f"{address} cannot be fetched from {where}: {why}. Check the name and "
            "MLFLOW_TRACKING_URI; `world-models ui` shows which models there are."
        ) from error
    return folder
