"""One stage's run in MLflow: opened, written and ended. Only the recorder's process loads it."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock

from world_models.origin.lock import Lock, within
from world_models.tracking import moved
from world_models.tracking.journal import now
from world_models.tracking.run import COST, CURVES
from world_models.tracking.store import Location, database_path

# MLflow runs without pandas (its skinny edition); loading it would cost a quarter of the start.
_SPARED = [name for name in ("pandas", "pyarrow", "scipy") if name not in sys.modules]
sys.modules.update(dict.fromkeys(_SPARED))  # type: ignore[arg-type]

from mlflow.entities import (  # noqa: E402
    Dataset,
    DatasetInput,
    InputTag,
    Metric,
    RunStatus,
)
from mlflow.exceptions import MlflowException  # noqa: E402
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor  # noqa: E402
from mlflow.tracking import MlflowClient  # noqa: E402

from world_models.tracking.pipelines import (  # noqa: E402
    NOTE,
    PARENT,
    Notes,
    Pipeline,
    log_parameters,
    log_tags,
)

METRICS_AT_ONCE = 1000
"""MLflow's limit of one ``log_batch``."""
KIND = "custom_model_development"
"""So that MLflow's UI opens on the runs, not on the traces of a language model."""
VIEW = "pipelines"
"""Key of a saved view of MLflow's UI: the table of pipelines with their scores."""
COLUMNS = (
    "metrics.`agent/mean`",
    "metrics.`agent/se`",
    "metrics.`agent/n`",
    "tags.`variant`",
    "tags.`experiment`",
    "tags.`cell`",
    "attributes.`Version`",
)
SCHEMAS = {
    kind: json.dumps(
        [
            {"type": "tensor", "name": name, "tensor-spec": {"dtype": dtype, "shape": [-1, *shape]}}
            for name, (dtype, shape) in columns.items()
        ]
    )
    for kind, columns in {
        "rollouts": {
            "frames": ("uint8", (64, 64, 3)),
            "actions": ("float32", (-1,)),
            "rewards": ("float32", ()),
        },
        "latents": {
            "mu": ("float32", (-1,)),
            "logvar": ("float32", (-1,)),
            "actions": ("float32", (-1,)),
            "rewards": ("float32", ()),
        },
    }.items()
}
"""What a step of each kind of data set holds, as MLflow writes it."""
STORE_WAIT = 600.0
"""Seconds to wait for another stage that creates the store (which takes 3–20)."""


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
        self._notes = Notes(opening)
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
            case "artifact":
                self._artifact(Path(message["path"]), message["folder"] or None)
            case "input":
                self._input(message)
            case "end":
                self._end(message)

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
        self._pending += [Metric(key, values[key], milliseconds, step) for key in fresh]

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
        if message["kind"] in SCHEMAS:
            source = json.dumps({"uri": Path(message["lasting"]).as_uri()})
            dataset = Dataset(
                name=name,
                digest=digest[:36],  # MLflow's table holds 36 characters: just an MD5 with ``.dir``
                source_type="local",
                source=source,
                schema=json.dumps({"mlflow_tensorspec": {"features": SCHEMAS[message["kind"]]}}),
                profile=json.dumps(message["profile"]),
            )
            tag = InputTag("mlflow.data.context", "input")
            self._client.log_inputs(self.run_id, [DatasetInput(dataset, [tag])])

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
    experiment = _experiment(client, opening["experiment"], opening["artifacts"])
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


def _experiment(client: MlflowClient, name: str, artifacts: str | None) -> str:
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
    address = f"#/experiments/{experiment}/runs?viewStateShareKey={VIEW}"
    note = (
        f"[**The table with scores**]({address}): a row is a pipeline, from the first episode to "
        "`agent/mean`; its stages' runs stand under it. Select rows and press Compare. "
        "`tags.experiment = 'temperature'` finds an experiment's rows, `tags.stage = 'evolve'` "
        "all evolutions."
    )
    state = json.dumps({"selectedColumns": COLUMNS})
    made = now()
    view = {"name": "Pipelines with scores", "createdAt": made, "updatedAt": made, "state": state}
    return {NOTE: note, f"mlflow.sharedViewState.{VIEW}": json.dumps(view)}


def reason(error: Exception) -> str:
    """An error's first line, with its type."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:300]
