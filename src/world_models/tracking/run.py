"""A stage's MLflow run: what the stage says about itself while it works."""

import json
import math
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from world_models.errors import Interrupted
from world_models.storage.artifact import Card
from world_models.tracking import provenance, store
from world_models.tracking.channel import Channel

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

SWITCH = "WORLD_MODELS_TRACKING"
"""Environment variable: ``off`` records nothing."""
NOTE = "mlflow-run"
"""Name under which the run's id stands in the stage's scratch."""
PATIENCE = {"FINISHED": 300.0, "FAILED": 20.0, "KILLED": 3.0}
"""Seconds to wait at the end for what is still to be recorded; after that it goes on alone."""


class Notebook(Protocol):
    """What outlives a killed stage; ``storage.scratch.Scratch`` is one."""

    def save(self, name: str, data: bytes) -> None:
        """Keep ``data``."""

    def load(self, name: str) -> bytes | None:
        """What was kept, or None."""


class Tracker:
    """Takes what a stage reports. No method raises or waits; a fault becomes a line on stderr.

    Metric and parameter names may hold letters, digits and ``_-./: ``; others become ``_``.

    Attributes:
        continued: whether the run is that of an interrupted attempt, which recorded its part.
    """

    def __init__(
        self, channel: Channel | None, notebook: Notebook | None, *, continued: bool = False
    ) -> None:
        self.continued = continued
        self._channel = channel
        self._notebook = notebook
        self._noted = False
        self._folder = Path(tempfile.mkdtemp(prefix="world-models-")) if channel else None

    @property
    def run_id(self) -> str | None:
        """MLflow's id of the run, None until the recorder has opened it or without tracking."""
        return self._channel.run_id if self._channel else None

    @property
    def recording(self) -> bool:
        """Whether anything is recorded at all."""
        return self._channel is not None

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Record numbers at a step (stage's own count: gradient step, generation, shard)."""
        values = {_name(key): float(value) for key, value in metrics.items()}
        self._send(do="metrics", values=values, step=int(step), time=int(time.time() * 1000))

    def log_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Record parameters, nested ones flattened with dots; MLflow never changes one again."""
        self._send(do="parameters", values=_texts(parameters))

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Record or replace tags."""
        self._send(do="tags", values=dict(tags))

    def log_artifact(self, path: Path, folder: str = "") -> None:
        """Copy a file, or all files of a folder, to the run's artifacts under ``folder``.

        The path must stay until the run ends.
        """
        self._send(do="artifact", path=str(Path(path).resolve()), folder=folder)

    def log_figure(self, name: str, figure: "Figure") -> None:
        """Record a matplotlib figure as PNG; ``name`` is its path among the artifacts."""
        if self._folder is None:
            return
        path = self._scratch_path(name if name.endswith(".png") else f"{name}.png")
        try:
            figure.savefig(path, dpi=120, metadata={"Software": None})
        except (OSError, ValueError) as error:
            self._complain(f"the figure {name} cannot be drawn: {error}")
            return
        self._send_scratch(path)

    def log_table(self, name: str, table: "pd.DataFrame") -> None:
        """Record a table as CSV; ``name`` is its path among the artifacts."""
        if self._folder is None:
            return
        path = self._scratch_path(name if name.endswith(".csv") else f"{name}.csv")
        try:
            table.to_csv(path, index=False)
        except OSError as error:
            self._complain(f"the table {name} cannot be written: {error}")
            return
        self._send_scratch(path)

    def log_input(self, name: str, path: Path, digest: str | None = None) -> None:
        """Record what the stage reads, never its bytes.

        Args:
            name: such as ``rollouts``.
            path: where it lies.
            digest: identifies the bytes; by default DVC's, from ``dvc.lock``.
        """
        digest = digest or provenance.dvc_digest(Path("dvc.lock"), path) or "unknown"
        # 36 characters are what MLflow's table holds: just an MD5 with ``.dir``
        self._send(do="input", name=name, path=str(Path(path).resolve()), digest=digest[:36])

    def log_outputs(self, metrics: Path | None, reports: Path) -> None:
        """Record a stage's metrics JSON (numbers, flattened with dots) and its reports folder."""
        if metrics is not None:
            self._log_metrics_file(metrics)
        if reports.is_dir():
            self.log_artifact(reports, "reports")

    def _log_metrics_file(self, metrics: Path) -> None:
        try:
            content = json.loads(metrics.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            self._complain(f"{metrics} cannot be read: {error}")
        else:
            self.log_metrics(_numbers(content))
            self.log_artifact(metrics)

    def close(self, status: str) -> None:
        """End the run as FINISHED, FAILED or KILLED, when all before it has been recorded."""
        over = self._channel is None or self._channel.close(status, PATIENCE[status])
        if self._folder and over:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _send(self, **message: Any) -> None:
        if self._channel is None:
            return
        self._channel.send(message)
        self._note()

    def _note(self) -> None:
        # by the stage's own thread: nobody may write to the scratch while the stage removes it
        if self._noted or self._notebook is None or self.run_id is None:
            return
        self._noted = True
        try:
            self._notebook.save(NOTE, self.run_id.encode())
        except Exception as error:  # tracking must not end a stage
            self._complain(f"the run's id cannot be kept for a resume: {error}")

    def _scratch_path(self, name: str) -> Path:
        assert self._folder is not None
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _send_scratch(self, path: Path) -> None:
        assert self._folder is not None
        folder = path.relative_to(self._folder).parent.as_posix()
        self._send(do="artifact", path=str(path), folder="" if folder == "." else folder)

    def _complain(self, text: str) -> None:
        if self._channel:
            self._channel.warn(text)


@contextmanager
def open_run(
    stage: str,
    environment: str,
    parameters: Mapping[str, Any],
    cards: Sequence[Card] = (),
    scratch: Notebook | None = None,
) -> Iterator[Tracker]:
    """Record the block as one MLflow run, FINISHED, FAILED or KILLED (Ctrl-C, SIGTERM).

    A run that stands in ``scratch`` from an interrupted attempt is continued.

    Args:
        stage: name of the stage; parameters are recorded as ``<stage>.<key>``, as in the file.
        environment: such as ``carracing``; MLflow's experiment is ``world-models-<environment>``
            unless ``MLFLOW_EXPERIMENT_NAME`` says otherwise.
        parameters: the stage's own; ``seed`` among them becomes a tag too.
        cards: of the inputs: their parameters and headline metrics and those of all stages
            upstream are recorded as ``<stage>.<key>``, so that one row compares pipelines.
        scratch: where the run's id is kept for a resume.

    Raises:
        UserError: the tracking URI can never work. An unreachable one is a warning, and is tried
            again while the stage runs.
    """
    if os.environ.get(SWITCH, "").lower() in ("off", "0", "false", "no"):
        yield Tracker(None, None)
        return
    opening = _opening(stage, environment, parameters, cards)
    opening["run_id"] = _previous(scratch)
    tracker = Tracker(Channel(opening), scratch, continued=opening["run_id"] is not None)
    try:
        yield tracker
    except (Interrupted, KeyboardInterrupt):
        tracker.close("KILLED")
        raise
    except BaseException:
        tracker.close("FAILED")
        raise
    tracker.close("FINISHED")


def _opening(
    stage: str, environment: str, parameters: Mapping[str, Any], cards: Sequence[Card]
) -> dict[str, Any]:
    lineage: dict[str, Mapping[str, Any]] = {}
    for card in cards:
        own = {"parameters": card.parameters, "metrics": card.metrics}
        lineage |= card.lineage | {card.stage: own}
    upstream = {name: made["metrics"] for name, made in lineage.items()}
    values = {name: made["parameters"] for name, made in lineage.items()} | {stage: parameters}
    location = store.locate()
    return {
        "do": "open",
        "time": int(time.time() * 1000),
        "uri": location.uri,
        "artifacts": location.artifacts,
        "experiment": os.environ.get("MLFLOW_EXPERIMENT_NAME", f"world-models-{environment}"),
        "name": f"{stage}@{environment}",
        "parameters": _texts(values),
        "metrics": _numbers(upstream),
        "tags": _tags(stage, environment, parameters),
        "stage": stage,
        "environment": environment,
        "own": dict(parameters),
    }


def _tags(stage: str, environment: str, parameters: Mapping[str, Any]) -> dict[str, str]:
    experiment = os.environ.get("DVC_EXP_NAME", "")
    return {
        "stage": stage,
        "environment": environment,
        "variant": os.environ.get("WORLD_MODELS_VARIANT") or experiment or "workspace",
        "seed": str(parameters.get("seed", "")),
        "dvc.experiment": experiment,
        "dvc.stage": os.environ.get("DVC_STAGE", ""),
        "process": provenance.process_identity(os.getpid()),
    }


def _previous(scratch: Notebook | None) -> str | None:
    kept = scratch.load(NOTE) if scratch else None
    return kept.decode() if kept else None


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield _name(f"{prefix}{key}"), value


def _name(key: str) -> str:
    return re.sub(r"[^\w\-. /:]", "_", key, flags=re.ASCII)


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in _leaves(values)}


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    numbers = {k: v for k, v in _leaves(values) if isinstance(v, int | float)}
    return {key: float(value) for key, value in numbers.items() if not math.isnan(value)}
