"""One stage's run in MLflow: opened, written and ended. Only the recorder's process loads it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    Metric,
    RunStatus,
)
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from mlflow.tracking import MlflowClient

from world_models.origin.lock import Lock, within
from world_models.tracking import champion, datasets, media, moved
from world_models.tracking.experiments import find_experiment, open_store
from world_models.tracking.journal import now
from world_models.tracking.models import Models
from world_models.tracking.pipelines import (
    NOTE,
    PARENT,
    Notes,
    Pipeline,
    log_parameters,
    log_tags,
)
from world_models.tracking.run import COST
from world_models.tracking.store import Location
from world_models.tracking.tracker import CURVES

METRICS_AT_ONCE = 1000
"""MLflow's limit of one ``log_batch``."""


class Run:
    """One open run, and the row of its pipeline.

    Attributes:
        run_id: MLflow's id.
    """

    def __init__(
        self, client: MlflowClient, run_id: str, pipeline: Pipeline, opening: Mapping[str, Any]
    ) -> None:
        self.run_id, self._pipeline = run_id, pipeline
        self._client, self._opening = client, opening
        self._parameters_taken: dict[str, str] = {}
        self._headlines: dict[str, float] = {}
        self._notes, self._models = Notes(opening), Models(client, run_id)
        self._scored: dict[str, str] = {}
        self._pending: list[Metric] = []
        self._last_steps = {m.key: m.step for m in client.get_run(run_id).data._metric_objs}
        self._samples = 1 + max(
            (s for key, s in self._last_steps.items() if key.startswith("system/")), default=-1
        )
        self._monitor: Any = None  # SystemMetricsMonitor is not typed
        self._pid = int(opening["tags"]["process"].rsplit(" ", 2)[1])

    def take(self, message: Mapping[str, Any]) -> None:
        """Do what a line of the journal says; metrics wait for :meth:`flush` or a full batch."""
        match message["do"]:
            case "metrics":
                if len(self._pending) >= METRICS_AT_ONCE:
                    self.flush()
                self._metrics(message["values"], message["step"], message["time"])
            case "upstream":
                self._headlines |= message["values"]
            case "parameters":
                self._parameters(message["values"])
            case "tags":
                self._take_tags(message["values"])
            case "input":
                self._input(message)
            case "end":
                self._end(message)
            case "artifact" | "tables" | "slides" | "model" | "agent":
                self._file(message)

    def _file(self, message: Mapping[str, Any]) -> None:
        match message["do"]:
            case "artifact":
                self._artifact(Path(message["path"]), message["folder"] or None)
            case "tables":
                media.log_tables(self._client, self.run_id, Path(message["path"]))
            case "slides":
                media.log_slides(self._client, self.run_id, Path(message["path"]))
            case "model":
                self._model(message)
            case "agent":
                self._agent(message)

    def _end(self, message: Mapping[str, Any]) -> None:
        stage = self._opening["tags"]["stage"]
        found = {k: v for k, v in self._headlines.items() if not k.startswith("cost/")}
        if COST in self._headlines:
            found[f"cost/{stage}"] = self._headlines[COST]
        self._client.set_terminated(self.run_id, message["status"], message["time"])
        self._pipeline.end(stage, self.run_id, message, self._parameters_taken, found)

    def _metrics(self, values: Mapping[str, float], step: int, milliseconds: int) -> None:
        # A resumed stage repeats the steps since its last save, with equal values; a recorder that
        # was killed leaves a journal of which a part is in MLflow.
        if not any(key.startswith((f"{CURVES}/", "system/")) for key in values):
            self._headlines |= values
        fresh = (k for k in values if step > self._last_steps.get(k, -1))
        self._pending += [
            Metric(key, values[key], milliseconds, step, **self._scored_by(key)) for key in fresh
        ]

    def _scored_by(self, key: str) -> dict[str, str]:
        """Which model a headline figure is of, and on which data."""
        return {} if key.startswith((f"{CURVES}/", "system/", "cost/")) else self._scored

    def flush(self) -> None:
        """Write the held-back metrics."""
        while self._pending:
            batch = self._pending[:METRICS_AT_ONCE]
            self._client.log_batch(self.run_id, metrics=batch)
            del self._pending[: len(batch)]

    def _parameters(self, values: Mapping[str, str]) -> None:
        """Write parameters; MLflow refuses another value for a known key."""
        self._parameters_taken |= values
        log_parameters(self._client, self.run_id, values)

    def tags(self, values: Mapping[str, str]) -> None:
        """Write tags."""
        log_tags(self._client, self.run_id, values)

    def _artifact(self, path: Path, folder: str | None) -> None:
        log = self._client.log_artifacts if path.is_dir() else self._client.log_artifact
        log(self.run_id, str(path), folder)

    def _take_tags(self, values: Mapping[str, str]) -> None:
        self.tags(values)
        self._models.code |= values
        self._pipeline.take(values)
        self.tags({NOTE: self._notes.with_tags(values)})

    def _input(self, message: Mapping[str, Any]) -> None:
        """What was read: its digest, who made it, and if it is a data set what it holds."""
        name, root = message["name"], Path(message["root"])
        digest = Lock.read(root).digest(within(root, Path(message["path"]))) or "unknown"
        maker = self._maker(message["digest"])
        if maker is not None:
            self.tags({f"upstream.{name}": maker.info.run_id})
        self.tags({NOTE: self._notes.with_input(name, message["given"], digest, maker)})
        if message["kind"] in datasets.SCHEMAS:
            self._dataset(datasets.stored(message, digest), "input")
        else:
            self._models.use(message["digest"])

    def _dataset(self, dataset: Dataset, context: str) -> None:
        """Record a data set; the figures of this run's model are of the latest."""
        tag = InputTag("mlflow.data.context", context)
        self._client.log_inputs(self.run_id, [DatasetInput(dataset, [tag])])
        self._scored |= {"dataset_name": dataset.name, "dataset_digest": dataset.digest}

    def _model(self, message: Mapping[str, Any]) -> None:
        frames = Path(message["frames"]) if message["frames"] else None
        model = self._models.log_part(Path(message["path"]), message["kind"], frames)
        self._pipeline.made(model)
        self._scored["model_id"] = model

    def _agent(self, message: Mapping[str, Any]) -> None:
        """Log the agent, as scored on its episodes; register it, if this run is to."""
        frames = Path(message["frames"]) if message["frames"] else None
        episodes = Path(message["episodes"])
        folders = {kind: Path(path) for kind, path in message["parts"].items()}
        agent = self._models.log_agent(folders, episodes, frames)
        self._pipeline.made(agent.model_id)
        self._scored["model_id"] = agent.model_id
        environment, played = self._opening["tags"]["environment"], champion.returns(episodes)
        self._dataset(datasets.seeds(environment, list(played), self.run_id), "test")
        if self._opening["register"]:
            lock = Path(self._opening["journals"]) / "registry.lock"
            registry = champion.Registry(self._client, self._opening["uri"], lock)
            said = registry.register(environment, agent, played, self._opening["label"])
            self.tags({"registered": said})

    def _maker(self, digest: str) -> Any:
        """The newest run that made what has this digest; None if it is not in this store."""
        ids = [e.experiment_id for e in self._client.search_experiments()]
        order = ["attributes.start_time DESC"]
        query = f"tags.output = '{digest}'"
        return next(iter(self._client.search_runs(ids, query, max_results=1, order_by=order)), None)

    def sample(self) -> None:
        """Take MLflow's system metrics, and the memory of the stage with all its processes."""
        if self._monitor is None:
            monitor: Any = SystemMetricsMonitor
            self._monitor = monitor(self.run_id)
        self._monitor.collect_metrics()
        values = dict(self._monitor.aggregate_metrics())
        for monitor in self._monitor.monitors:
            monitor.clear_metrics()
        values["stage_memory_usage_megabytes"] = _memory(self._pid) / 1e6
        named = {f"system/{key}": float(value) for key, value in values.items()}
        self._metrics(named, self._samples, now())
        self._samples += 1


