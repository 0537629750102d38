"""Data sets of episodes, written shard by shard as stage rollouts does."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from world_models.storage import artifact, atomic
from world_models.storage.episodes import Episode, assemble, encode_shard, shard_info, shard_name


def write_shards(folder: Path, *shards: Iterable[Episode]) -> None:
    """Write each of ``shards`` to a file, and the index."""
    infos = []
    for number, episodes in enumerate(shards):
        name, data = shard_name(number), encode_shard(episodes)
        atomic.write(folder / name, data)
        infos.append(shard_info(name, data))
    assemble(folder, infos)


def make_episode(seed: int, length: int, action_size: int = 3) -> Episode:
    """An episode that its seed decides; frames differ and compress well."""
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 200, size=(64, 64, 3))
    frames = (base + np.arange(length)[:, None, None, None] % 50).astype(np.uint8)
    return Episode(
        seed=seed,
        frames=frames,
        actions=rng.uniform(-1, 1, size=(length, action_size)).astype(np.float32),
        rewards=rng.normal(size=length).astype(np.float32),
        terminated=seed % 2 == 0,
        truncated=seed % 3 == 0,
    )


def write_rollouts(
    out: Path, *shards: Iterable[Episode], environment: str = "carracing", behaviour: str = "held"
) -> None:
    """Write ``shards`` as the artifact that stage rollouts makes."""
    everything = [episode for shard in shards for episode in shard]
    steps = [len(episode) for episode in everything]
    with artifact.create(
        out,
        kind="rollouts",
        environment=environment,
        stage="rollouts",
        parameters={"behaviour": behaviour, "episodes": len(everything), "seed": 1},
        metrics={"episodes": len(everything), "frames": sum(steps)},
        details={
            "policy": behaviour,
            "renderer": "fast",
            "seeds": {"first": everything[0].seed, "count": len(everything)},
            "simulator": {"gymnasium": "1.4.0"},
            "action_size": everything[0].actions.shape[1],
        },
    ) as folder:
        write_shards(folder, *shards)
