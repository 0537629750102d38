"""A stage's MLflow run: opened, ended, and recorded by a process of its own."""

import getpass
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from world_models.errors import Interrupted
from world_models.origin.lock import leaves, within
from world_models.schema import Overlay
from world_models.storage.artifact import Card, lineage
from world_models.storage.scratch import FOLDER, Scratch, find_root
from world_models.tracking import processes, store
from world_models.tracking.journal import Journal
from world_models.tracking.tracker import Tracker, clean, grouped, warn, warned

SWITCH = "WORLD_MODELS_TRACKING"
"""Environment variable: ``off`` records nothing."""
REGISTER = "WORLD_MODELS_REGISTER"
"""Environment variable: ``off`` registers no agent, ``on`` those of experiments' cells too."""
NOTE = "mlflow-run"
"""Name in the stage's scratch under which the run's name is kept, for a resume."""
COST, SPENT = "cost/core-hours", "core-hours"
"""The metric, and the name in the stage's scratch of what interrupted attempts have cost."""
PATIENCE = {"FINISHED": 30.0, "FAILED": 10.0, "KILLED": 3.0}
"""Seconds to wait at a stage's end for its recorder, which then goes on alone."""
_ON, _OFF = ("on", "1", "true", "yes"), ("off", "0", "false", "no")
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PYTHONWARNINGS": "ignore",  # of MLflow's dependencies, which we cannot mend
    "OMP_NUM_THREADS": "1",
    "GIT_OPTIONAL_LOCKS": "0",  # asking git must not disturb a git command of the user's
}
_DEFAULTS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
"""MLflow's own values would wait minutes for a dead server; the recorder tries again itself."""


class Source(NamedTuple):
    """Where a stage's parameters come from."""

    params: Path = Path("params.yaml")
    """Their file, relative to the working folder."""
    offset: int = 0
    """What was added to ``seed``."""
    overlay: Overlay | None = None
    """What an experiment changes in them."""


ROOT_FILE = Source()


@contextmanager
def open_run(
    stage: str,
    environment: str,
    parameters: Mapping[str, Any],
    cards: Sequence[Card] = (),
    scratch: Scratch | None = None,
    source: Source = ROOT_FILE,
    reads: Sequence[Path] = (),
) -> Iterator[Tracker]:
    """Record the block as one MLflow run, FINISHED, FAILED or KILLED (Ctrl-C, SIGTERM).

    A run that an interrupted attempt left in ``scratch`` is continued. At the end its metric
    ``cost/core-hours`` is the CPU time of all attempts but those that were killed, and of their
    child processes; what workers of a cluster on other machines did is not in it.

    Args:
        stage: name of the stage; parameters are recorded as ``<stage>.<key>``, as in the file.
        environment: such as ``carracing``; MLflow's experiment is ``world-models-<environment>``
            unless ``MLFLOW_EXPERIMENT_NAME`` says otherwise.
        parameters: the stage's own; ``seed`` among them becomes a tag too.
        cards: of the inputs: their parameters and those of all stages upstream are recorded as
            ``<stage>.<key>``; headline metrics, as ``<stage>/<key>``, in the pipeline's row alone.
        scratch: where the run's name is kept for a resume.
        source: where the parameters come from.
        reads: paths of the inputs, for what the commit has of the stages that made them.

    Raises:
        UserError: the tracking URI can never work. An unreachable one is a warning, and what is
            logged is kept until it can be recorded.
    """
    if os.environ.get(SWITCH, "").lower() in _OFF:
        yield Tracker()
        return
    opening = _opening(stage, environment, parameters, source)
    opening["inputs"] = [within(Path.cwd(), path) for path in reads]
    try:
        kept = scratch.load(NOTE) if scratch else None
        before = float((scratch.load(SPENT) if scratch else None) or 0)
        journal = _create(opening, scratch, kept)
        _append_lineage(journal, stage, parameters, cards)
    except OSError as error:
        warn(f"this run is not recorded: {error}")
        yield Tracker()
        return
    recorder, status = _start(journal), "FAILED"
    tracker = Tracker(journal, stage=stage, continued=kept is not None)
    try:
        yield tracker
        status = "FINISHED"
    except (Interrupted, KeyboardInterrupt):
        status = "KILLED"
        raise
    finally:
        # After success the scratch is gone, and nothing is to be added up.
        _log_cost(journal, before + _core_hours(), scratch if status != "FINISHED" else None)
        _end(journal, recorder, status)


def _log_cost(journal: Journal, cost: float, scratch: Scratch | None) -> None:
    """Record core-hours, and keep them in ``scratch`` for the next attempt."""
    with warned("what it has cost is not recorded"):
        # Milliseconds as its step: a resumed run's is a later one, which is recorded too.
        journal.append({"do": "metrics", "values": {COST: cost}, "step": int(3.6e6 * cost)})
    if scratch:
        with warned("what this attempt has cost is forgotten"):
            scratch.save(SPENT, repr(cost).encode())


def _core_hours() -> float:
    """CPU time of this process and of the children that ended."""
    used = os.times()
    return (used.user + used.system + used.children_user + used.children_system) / 3600


