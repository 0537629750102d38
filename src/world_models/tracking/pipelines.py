"""One row of MLflow's table for a pipeline: the parent of its stages' runs.

A stage joins the newest pipeline of its environment, variant and cell in which it has not finished
yet, else it begins a new one. So what is repeated after a change stands in a row of its own, and an
interrupted pipeline goes on in its row. The row has the parameters of all stages, those too that
did not run because DVC had their outputs, and at the end the score.
"""

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock
from mlflow.entities import LoggedModelOutput, Metric, Param, Run, RunStatus, RunTag
from mlflow.tracking import MlflowClient

from world_models.tracking.store import TRAINING

KIND, KEY, PARENT = "kind", "pipeline", "mlflow.parentRunId"
PIPELINE = "pipeline"
"""Value of the tag ``kind`` of a row."""
STAGE = "stage."
"""Begins the tag that holds the run of a stage that has finished."""
SCORE = "agent/mean"
"""Figure of a row that matters most."""
NOTE = "mlflow.note.content"
"""Tag of the description."""
PARAMETERS_AT_ONCE = 100
"""MLflow's limit of one ``log_batch``."""
LONGEST_VALUE = 6000
"""Characters of a parameter that MLflow keeps."""


class Pipeline:
    """A parent run.

    Attributes:
        run_id: MLflow's id.
        name: such as ``tau-115 11-27 05:32``.
    """

    def __init__(self, client: MlflowClient, run: Run) -> None:
        self.run_id, self.name = run.info.run_id, run.info.run_name
        self._client, self._experiment = client, run.info.experiment_id
        self._known = set(run.data.params)

    @classmethod
    def join(
        cls, client: MlflowClient, experiment: str, opening: Mapping[str, Any], parent: str | None
    ) -> "Pipeline":
        """The pipeline of a stage that starts; its row says that it runs.

        Args:
            client: of the store.
            experiment: MLflow's id of the experiment.
            opening: first line of the stage's journal.
            parent: the row of an attempt that goes on, if it has one.
        """
        with FileLock(Path(opening["journals"]) / "pipelines.lock"):
            found = client.get_run(parent) if parent else cls._find(client, experiment, opening)
            run = found or cls._begin(client, experiment, opening)
        client.update_run(run.info.run_id, status=RunStatus.to_string(RunStatus.RUNNING))
        return cls(client, run)

    @staticmethod
    def _find(client: MlflowClient, experiment: str, opening: Mapping[str, Any]) -> Run | None:
        query = f"tags.{KIND} = '{PIPELINE}' and tags.{KEY} = '{opening['pipeline']}'"
        order = ["attributes.start_time DESC"]
        newest = client.search_runs([experiment], query, max_results=1, order_by=order)
        stage = STAGE + opening["tags"]["stage"]
        return next((run for run in newest if stage not in run.data.tags), None)

    @staticmethod
    def _begin(client: MlflowClient, experiment: str, opening: Mapping[str, Any]) -> Run:
        began = time.strftime("%m-%d %H:%M", time.localtime(opening["time"] / 1000))
        kept = ("environment", "variant", "dvc.experiment", "experiment", "cell")
        tags = {name: opening["tags"].get(name) for name in (*kept, "mlflow.user")}
        tags |= {KIND: PIPELINE, KEY: opening["pipeline"]}
        tags |= {"mlflow.source.name": opening["source"], "mlflow.source.type": "LOCAL"}
        given = {name: value for name, value in tags.items() if value}
        name = f"{opening['label']} {began}"
        run = client.create_run(experiment, opening["time"], given, name)
        # A comparison in MLflow opens on the metric that a run had first: the score, not known yet.
        client.log_metric(run.info.run_id, SCORE, math.nan, opening["time"], step=0)
        return run

    def take(self, tags: Mapping[str, str]) -> None:
        """Pass on what the latest stage knows of its code."""
        code = ("mlflow.source.git", "dirty", "differs")
        kept = {k: v for k, v in tags.items() if k.startswith(code)}
        if kept:
            self._tags(kept)

    def made(self, model_id: str) -> None:
        """Show a model in the row's column of models."""
        log_output(self._client, self.run_id, model_id)

    def end(
        self,
        stage: str,
        run_id: str,
        end: Mapping[str, Any],
        parameters: Mapping[str, str],
        metrics: Mapping[str, float],
    ) -> None:
        """Take over what a stage has found, as it ends.

        Args:
            stage: its name.
            run_id: of its run.
            end: last line of its journal.
            parameters: its own and those of all stages upstream; taken if it has finished.
            metrics: headline figures, likewise.
        """
        if end["status"] == "FINISHED":
            # MLflow refuses another value for a known parameter; there is none in one pipeline.
            new = {k: v for k, v in parameters.items() if k not in self._known}
            log_parameters(self._client, self.run_id, new)
            values = [Metric(k, v, end["time"], 0) for k, v in metrics.items()]
            self._client.log_batch(self.run_id, metrics=values)
            self._tags({STAGE + stage: run_id})
            self._describe()
        self._client.set_terminated(self.run_id, end["status"], end["time"])

    def _tags(self, values: Mapping[str, str]) -> None:
        log_tags(self._client, self.run_id, values)

    def _describe(self) -> None:
        tags = self._client.get_run(self.run_id).data.tags
        runs = {k.removeprefix(STAGE): v for k, v in tags.items() if k.startswith(STAGE)}
        self._tags(
            {NOTE: describe(tags, [(k, link(self._experiment, v)) for k, v in runs.items()])}
        )


