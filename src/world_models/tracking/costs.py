"""What the stages of experiments have cost, from their MLflow runs."""

from collections.abc import Collection

from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from world_models.errors import UserError
from world_models.origin.addresses import without_passwords
from world_models.tracking import reading, store
from world_models.tracking.run import COST

PAGE = 1000
"""Runs that a query gives at once."""


def core_hours(experiments: Collection[str | None]) -> dict[tuple[str, str], float]:
    """Core-hours by cell and stage, each of the newest run that finished.

    Args:
        experiments: names of their folders; None is the pipeline at the root, whose cells are the
            environments.

    Raises:
        UserError: no run has a cost.
    """
    client = reading.client()
    found: dict[tuple[str, str], float] = {}
    for run in _finished(client) if client else []:  # a newer run takes an older one's place
        tags = run.data.tags
        of = tags.get("experiment") or None
        if of in experiments and COST in run.data.metrics:  # a pipeline's row has no such metric
            cell = tags.get("cell" if of else "environment", "")
            found[cell, tags.get("stage", "")] = run.data.metrics[COST]
    if not found:
        raise UserError(
            f"{without_passwords(store.locate().uri)} holds no finished run with {COST}."
        )
    return dict(sorted(found.items()))


def _finished(client: MlflowClient) -> list[Run]:
    """All finished runs of all MLflow experiments, the oldest first."""
    ids = [e.experiment_id for e in client.search_experiments()]
    query, order = "attributes.status = 'FINISHED'", ["attributes.start_time ASC"]
    runs: list[Run] = []
    token: str | None = ""
    while token is not None:
        page = client.search_runs(
            ids, query, max_results=PAGE, order_by=order, page_token=token or None
        )
        runs += page
        token = page.token
    return runs
