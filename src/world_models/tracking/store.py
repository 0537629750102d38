"""Where runs are recorded: a database under the repository's root unless MLFLOW_TRACKING_URI."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from world_models.errors import UserError
from world_models.origin.addresses import without_passwords
from world_models.storage.scratch import find_root

SCHEME = "models:/"
"""Begins the address of a model: ``models:/ENVIRONMENT@champion``, ``models:/ENVIRONMENT/3``."""
TRAINING = "workflowType=machine_learning"
"""In the address of a page of MLflow's: it shows models and runs, not traces of language models."""
_SERVERS = ("http", "https", "databricks", "databricks-uc")
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")


@dataclass(frozen=True)
class Location:
    """A tracking store.

    Attributes:
        uri: as MLflow takes it.
        artifacts: URI of the folder where experiments made by us keep artifacts; None lets the
            server decide.
    """

    uri: str
    artifacts: str | None


def locate() -> Location:
    """``MLFLOW_TRACKING_URI``, or ``mlflow.db`` and ``mlartifacts`` under the repository's root.

    The root is DVC's, which names the genuine repository in ``dvc exp run --temp`` and the queue
    too, where the working folder is a copy that vanishes.

    Raises:
        UserError: the URI is of no kind that MLflow takes, or its folder is missing.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    root = find_root().resolve()
    if not uri:
        return Location(f"sqlite:///{root / 'mlflow.db'}", (root / "mlartifacts").as_uri())
    scheme = re.split(r"[+:]", uri)[0]
    if scheme not in _DATABASES + _SERVERS:
        shown = without_passwords(uri)
        raise UserError(
            f"MLFLOW_TRACKING_URI = {shown!r} is no store that MLflow can record in. Give a "
            f"database ({', '.join(_DATABASES)}: sqlite:////absolute/path/mlflow.db) or a server "
            "(http, https, databricks), or unset the variable to record in mlflow.db under the "
            "repository's root."
        )
    path = database_path(uri)
    if path is None:
        local = scheme in _DATABASES  # a bare database serves no artifacts
        return Location(uri, (root / "mlartifacts").as_uri() if local else None)
    if not path.parent.is_dir():
        raise UserError(
            f"MLFLOW_TRACKING_URI = {uri!r}: the folder {path.parent} does not exist. Create it, "
            "or unset the variable to record in mlflow.db under the repository's root."
        )
    return Location(uri, (path.parent / "mlartifacts").as_uri())


def database_path(uri: str) -> Path | None:
    """The file of a sqlite URI, absolute; None for any other store."""
    if not uri.startswith("sqlite:///"):
        return None
    return Path(uri.removeprefix("sqlite:///").split("?")[0]).absolute()
