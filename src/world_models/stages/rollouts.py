"""Stage rollouts: act in the simulator and store the episodes (paper 3.1, App. A.2).

Writes ``data/<env>/rollouts``: shards of whole episodes with an index. A unit of work is a shard:
workers play and compress it, the driver stores it, so that a killed run goes on by shard and the
bytes do not depend on the number of workers.
"""

import importlib
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from world_models.engine.api import Task
from world_models.engine.settings import open_engine
from world_models.envs import catalogue
from world_models.envs.parameters import RolloutsParameters
from world_models.errors import ParameterError
from world_models.progress import progress
from world_models.seeding import episode_seeds
from world_models.stages.command import Context, Input, Outputs, Stage, main
from world_models.storage import artifact, atomic, tensors
from world_models.storage.episodes import (
    EpisodeReader,
    ShardInfo,
    assemble,
    shard_info,
    shard_name,
)
from world_models.storage.scratch import Scratch
from world_models.worlds import collect
from world_models.worlds.collect import Limits, RandomPlan

AGENT = "world_models.worlds.collect_agent"
"""Loaded by name: what a random policy collects does not depend on the code of V, M and C."""
ROWS, COLUMNS = 6, 10
"""Episodes, and moments of each, whose frames are stored to be looked at."""


def run(
    parameters: RolloutsParameters,
    inputs: Mapping[str, Input],
    outputs: Outputs,
    context: Context,
) -> None:
    """Collect what an interrupted run has not collected yet, then put it together."""
    units = _units(parameters)
    task = _task(parameters, inputs, context.environment)
    _collect(task, units, context)
    details = _details(parameters, context.environment)
    metrics: dict[str, Any] = {}
    with artifact.create(
        outputs.artifact,
        kind="rollouts",
        environment=context.environment,
        stage="rollouts",
        parameters=parameters.model_dump(mode="json"),
        metrics=metrics,
        details=details,
        upstream=[given.card for given in inputs.values()],
    ) as folder:
        index = _assemble(folder, len(units), context.scratch, parameters)
        metrics |= _metrics(index, parameters)
        details["action_size"] = _report(folder, index, outputs.reports)
    outputs.write_metrics(metrics)


def _units(parameters: RolloutsParameters) -> list[NDArray[np.int64]]:
    """The seeds of each shard's episodes."""
    seeds = episode_seeds("rollouts", parameters.seed, 0, parameters.episodes)
    size = parameters.shard_episodes
    return [seeds[start : start + size] for start in range(0, len(seeds), size)]


def _task(parameters: RolloutsParameters, inputs: Mapping[str, Input], environment: str) -> Task:
    limits = Limits(parameters.max_steps, parameters.min_length)
    if parameters.policy == "controller":
        missing = [f"--{kind}" for kind in STAGE.inputs if kind not in inputs]
        if missing:
            raise ParameterError(
                f"{environment}.rollouts.policy = 'controller' needs {' and '.join(missing)}: "
                "give the folders of the agent that shall collect, or choose policy 'random'."
            )
        paths = {kind: given.path for kind, given in inputs.items()}
        agent = importlib.import_module(AGENT)
        task: Task = agent.task(environment, paths, parameters.renderer, parameters.latent, limits)
        return task
    hold = (parameters.hold_min, parameters.hold_max)
    plan = RandomPlan(environment, parameters.renderer, parameters.behaviour, hold, limits)
    return Task(collect.setup_random, plan, collect.work)


def _collect(task: Task, units: list[NDArray[np.int64]], context: Context) -> None:
    """Bring every shard into the scratch; an empty one holds no episode that was long enough."""
    scratch, title = context.scratch, f"rollouts {context.environment}"
    todo = [k for k in range(len(units)) if scratch.load(shard_name(k)) is None]
    episodes = sum(map(len, units))
    done = episodes - sum(len(units[k]) for k in todo)
    with open_engine(context.engine) as engine, progress(episodes, title, done=done) as bar:
        for index, shard in engine.run(task, [units[k] for k in todo]):
            k = todo[index]
            scratch.save(shard_name(k), shard)
            context.tracker.log_metrics({"shard_bytes": len(shard)}, step=k)
            bar.advance(len(units[k]))