def log_tags(client: MlflowClient, run_id: str, values: Mapping[str, str]) -> None:
    """Write tags of a run."""
    client.log_batch(run_id, tags=[RunTag(key, value) for key, value in values.items()])


def log_parameters(client: MlflowClient, run_id: str, values: Mapping[str, str]) -> None:
    """Write parameters of a run in batches that MLflow takes."""
    items = [Param(key, value[:LONGEST_VALUE]) for key, value in values.items()]
    for start in range(0, len(items), PARAMETERS_AT_ONCE):
        client.log_batch(run_id, params=items[start : start + PARAMETERS_AT_ONCE])


def log_output(client: MlflowClient, run_id: str, model_id: str) -> None:
    """Write that a run has made a model; said twice, it stands once."""
    outputs = client.get_run(run_id).outputs
    known = {model.model_id for model in outputs.model_outputs} if outputs else set()
    if model_id not in known:
        client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])


class Notes:
    """The description of a stage's run, in Markdown; grows with what is known of it."""

    def __init__(self, opening: Mapping[str, Any]) -> None:
        self._opening, self._tags = opening, dict(opening["tags"])
        self._inputs: list[str] = []

    def with_tags(self, tags: Mapping[str, str]) -> str:
        """The description, once these tags are known too."""
        self._tags |= tags
        return self._text()

    def with_input(self, name: str, path: str, digest: str, maker: Run | None) -> str:
        """The description with one more input: its path, DVC's digest, and the run that made it."""
        line = f"- **{name}**: `{path}`, md5 `{digest}`"
        if maker is not None:
            address = link(maker.info.experiment_id, maker.info.run_id)
            line += f", made by [{maker.info.run_name}]({address})"
        self._inputs.append(line)
        return self._text()

    def _text(self) -> str:
        tags = self._tags
        lines = [f"Stage **{tags['stage']}** of {tags['environment']}."]
        lines += ["\n".join(["It read:", "", *self._inputs])] if self._inputs else []
        if tags.get("dvc.stage"):
            node = tags["dvc.stage"]
            file = self._opening["source"]
            target = node if file == "dvc.yaml" else f"{file}:{node}"
            lines.append(repeat(tags, f"dvc repro {target}"))
        return "\n\n".join(lines)


def link(experiment: str, run_id: str) -> str:
    """Where MLflow's UI shows a run, seen from any of its pages."""
    return f"#/experiments/{experiment}/runs/{run_id}?{TRAINING}"


def describe(tags: Mapping[str, str], stages: Sequence[tuple[str, str]]) -> str:
    """The description of a row, in Markdown.

    Args:
        tags: its tags.
        stages: name and link of each stage that ran.
    """
    made = ", ".join(f"[{name}]({address})" for name, address in stages)
    lines = [f"A pipeline of **{tags['environment']}**, variant {tags['variant']}."]
    if "experiment" in tags:
        cell = f"Cell **{tags['cell']}**" if "cell" in tags else "A stage that was run by hand"
        lines.append(f"{cell}, of experiment {tags['experiment']}.")
    lines.append(f"Stages that ran: {made}. DVC had the outputs of all others.")
    lines.append(repeat(tags, "dvc repro"))
    return "\n\n".join(lines)


def repeat(tags: Mapping[str, str], command: str) -> str:
    """How to get a run again, in Markdown."""
    commit = tags.get("mlflow.source.git.commit")
    if not commit:
        return f"Repeat it: `{command}`."
    text = f"Repeat it: `git checkout {commit[:12]} && {command}`"
    if tags.get("dirty") == "false":
        return f"{text}."
    what = {"dirty.code": "files under src", "dirty.parameters": "its parameters"}
    other = [said for tag, said in what.items() if tags.get(tag) == "true"]
    upstream = tags.get("dirty.upstream", "false")
    other += [line for line in upstream.split("; ") if upstream != "false"]
    lines = [f"{text}, with what that commit does not have:", "", *(f"- {line}" for line in other)]
    if tags.get("dvc.experiment"):
        lines += ["", f"`dvc exp apply {tags['dvc.experiment']}` brings the parameters back."]
    return "\n".join(lines)
