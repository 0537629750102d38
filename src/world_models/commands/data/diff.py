"""``world-models data diff``: what two versions of a data set or a model differ in."""

import json
from argparse import Namespace
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from world_models.commands.data.versions import Version, open_version
from world_models.errors import InputError
from world_models.origin.lock import leaves
from world_models.reports.readme.tables import number
from world_models.storage.episodes import INDEX, EpisodeReader
from world_models.storage.shards import Episode

NAMED = 4
"""Seeds that a line names at most."""


def run(arguments: Namespace) -> int:
    """Print what differs."""
    with open_version(arguments.a) as a, open_version(arguments.b) as b:
        if a.card.kind != b.card.kind:
            raise InputError(
                f"{a.name} holds {a.card.kind}, {b.name} holds {b.card.kind}: these cannot be "
                "compared."
            )
        found = compare(a, b)
    print(json.dumps(found, indent=2) if arguments.json else "\n".join(_lines(found)))
    return 0


def compare(a: Version, b: Version) -> dict[str, Any]:
    """What differs, JSON-able."""
    episodes = {"episodes": _episodes(a, b)} if a.card.kind == "rollouts" else {}
    return {
        "a": {"name": a.name, "digest": a.card.digest()},
        "b": {"name": b.name, "digest": b.card.digest()},
        **episodes,
        "files": _files(a, b),
        "parameters": _changes(_parameters(a), _parameters(b)),
        "metrics": _changes(a.card.metrics, b.card.metrics),
    }


def _parameters(version: Version) -> dict[str, Any]:
    """Of the stage and, by their names, of all before it."""
    before = {name: said["parameters"] for name, said in version.card.lineage.items()}
    return {version.card.stage: version.card.parameters, **before}


def _changes(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Values that differ, ``[in a, in b]`` by dotted name; None where there is none."""
    one, other = dict(leaves(a)), dict(leaves(b))
    names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    return {name: [one.get(name), other.get(name)] for name in names}


def _files(a: Version, b: Version) -> dict[str, int]:
    """Files of ``b``, by content: those that ``a`` has too, and the new ones."""
    known = set(a.card.files.values())
    sizes = {name: b.place.size(name) for name in b.card.files}
    shared = [name for name, digest in b.card.files.items() if digest in known]
    shared_bytes = sum(sizes[name] for name in shared)
    return {
        "shared": len(shared),
        "shared_bytes": shared_bytes,
        "new": len(sizes) - len(shared),
        "new_bytes": sum(sizes.values()) - shared_bytes,
    }


def _episodes(a: Version, b: Version) -> dict[str, Any]:
    """Seeds of the episodes that only one has, and of those that differ."""
    one, other = _index(a), _index(b)
    common = one.index.intersection(other.index, sort=False)
    unlike = [key for key in common if not _same_shard(a, b, one.loc[key], other.loc[key])]
    changed = _unequal(a, b, one, other, unlike)
    return {
        "same": len(common) - len(changed),
        "added": _seeds(other.index.difference(one.index, sort=False)),
        "removed": _seeds(one.index.difference(other.index, sort=False)),
        "changed": _seeds(changed),
    }


def _index(version: Version) -> pd.DataFrame:
    """The episodes by seed, and by number where several have one seed."""
    version.path(INDEX)
    with EpisodeReader(version.folder) as reader:
        table = reader.index
    table["again"] = table.groupby("seed").cumcount()
    return table.set_index(["seed", "again"])


def _same_shard(a: Version, b: Version, one: "pd.Series[Any]", other: "pd.Series[Any]") -> bool:
    digests = a.card.files[one["shard"]], b.card.files[other["shard"]]
    return bool(digests[0] == digests[1] and one["offset"] == other["offset"])


def _unequal(
    a: Version, b: Version, one: pd.DataFrame, other: pd.DataFrame, keys: list[Any]
) -> list[Any]:
    """Those of ``keys`` whose episodes differ; shards are fetched and read for this."""
    for key in keys:
        a.path(one.loc[key, "shard"])
        b.path(other.loc[key, "shard"])
    with EpisodeReader(a.folder) as ours, EpisodeReader(b.folder) as theirs:
        return [
            key
            for key in keys
            if not _equal(
                ours.episode(int(one.loc[key, "episode"])),
                theirs.episode(int(other.loc[key, "episode"])),
            )
        ]


def _equal(one: Episode, other: Episode) -> bool:
    ends = (one.terminated, one.truncated) == (other.terminated, other.truncated)
    arrays = ("frames", "actions", "rewards")
    return ends and all(np.array_equal(getattr(one, n), getattr(other, n)) for n in arrays)


def _seeds(keys: Any) -> list[int]:
    return [int(seed) for seed, _ in keys]


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    for name in ("a", "b"):
        said = found[name]
        yield f"{name}  {said['name']}  {said['digest'][:12]}"
    if "episodes" in found:
        episodes = found["episodes"]
        kinds = [f"{_some(episodes[kind])} {kind}" for kind in ("added", "removed", "changed")]
        yield f"episodes: {', '.join(kinds)}, {episodes['same']:,} the same"
    files = found["files"]
    yield (
        f"files of b: {files['shared']} are in a too ({files['shared_bytes']:,} bytes), "
        f"{files['new']} are new ({files['new_bytes']:,} bytes, what a push sends)"
    )
    for block in ("parameters", "metrics"):
        if found[block]:
            yield block
        for name, (before, after) in found[block].items():
            yield f"  {name}: {_value(before)} → {_value(after)}"


def _value(value: Any) -> str:
    return "nothing" if value is None else number(value)


def _some(seeds: list[int]) -> str:
    if not seeds:
        return "0"
    more = ", …" if len(seeds) > NAMED else ""
    return f"{len(seeds):,} (seeds {', '.join(map(str, seeds[:NAMED]))}{more})"
