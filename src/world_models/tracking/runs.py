"""Runs in the tracking store, found by what they made."""

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.tracking import MlflowClient

from world_models.errors import InputError
from world_models.origin.addresses import without_passwords
from world_models.origin.sides import Side
from world_models.storage import temporary
from world_models.tracking import reading, store
from world_models.tracking.pipelines import KIND, PARENT, PIPELINE, STAGE
from world_models.tracking.run import COST

RUN_ID = re.compile(r"[0-9a-f]{32}")
UPSTREAM = "upstream."
"""Begins the tag that holds the run which made an input."""


class Runs:
    """What the project's tracking store knows; without a store nothing.

    Attributes:
        fault: why the store cannot be read; None if it can, or if there is none yet.
    """

    def __init__(self) -> None:
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        self._where = without_passwords(store.locate().uri)
        self._client: MlflowClient | None = None
        self.fault: InputError | None = None
        try:
            self._client = reading.client()
        except InputError as error:
            self.fault = error

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
            InputError: there is none of this id, or the store cannot be read.
        """
        run = self._run(run_id)
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

    def has(self, run_id: str) -> bool:
        """Whether there is a run of this id.

        Raises:
            InputError: the store cannot be read.
        """
        return self._run(run_id) is not None

    def _run(self, run_id: str) -> Run | None:
        if self.fault is not None:
            raise self.fault
        if self._client is None:
            return None
        with reading.answering(self._where):
            try:
                return self._client.get_run(run_id)
            except MlflowException as error:
                if error.error_code != ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
                    raise
                return None

    def side(self, run_id: str, environment: str) -> Side | None:
        """A run with all that led to it, to be compared; None if it is of another environment."""
        last = self.get(run_id)
        if last.data.tags.get("environment") != environment:
            return None
        runs = self._beside(last) | {run.data.tags["stage"]: run for run in self.chain(last)}
        said = facts(last)
        about = f"MLflow run {last.info.run_id} of commit {said['commit'][:12]}"
        label = said["name"].removeprefix(f"{last.data.tags['stage']} ")

        @cache
        def read(name: str) -> bytes | None:
            kind, stage, *rest = name.replace(".json", "").split("/")
            path = f"{stage}.json" if kind == "metrics" else "/".join(("reports", *rest))
            return self._artifact(runs[stage], path) if stage in runs else None

        return Side(label, about, last.data.params, {}, (), read)

    def log_comparison(self, page: Path, reads: Sequence[Callable[[str], bytes | None]]) -> int:
        """Keep a page with the runs that evaluated the sides; returns with how many."""
        contents = [read("metrics/evaluate.json") for read in reads]
        outputs = [hashlib.sha256(content).hexdigest() for content in contents if content]
        runs = self.makers(outputs)
        for run in runs.values():
            assert self._client is not None
            self._client.log_artifact(run.info.run_id, str(page), "comparisons")
        return len(runs)

    def chain(self, run: Run) -> Iterator[Run]:
        """What led to a run, itself last: of two that made the same kind, the nearer one."""
        for above in self.upstream(run).values():
            yield from self.chain(above)
        yield run

    def _beside(self, run: Run) -> dict[str, Run]:
        """The stages' runs in the same pipeline's row, such as that with the videos."""
        parent = run.data.tags.get(PARENT)
        tags = self._client.get_run(parent).data.tags if self._client and parent else {}
        return {k.removeprefix(STAGE): self.get(v) for k, v in tags.items() if k.startswith(STAGE)}

    def _artifact(self, run: Run, path: str) -> bytes | None:
        assert self._client is not None
        with temporary.folder() as folder:
            try:
                found = self._client.download_artifacts(run.info.run_id, path, str(folder))
            except (MlflowException, OSError):
                return None
            return Path(found).read_bytes()

    def upstream(self, run: Run) -> dict[str, Run]:
        """The runs that made its inputs, by the inputs' names."""
        tags = run.data.tags.items()
        return {k.removeprefix(UPSTREAM): self.get(v) for k, v in tags if k.startswith(UPSTREAM)}


LAST = (
    *("evaluate", "assess", "evolve", "mdnrnn", "encode", "joint", "vae", "collect", "rollouts"),
    "report",
)
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