def _memory(pid: int) -> int:
    total = 0
    try:
        stage = psutil.Process(pid)
        for process in [stage, *stage.children(recursive=True)]:
            total += process.memory_info().rss
    except psutil.Error:
        pass  # one ended meanwhile: the next sample counts again
    return total


def open_or_continue(opening: Mapping[str, Any]) -> Run:
    """Open the store, made if need be, and in it the journal's run, made if it is new."""
    client = open_store(opening["uri"])
    moved.follow(Location(opening["uri"], opening["artifacts"]))
    experiment = find_experiment(client, opening["experiment"], opening["artifacts"])
    tags = {key: value for key, value in opening["tags"].items() if value}
    query = f"tags.journal = '{tags['journal']}'"
    found = next(iter(client.search_runs([experiment], query, max_results=1)), None)
    parent = found.data.tags.get(PARENT) if found else None
    pipeline = Pipeline.join(client, experiment, opening, parent)
    if found:
        run_id = found.info.run_id
        client.update_run(run_id, status=RunStatus.to_string(RunStatus.RUNNING))
    else:
        tags[PARENT], name = pipeline.run_id, f"{tags['stage']} {pipeline.name}"
        run_id = client.create_run(experiment, opening["time"], tags, name).info.run_id
    run = Run(client, run_id, pipeline, opening)
    run.tags({"process": tags["process"]})
    return run
