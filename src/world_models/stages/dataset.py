"""What stages rollouts and collect share: episodes are played shard by shard, then put together.

A unit of work is a shard: workers play and compress it, the driver stores it, so that a killed run
goes on by shard and the bytes do not depend on the number of workers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from world_models.engine.api import Task
from world_models.engine.settings import open_engine
from world_models.envs import catalogue
from world_models.envs.parameters import EpisodesParameters
from world_models.errors import ParameterError
from world_models.progress import progress
from world_models.seeding import episode_seeds
from world_models.stages.command import Context, Input, Outputs
from world_models.storage import artifact, atomic, tensors
from world_models.storage.episodes import (
    EpisodeReader,
    ShardInfo,
    assemble,
    shard_info,
    shard_name,
)

ROWS, COLUMNS = 6, 10
"""Episodes, and moments of each, whose frames are stored to be looked at."""

LOOKED_AT = 4000
"""Frames of which it is counted what they show."""


@dataclass(frozen=True, eq=False)
class Earlier:
    """An earlier data set that a new one goes on from.

    Attributes:
        folder: where it lies; None if there is none.
        shards: names of its shards, in order.
        seeds: of its episodes, int64 (E,).
        sources: of whom its episodes are: policy and number of episodes, in order.
    """

    folder: Path | None
    shards: tuple[str, ...]
    seeds: NDArray[np.int64]
    sources: list[dict[str, Any]]


@dataclass(frozen=True)
class Dataset:
    """A data set in the making, an artifact of the kind ``rollouts``.

    The input ``earlier``, if there is one, is a data set whose episodes come first; metrics and
    reports are of the new ones alone.

    Attributes:
        stage: which stage makes it.
        parameters: which episodes.
        inputs: of the stage.
        outputs: of the stage.
        context: of the stage.
    """

    stage: str
    parameters: EpisodesParameters
    inputs: Mapping[str, Input]
    outputs: Outputs
    context: Context

    def make(self, task: Task, details: Mapping[str, Any]) -> None:
        """Play all episodes and write the artifact, its metrics and its reports.

        Args:
            task: plays a shard's seeds, see :func:`world_models.worlds.collect.work`.
            details: for the card; ``policy`` says who acted.

        Raises:
            ParameterError: no episode was long enough, or an earlier one has the same seed.
        """
        units = self._units()
        earlier = self._earlier(units)
        self._play(task, units)
        said = {**self._details(), **details}
        metrics: dict[str, Any] = {}
        with artifact.create(
            self.outputs.artifact,
            kind="rollouts",
            environment=self.context.environment,
            stage=self.stage,
            parameters=self.parameters.model_dump(mode="json"),
            metrics=metrics,
            details=said,
            upstream=[given.card for given in self.inputs.values()],
        ) as folder:
            index = self._assemble(folder, earlier, len(units))
            new = range(len(earlier.seeds), len(index))
            metrics |= _metrics(index[new.start :], self.parameters.episodes)
            said["sources"] = [*earlier.sources, {"policy": said["policy"], "episodes": len(new)}]
            with EpisodeReader(folder) as reader:
                metrics |= self._shares(reader, new)
                said["action_size"] = reader.action_size
                _report(reader, new, self.outputs.reports)
        self.outputs.write_metrics(metrics)

    def _units(self) -> list[NDArray[np.int64]]:
        """The seeds of each shard's episodes."""
        seeds = episode_seeds("rollouts", self.parameters.seed, 0, self.parameters.episodes)
        size = self.parameters.shard_episodes
        return [seeds[start : start + size] for start in range(0, len(seeds), size)]

    def _play(self, task: Task, units: list[NDArray[np.int64]]) -> None:
        """Bring every shard into the scratch; an empty one holds no episode of enough steps."""
        scratch, title = self.context.scratch, f"{self.stage} {self.context.environment}"
        todo = [k for k in range(len(units)) if scratch.load(shard_name(k)) is None]
        episodes = sum(map(len, units))
        done = episodes - sum(len(units[k]) for k in todo)
        with (
            open_engine(self.context.engine) as engine,
            progress(episodes, title, done=done) as bar,
        ):
            for index, shard in engine.run(task, [units[k] for k in todo]):
                k = todo[index]
                scratch.save(shard_name(k), shard)
                self.context.tracker.log_metrics({"shard_bytes": len(shard)}, step=k)
                bar.advance(len(units[k]))

    def _earlier(self, units: list[NDArray[np.int64]]) -> "Earlier":
        """The input ``earlier``, which must have no episode's seed in common with the new ones."""
        given = self.inputs.get("earlier")
        if given is None:
            return Earlier(None, (), np.empty(0, np.int64), [])
        with EpisodeReader(given.path) as reader:
            index = reader.index
        shared = np.intersect1d(index["seed"], np.concatenate(units))
        if len(shared):
            raise ParameterError(
                f"{len(shared)} of the new episodes have seeds that {given.path} has too, such as "
                f"{shared[0]}: they would be equal or nearly so. Change {self.stage}.seed or "
                "--offset."
            )
        shards = tuple(index["shard"].unique().tolist())
        said = given.card.details
        sources = said.get("sources", [{"policy": said["policy"], "episodes": len(index)}])
        return Earlier(given.path, shards, index["seed"].to_numpy(np.int64), list(sources))

    def _assemble(self, folder: Path, earlier: "Earlier", shards: int) -> pd.DataFrame:
        infos: list[ShardInfo] = []
        for name in earlier.shards:
            assert earlier.folder is not None
            shard = (earlier.folder / name).read_bytes()
            atomic.write(folder / name, shard)
            infos.append(shard_info(name, shard))
        before = len(infos)
        for k in range(shards):
            data = self.context.scratch.load(shard_name(k))
            assert data is not None, k
            if data:
                name = shard_name(len(infos))
                atomic.write(folder / name, data)
                infos.append(shard_info(name, data))
        if len(infos) == before:
            p = self.parameters
            raise ParameterError(
                f"None of the {p.episodes} episodes reached {self.stage}.min_length = "
                f"{p.min_length} steps, so there is nothing to learn from. Lower it."
            )
        return assemble(folder, infos)

    def _shares(self, reader: EpisodeReader, episodes: Sequence[int]) -> dict[str, float]:
        """Of some frames spread over the episodes, the share that shows each thing of interest."""
        looks = catalogue.specification(self.context.environment).looks
        if looks is None:
            return {}
        frames = reader.spread(episodes, LOOKED_AT)
        return {f"share_{name}": float(flags.mean()) for name, flags in looks(frames).items()}

    def _details(self) -> dict[str, Any]:
        """The data set's card: what was run, how, and what the columns hold."""
        p = self.parameters
        first, *_ = episode_seeds("rollouts", p.seed, 0, 1).tolist()
        packages = catalogue.specification(self.context.environment).packages
        return {
            "simulator": {name: _version(name) for name in packages},
            "renderer": p.renderer,
            "seeds": {"first": first, "count": p.episodes},
            "schema": {
                "frames": "uint8 (T, 64, 64, 3), 0-255: what is seen when the action is taken",
                "actions": "float32 (T, A)",
                "rewards": "float32 (T,), for the step that follows",
                "terminated": "bool, the episode ended by itself (death, lap, off the field)",
                "truncated": "bool, the episode reached the environment's cap",
            },
        }


