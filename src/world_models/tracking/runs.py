"""Runs in the tracking store, found by what they made."""

from collections.abc import Iterable, Mapping
from typing import Any

from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from world_models.errors import InputError
from world_models.tracking import store
from world_models.tracking.pipelines import KIND, PIPELINE, STAGE
from world_models.tracking.run import COST

UPSTREAM = "upstream."
"""Begins the tag that holds the run which made an input."""


class Runs:
    """What the project's tracking store knows; without a store nothing."""

    def __init__(self) -> None:
        location = store.locate()
        path = store.database_path(location.uri)
        self._client = MlflowClient(location.uri) if path is None or path.exists() else None
        self._where = location.uri

    def makers(self, outputs: Iterable[str]) -> dict[str, Run]:
        """The newest run that made each, by the digest in its tag ``output``."""
        if self._client is None:
            return {}
        ids = [experiment.experiment_id for experiment in self._client.search_experiments()]
        newest = ["attributes.start_time DESC"]
        found: dict[str, Run] = {}
        for output in outputs:
            query = f"tags.output = '{output}'"
            for run in self._client.search_runs(ids, query, max_results=1, order_by=newest):
                found[output] = run
        return found

    def get(self, run_id: str) -> Run:
        """A stage's run; of a pipeline's row that of its last stage.

        Raises:
            InputError: there is none of this id.
        """
        try:
            run = self._client.get_run(run_id) if self._client else None
        except MlflowException:
            run = None
        if run is None:
            raise InputError(
                f"{self._where} holds no run {run_id}. Its page in MLflow shows its id."
            )
        if run.data.tags.get(KIND) != PIPELINE:
            return run
        stages = {k.removeprefix(STAGE): v for k, v in run.data.tags.items() if k.startswith(STAGE)}
        last = next((stages[name] for name in LAST if name in stages), None)
        if last is None:
            raise InputError(
                f"The pipeline {run.info.run_name} has no stage that has finished yet."
            )
        return self.get(last)

    def upstream(self, run: Run) -> dict[str, Run]:
        """The runs that made its inputs, by the inputs' names."""
        tags = run.data.tags.items()
        return {k.removeprefix(UPSTREAM): self.get(v) for k, v in tags if k.startswith(UPSTREAM)}


LAST = ("evaluate", "assess", "evolve", "mdnrnn", "encode", "vae", "collect", "rollouts", "report")
"""Stages, the most interesting to trace first."""


def facts(run: Run) -> Mapping[str, Any]:
    """What a run says of itself: for programs and for people."""
    tags, cost = run.data.tags, run.data.metrics.get(COST)
    dirty = {tag: tags[tag] for tag in DIRT if tags.get(tag, "false") != "false"}
    return {
        "run": run.info.run_id,
        "name": run.info.run_name,
        "commit": tags.get("mlflow.source.git.commit", "unknown"),
        "differs": {tag.removeprefix("dirty."): said for tag, said in dirty.items()},
        "host": tags.get("process", "unknown").split(" ")[0],
        "core_hours": None if cost is None else round(cost, 3),
    }


DIRT = ("dirty.code", "dirty.parameters", "dirty.upstream")
