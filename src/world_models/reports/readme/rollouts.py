"""Facts of a data set of episodes."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from pyarrow import parquet

from world_models.reports.readme import tables
from world_models.storage.artifact import Card
from world_models.storage.episodes import INDEX

POLICIES = {
    "uniform": "every action drawn anew",
    "held": "random actions, each held for some steps",
    "drifting": "random actions, each held for some steps, leaning to one side for a while",
    "brownian": "a random walk through the action space",
    "agent": "a trained agent",
}


def facts(folder: Path, card: Card) -> dict[str, str]:
    """What the page says of this data set."""
    index = parquet.read_table(folder / INDEX).to_pandas()
    details = card.details
    policies = [(source["policy"], int(source["episodes"])) for source in _sources(card)]
    return {
        "episodes": f"{len(index):,}",
        "frames": f"{int(index['length'].sum()):,}",
        "shards": f"{index['shard'].nunique():,}",
        "statistics": tables.markdown(("", "least", "mean", "median", "greatest"), _spread(index)),
        "ended": _ended(index),
        "policies": tables.markdown(
            ("episodes", "policy", "what it does"),
            [(f"{count:,}", f"`{name}`", POLICIES.get(name, "")) for name, count in policies],
        ),
        "new": "" if len(policies) == 1 else " These are of the newest episodes alone.",
        "seeds": _seeds(card),
        "drawn": _drawn(details),
        "action_size": str(details["action_size"]),
        "final": str(details.get("final", "The frame after the last action is not stored.")),
        "licence": str(details.get("licence", "MIT, as the code that made it")),
    }


def _sources(card: Card) -> list[Mapping[str, Any]]:
    alone = {"policy": card.details["policy"], "episodes": card.metrics["episodes"]}
    return list(card.details.get("sources", [alone]))


def _spread(index: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    for column, label in (("return", "return"), ("length", "length (steps)")):
        values = index[column]
        found = (values.min(), values.mean(), values.median(), values.max())
        yield label, *(tables.number(float(value)) for value in found)


def _ended(index: pd.DataFrame) -> str:
    counts = index["ended"].value_counts().sort_index()
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def _seeds(card: Card) -> str:
    seeds = card.details.get("seeds")
    if seeds is None:
        return "`seed` in the index is what the source said; −1 where it said nothing."
    first, count = int(seeds["first"]), int(seeds["count"])
    return (
        f"The newest episodes have seeds {first} to {first + count - 1}: the simulator was reset "
        "with an episode's seed, which is in the index."
    )


def _drawn(details: Mapping[str, Any]) -> str:
    versions = details.get("simulator")
    if versions is None:
        return ""
    packages = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    return f"Frames are of the simulator's renderer `{details['renderer']}` ({packages})."