def _metrics(index: pd.DataFrame, played: int) -> dict[str, Any]:
    returns, lengths = index["return"].to_numpy(), index["length"].to_numpy()
    sd = float(returns.std(ddof=1)) if len(returns) > 1 else 0.0
    return {
        "episodes": len(index),
        "dropped": played - len(index),
        "frames": int(lengths.sum()),
        "return_mean": float(returns.mean()),
        "return_sd": sd,
        "return_se": sd / float(np.sqrt(len(returns))),
        "length_mean": float(lengths.mean()),
        "terminated": float((index["ended"] == "terminated").mean()),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # Box2D comes under several names
        return "unknown"


def _report(reader: EpisodeReader, episodes: Sequence[int], reports: Path) -> None:
    """A table of the episodes, and some of their frames."""
    with atomic.atomic_folder(reports) as draft:
        columns = ["episode", "length", "return", "ended"]
        reader.index[columns].iloc[list(episodes)].to_csv(draft / "episodes.csv", index=False)
        tensors.save(draft / "frames.safetensors", {"frames": _sheet(reader, episodes)})


def _sheet(reader: EpisodeReader, episodes: Sequence[int]) -> NDArray[np.uint8]:
    """Frames spread evenly over the episodes and their steps, (rows, COLUMNS, 64, 64, 3)."""
    rows = []
    for place in np.unique(np.linspace(0, len(episodes) - 1, ROWS).astype(int)).tolist():
        episode = episodes[place]
        steps = np.linspace(0, reader.lengths[episode] - 1, COLUMNS).astype(int).tolist()
        rows.append(np.concatenate([reader.frames(episode, t, t + 1) for t in steps]))
    return np.stack(rows)
