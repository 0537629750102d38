"""The store and its experiments: opened, made if need be, described for people."""

import json

from filelock import FileLock
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from world_models.tracking.journal import now
from world_models.tracking.pipelines import NOTE, SCORE
from world_models.tracking.store import TRAINING, database_path

KIND = "custom_model_development"
"""So that MLflow's UI opens on the runs, not on the traces of a language model."""
VIEW = "pipelines"
"""Key of a saved view of MLflow's UI: the table of pipelines with their scores."""
COLUMNS = (
    f"metrics.`{SCORE}`",
    "metrics.`agent/se`",
    "metrics.`agent/n`",
    "tags.`variant`",
    "tags.`differs`",
    "tags.`experiment`",
    "tags.`cell`",
    "attributes.`Version`",
)
STORE_WAIT = 600.0
"""Seconds to wait for another stage that creates the store (which takes 3–20)."""


def open_store(uri: str) -> MlflowClient:
    """Open the store; a fresh database is made by one process while the others wait.

    It is made under another name, so a database with the right name is always whole.
    """
    path = database_path(uri)
    if path is not None and not path.exists():
        with FileLock(path.with_name(f"{path.name}.lock"), timeout=STORE_WAIT):
            if not path.exists():
                draft = path.with_name(f"{path.name}.new")
                draft.unlink(missing_ok=True)
                MlflowClient(f"sqlite:///{draft}").search_experiments(max_results=1)
                draft.rename(path)
    client = MlflowClient(uri)
    client.search_experiments(max_results=1)
    return client


def find_experiment(client: MlflowClient, name: str, artifacts: str | None) -> str:
    """MLflow's id of an experiment, made if it is new.

    Raises:
        MlflowException: it was deleted; the message names the cure.
    """
    found = client.get_experiment_by_name(name)
    if found is None:
        location = f"{artifacts}/{name}" if artifacts else None
        try:
            client.create_experiment(name, location, {"mlflow.experimentKind": KIND})
        except MlflowException:  # another stage may have made it just now
            if client.get_experiment_by_name(name) is None:
                raise
        found = client.get_experiment_by_name(name)
    assert found is not None, name
    if found.lifecycle_stage == "deleted":
        raise MlflowException(
            f"the experiment {name} was deleted. Restore it (mlflow experiments restore "
            f"--experiment-id {found.experiment_id}), or name another by MLFLOW_EXPERIMENT_NAME"
        )
    for key, value in _about(found.experiment_id).items():
        if key not in found.tags:
            client.set_experiment_tag(found.experiment_id, key, value)
    return str(found.experiment_id)


def _about(experiment: str) -> dict[str, str]:
    """Tags of an experiment: its description, and the view of its table that shows scores."""
    address = f"#/experiments/{experiment}/runs?{TRAINING}&viewStateShareKey={VIEW}"
    note = (
        "A row is a pipeline, from the first episode to the agent's score; its stages' runs stand "
        f"under it. [**The table with scores**]({address}). Select rows and press Compare. "
        "`tags.experiment = 'temperature'` finds an experiment's rows, `tags.stage = 'evolve'` "
        "all evolutions."
    )
    state = json.dumps({"selectedColumns": COLUMNS})
    made = now()
    view = {"name": "Pipelines with scores", "createdAt": made, "updatedAt": made, "state": state}
    return {NOTE: note, f"mlflow.sharedViewState.{VIEW}": json.dumps(view)}
