"""Markdown tables that the pages share."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from world_models.envs import catalogue
from world_models.storage.artifact import Card

MEANINGS = {
    "episodes": "",
    "frames": "",
    "dropped": "episodes left out, since they were shorter than `min_length`",
    "return_mean": "undiscounted",
    "return_sd": "standard deviation of one episode",
    "return_se": "standard error of the mean",
    "length_mean": "steps",
    "terminated": "share of episodes that ended by themselves",
    "mean_abs_mu": "mean |mu| over frames and dimensions",
    "active_dimensions": "dimensions whose mu differs between frames (variance above 0.01)",
    "loss": "held out: squared error and KL with its tolerance",
    "reconstruction": "held out: squared error of an image, summed over its values in 0–1",
    "kl": "held out: KL(q‖p) of an image, nats",
    "steps": "gradient steps; of C: environment steps",
    "nll": "held out: −log p of the next z, nats a dimension",
    "nll_marginal": "the same of one Gaussian a dimension",
    "nll_persistence": "the same of z_{t+1} ~ N(z_t, σ²)",
    "nll_ar1": "the same of z_{t+1} ~ N(a·z_t + b, σ²)",
    "validation": "mean return of the validation episodes, by which the generation was chosen",
    "validation_sd": "standard deviation of one of them",
    "validation_episodes": "",
    "generation": "the one that was kept",
}
"""What metrics mean; of others the name says enough."""
SHOWN = 12
"""Files that a page lists at most."""


def title(environment: str) -> str:
    """The environment's name for people; its short name where it is not of this project."""
    if environment not in catalogue.names():
        return environment
    return catalogue.specification(environment).title


def metrics(values: Mapping[str, Any]) -> str:
    """A row for each metric, in alphabetical order."""
    rows = [(f"`{name}`", number(value), _meaning(name)) for name, value in sorted(values.items())]
    return markdown(("metric", "value", "what it is"), rows)


def _meaning(name: str) -> str:
    if name.startswith("share_"):
        return f"share of frames that show: {name.removeprefix('share_').replace('_', ' ')}"
    return MEANINGS.get(name, "")


def number(value: Any) -> str:
    """Thousands apart, four significant digits."""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def files(folder: Path, card: Card) -> str:
    """A row for each file that the card lists; of many, the first and the last ones."""
    sizes = {name: (folder / name).stat().st_size for name in sorted(card.files)}
    rows = [(f"`{name}`", f"{size:,}") for name, size in sizes.items()]
    if len(rows) > SHOWN:
        rows[SHOWN // 2 : -SHOWN // 2] = [("…", "…")]
    rows.append((f"{len(sizes):,} files", f"{sum(sizes.values()):,}"))
    return markdown(("file", "bytes"), rows)


def markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    table = pd.DataFrame(list(rows), columns=list(columns))
    return table.to_markdown(index=False, disable_numparse=True)