def _create(opening: dict[str, Any], scratch: Scratch | None, kept: bytes | None) -> Journal:
    """A journal for a new run, or for another attempt at the one whose name was ``kept``."""
    name = kept.decode() if kept else f"{opening['name'].replace('@', '-')}-{uuid.uuid4().hex[:12]}"
    if scratch and not kept:
        scratch.save(NOTE, name.encode())
    journal = Journal(Path(opening["journals"]) / f"{name}-{time.time_ns()}.jsonl")
    opening["tags"]["journal"] = journal.run
    journal.create(opening)
    return journal


def _start(journal: Journal) -> "subprocess.Popen[bytes] | None":
    with (
        warned("the recorder cannot start, the next stage's does its work"),
        journal.log.open("ab") as log,
    ):
        return subprocess.Popen(
            [sys.executable, "-m", "world_models.tracking.recorder", str(journal.path)],
            stdin=subprocess.DEVNULL,
            stdout=2,  # the recorder's messages for people
            stderr=log,
            env=_DEFAULTS | os.environ | _QUIET,
            start_new_session=True,  # Ctrl-C is for the stage, which then says how it ended
        )
    return None


def _end(journal: Journal, recorder: "subprocess.Popen[bytes] | None", status: str) -> None:
    """Say how the stage ended, and give the recorder a moment to finish."""
    with warned("the run's end is not recorded"):
        journal.append({"do": "end", "status": status})
    code = _wait(recorder, PATIENCE[status])
    if code == -signal.SIGKILL:  # such as by a system that is short of memory
        code = _wait(_start(journal), PATIENCE[status])
    if code:
        warn(f"the recorder failed, see {journal.log}. The next stage's recorder tries again.")


def _wait(recorder: "subprocess.Popen[bytes] | None", patience: float) -> int | None:
    try:
        return recorder.wait(patience) if recorder else None
    except subprocess.TimeoutExpired:
        warn("recording takes long; it goes on in the background")
        return None


def _opening(
    stage: str, environment: str, parameters: Mapping[str, Any], source: Source
) -> dict[str, Any]:
    location = store.locate()
    tags = _tags(stage, environment, parameters) | _cell(source)
    label = tags["cell"] or tags["variant"]
    return {
        "do": "open",
        "journals": str(find_root().absolute() / FOLDER / "tracking"),
        "label": label,
        "pipeline": "/".join((environment, tags["experiment"], label)),
        "source": f"experiments/{tags['experiment']}/dvc.yaml"
        if tags["experiment"]
        else "dvc.yaml",
        "uri": location.uri,
        "artifacts": location.artifacts,
        "experiment": os.environ.get("MLFLOW_EXPERIMENT_NAME", "").strip()
        or f"world-models-{environment}",
        "name": f"{stage}@{environment}",
        "tags": tags,
        "own": dict(parameters),
        "register": _registers(tags["experiment"], parameters),
        "params": str(source.params),
        "offset": source.offset,
        "overlay": str(source.overlay or ""),
    }


def _registers(experiment: str, parameters: Mapping[str, Any]) -> bool:
    """Whether an agent that is scored becomes a version: by default, in the root's pipelines.

    Never where the simulator is disturbed: such a score is beside those of others.
    """
    said = os.environ.get(REGISTER, "").lower()
    wanted = said in _ON or (not experiment and said not in _OFF)
    return wanted and parameters.get("disturbance", "none") == "none"


def _append_lineage(
    journal: Journal, stage: str, parameters: Mapping[str, Any], cards: Sequence[Card]
) -> None:
    """The parameters of the stage and of all stages upstream, and the metrics of the latter."""
    found = lineage(cards, stage)
    values = {name: made["parameters"] for name, made in found.items()} | {stage: parameters}
    texts = {clean(key): str(value) for key, value in leaves(values)}
    journal.append({"do": "parameters", "values": texts})
    upstream = [grouped(name, made["metrics"]) for name, made in found.items()]
    journal.append({"do": "upstream", "values": {k: v for one in upstream for k, v in one.items()}})


def _tags(stage: str, environment: str, parameters: Mapping[str, Any]) -> dict[str, str]:
    experiment = os.environ.get("DVC_EXP_NAME", "")
    return {
        "stage": stage,
        "environment": environment,
        "variant": os.environ.get("WORLD_MODELS_VARIANT") or experiment or "workspace",
        "seed": str(parameters.get("seed", "")),
        "dvc.experiment": experiment,
        "dvc.stage": os.environ.get("DVC_STAGE", ""),
        "process": processes.identity(os.getpid()),
        "mlflow.user": _user(),
        "mlflow.source.name": f"src/world_models/stages/{stage}.py",
        "mlflow.source.type": "LOCAL",
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a number without a name, as in many containers
        return f"uid-{os.getuid()}"


def _cell(source: Source) -> dict[str, str]:
    """Which cell of which experiment a run is, such as ``tau-115`` of ``temperature``.

    The experiment is the folder of the overlay; the cell is the name that DVC calls the stage by.
    """
    experiment = source.overlay.path.resolve().parent.name if source.overlay else ""
    _, _, cell = os.environ.get("DVC_STAGE", "").partition("@")
    tags = {"experiment": experiment, "cell": cell if experiment else ""}
    return tags | {"offset": str(source.offset or "")}