def _assemble(
    folder: Path, shards: int, scratch: Scratch, parameters: RolloutsParameters
) -> pd.DataFrame:
    infos: list[ShardInfo] = []
    for k in range(shards):
        data = scratch.load(shard_name(k))
        assert data is not None, k
        if data:
            name = shard_name(len(infos))
            atomic.write(folder / name, data)
            infos.append(shard_info(name, data))
    if not infos:
        raise ParameterError(
            f"None of the {parameters.episodes} episodes reached rollouts.min_length = "
            f"{parameters.min_length} steps, so there is nothing to learn from. Lower it."
        )
    return assemble(folder, infos)


def _metrics(index: pd.DataFrame, parameters: RolloutsParameters) -> dict[str, Any]:
    returns, lengths = index["return"].to_numpy(), index["length"].to_numpy()
    sd = float(returns.std(ddof=1)) if len(returns) > 1 else 0.0
    return {
        "episodes": len(index),
        "dropped": parameters.episodes - len(index),
        "frames": int(lengths.sum()),
        "return_mean": float(returns.mean()),
        "return_sd": sd,
        "return_se": sd / float(np.sqrt(len(returns))),
        "length_mean": float(lengths.mean()),
        "terminated": float((index["ended"] == "terminated").mean()),
    }


def _details(parameters: RolloutsParameters, environment: str) -> dict[str, Any]:
    """The data set's card: what was run, how, and what the columns hold."""
    first, *_ = episode_seeds("rollouts", parameters.seed, 0, 1).tolist()
    return {
        "simulator": {
            name: _version(name) for name in catalogue.specification(environment).packages
        },
        "renderer": parameters.renderer,
        "policy": parameters.behaviour if parameters.policy == "random" else "controller",
        "seeds": {"first": first, "count": parameters.episodes},
        "schema": {
            "frames": "uint8 (T, 64, 64, 3), 0-255: what is seen when the action is taken",
            "actions": "float32 (T, A)",
            "rewards": "float32 (T,), for the step that follows",
            "terminated": "bool, the episode ended by itself (death, lap, off the field)",
            "truncated": "bool, the episode reached the environment's cap",
        },
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # Box2D comes under several names
        return "unknown"


def _report(folder: Path, index: pd.DataFrame, reports: Path) -> int:
    """A table of the data set and some of its frames; returns how many numbers an action has."""
    reader = EpisodeReader(folder)
    with atomic.atomic_folder(reports) as draft:
        columns = ["episode", "length", "return", "ended"]
        index[columns].to_csv(draft / "episodes.csv", index=False)
        tensors.save(draft / "frames.safetensors", {"frames": _sheet(reader)})
    size = reader.action_size
    reader.close()
    return size


def _sheet(reader: EpisodeReader) -> NDArray[np.uint8]:
    """Frames spread evenly over the episodes and the data set, (rows, COLUMNS, 64, 64, 3)."""
    rows = []
    for episode in np.unique(np.linspace(0, len(reader) - 1, ROWS).astype(int)).tolist():
        steps = np.linspace(0, reader.lengths[episode] - 1, COLUMNS).astype(int).tolist()
        rows.append(np.concatenate([reader.frames(episode, t, t + 1) for t in steps]))
    return np.stack(rows)


STAGE = Stage(
    name="rollouts",
    description="Act in the simulator and store the episodes.",
    schema=RolloutsParameters,
    inputs=("vae", "mdnrnn", "controller"),
    run=run,
    optional=("vae", "mdnrnn", "controller"),
)

if __name__ == "__main__":
    main(STAGE)
