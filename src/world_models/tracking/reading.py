"""The project's store, opened to be read: it answers in seconds, or a sentence says why not."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy.exc import SQLAlchemyError

from world_models.errors import InputError
from world_models.origin.addresses import without_passwords
from world_models.tracking import moved, store

IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
"""MLflow's own values are for programs: a server that is away is asked for four minutes."""
FAULTS = (MlflowException, SQLAlchemyError, sqlite3.Error, ImportError, OSError)
"""What MLflow raises where a store is away, refuses, is damaged, or needs a driver."""


_OF_SQLITE = {
    "is locked": "Another process writes to it: wait until that ends, or stop it.",
    "readonly": "The file may not be written: chmod or chown it, or record elsewhere.",
    "disk is full": "Free some space; nothing is lost.",
    "unable to open": "The file or its folder may not be read: chmod or chown it.",
    "no such table": "It is no database of MLflow: name another, or move it away.",
}


def client() -> MlflowClient | None:
    """A client of the store; None if nothing has been recorded yet.

    A store that lies in a project folder which has moved is corrected first.

    Raises:
        InputError: the store does not answer, refuses, or is damaged.
    """
    location = store.locate()
    path = store.database_path(location.uri)
    if path is not None and not path.exists():
        return None
    be_impatient()
    with answering(location.uri):
        moved.follow(location)
        opened = MlflowClient(location.uri)
        opened.search_experiments(max_results=1)
    return opened


def be_impatient() -> None:
    """Let MLflow's requests fail in seconds, unless the user has said otherwise."""
    for name, value in IMPATIENT.items():
        os.environ.setdefault(name, value)


@contextmanager
def answering(uri: str) -> Iterator[None]:
    """Turn what MLflow raises in the block into one sentence.

    Raises:
        InputError: the store does not answer, refuses, or is damaged.
    """
    try:
        yield
    except FAULTS as error:
        where, why = without_passwords(uri), reason(error)
        raise InputError(f"{where} cannot be read: {why}. {cure(why, where)}") from error


def reason(error: Exception) -> str:
    """An error's first line, with its type and without passwords."""
    lines = without_passwords(str(error)).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:300]


def cure(why: str, uri: str) -> str:
    """What helps against a fault of a store.

    Args:
        why: of :func:`reason`.
        uri: of the store, without a password.
    """
    if "error code 401" in why or "error code 403" in why:
        return "Give MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD of a user with access."
    if "out-of-date database schema" in why:
        return f"Copy the database, then: mlflow db upgrade {uri}."
    if "not a database" in why or "malformed" in why:
        return "The file is damaged: bring back a copy, or move it away, and a new one is made."
    for words, help_ in _OF_SQLITE.items():
        if words in why:
            return help_
    if "ModuleNotFoundError" in why or "ImportError" in why:
        return "Install that package: it is the driver of this kind of database."
    if "was deleted" in why:  # the message names its cure
        return ""
    return "Check MLFLOW_TRACKING_URI, and whether the server runs."
