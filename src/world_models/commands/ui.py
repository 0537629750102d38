"""``world-models ui``: MLflow on this project's runs."""

import os
import sys
from argparse import Namespace

from world_models.commands.ports import free_port
from world_models.errors import UserError
from world_models.origin.addresses import without_passwords
from world_models.tracking import moved, reading, store

PAGE = f"#/experiments?{store.TRAINING}"


def run(arguments: Namespace) -> int:
    """Become MLflow's server on the first free port; say where it is if the store has one."""
    location = store.locate()
    if location.uri.startswith("http"):
        where = without_passwords(location.uri).rstrip("/")
        print(f"The runs are on a server: {where}/{PAGE}")
        return 0
    if store.database_path(location.uri) is None:
        where = without_passwords(location.uri)
        raise UserError(f"The runs are recorded in {where}: open its own page.")
    with reading.answering(location.uri):
        moved.follow(location)
    _become(location.uri, free_port(arguments.port, "ui"), arguments.port)
    return 0


def _become(uri: str, port: int, wanted: int) -> None:
    if port != wanted:
        print(f"Port {wanted} is taken.")
    print(f"MLflow: http://127.0.0.1:{port}/{PAGE} (Ctrl-C ends it)", flush=True)
    # MLflow's jobs are for language models: six processes, each of which loads MLflow.
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    command = ["mlflow", "ui", "--backend-store-uri", uri, "--port", str(port)]
    os.execv(sys.executable, [sys.executable, "-m", *command])
