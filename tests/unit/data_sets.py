"""Data sets of episodes, written shard by shard as stage rollouts does."""

from collections.abc import Iterable
from pathlib import Path

from world_models.storage import atomic
from world_models.storage.episodes import Episode, assemble, encode_shard, shard_info, shard_name


def write_shards(folder: Path, *shards: Iterable[Episode]) -> None:
    """Write each of ``shards`` to a file, and the index."""
    infos = []
    for number, episodes in enumerate(shards):
        name, data = shard_name(number), encode_shard(episodes)
        atomic.write(folder / name, data)
        infos.append(shard_info(name, data))
    assemble(folder, infos)
