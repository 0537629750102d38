"""Episodes of a source as an artifact like that of stage rollouts: V, encode and M take it."""

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from world_models.errors import InputError, ParameterError
from world_models.exchange.minari_import import Source
from world_models.progress import Advance, progress
from world_models.storage import artifact, atomic
from world_models.storage.episodes import assemble, encode_shard, shard_info, shard_name
from world_models.storage.shards import Episode, ShardInfo

SCHEMA = {
    "frames": "uint8 (T, 64, 64, 3), 0-255: what is seen when the action is taken",
    "actions": "float32 (T, A)",
    "rewards": "float32 (T,), for the step that follows",
    "terminated": "bool, the episode ended by itself",
    "truncated": "bool, it was cut",
}


def store(source: Source, out: Path, environment: str, shard_episodes: int) -> artifact.Card:
    """Write all episodes, a shard at a time; the folder appears whole or not at all.

    Args:
        source: what to read.
        out: the new folder.
        environment: that the data are of; letters, digits and underscores.
        shard_episodes: episodes of a shard.

    Raises:
        InputError: the source holds no episode.
        ParameterError: another name of an environment.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", environment):
        raise ParameterError(f"environment {environment!r}: give letters, digits and underscores.")
    if not source.count:
        raise InputError("The source holds no episode.")
    metrics: dict[str, Any] = {}
    details: dict[str, Any] = {
        "policy": source.policy,
        "sources": [{"policy": source.policy, "episodes": source.count}],
        "source": source.details,
        "licence": "other",
        "schema": SCHEMA,
    }
    with artifact.create(
        out,
        kind="rollouts",
        environment=environment,
        stage=artifact.IMPORT,
        parameters={"shard_episodes": shard_episodes},
        metrics=metrics,
        details=details,
    ) as folder:
        infos, details["action_size"] = _shards(source, folder, shard_episodes)
        metrics |= _metrics(assemble(folder, infos))
    return artifact.open_artifact(out, "rollouts", verify=False)


def _shards(source: Source, folder: Path, size: int) -> tuple[list[ShardInfo], int]:
    infos: list[ShardInfo] = []
    widths: set[int] = set()
    with progress(source.count, artifact.IMPORT) as bar:
        episodes = _counted(source.episodes(), bar, widths)
        while len(infos) * size < source.count:
            name, data = shard_name(len(infos)), encode_shard(islice(episodes, size))
            atomic.write(folder / name, data)
            infos.append(shard_info(name, data))
    (width,) = widths
    return infos, width


def _counted(episodes: Iterator[Episode], bar: Advance, widths: set[int]) -> Iterator[Episode]:
    for episode in episodes:
        widths.add(episode.actions.shape[1])
        yield episode
        bar.advance()


def _metrics(index: pd.DataFrame) -> dict[str, Any]:
    """Those of stage rollouts that need no simulator."""
    returns, lengths = index["return"].to_numpy(), index["length"].to_numpy()
    sd = float(returns.std(ddof=1)) if len(returns) > 1 else 0.0
    return {
        "episodes": len(index),
        "frames": int(lengths.sum()),
        "return_mean": float(returns.mean()),
        "return_sd": sd,
        "return_se": sd / float(np.sqrt(len(returns))),
        "length_mean": float(lengths.mean()),
        "terminated": float((index["ended"] == "terminated").mean()),
    }
