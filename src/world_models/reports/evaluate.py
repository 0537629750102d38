"""Pictures of an evaluation."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from world_models.evaluation.statistics import score
from world_models.reports.style import save


def draw(numbers: Path, out: Path) -> None:
    """Draw ``returns.png``."""
    save(returns(pd.read_csv(numbers / "episodes.csv")), out / "returns.png")


def returns(table: pd.DataFrame) -> Figure:
    """Each policy's returns: every episode a dot, mean and standard error beside them.

    Args:
        table: of :func:`world_models.evaluation.tables.episodes`, with one or more policies.
    """
    figure = Figure(figsize=(6, 1.2 + 0.6 * table["policy"].nunique()), layout="constrained")
    axes = figure.subplots()
    names = list(table["policy"].unique())
    for row, name in enumerate(names):
        part = table[table["policy"] == name]
        spread = row + 0.25 * (np.arange(len(part)) % 7 - 3) / 3
        axes.plot(part["return"], spread, ".", alpha=0.5, markersize=5)
        got = score(part["return"].to_numpy(), part["length"].to_numpy())
        axes.errorbar(got.mean, row, xerr=got.se, fmt="k|", capsize=4, markersize=14)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel("return of an episode; bars: mean ± standard error")
    return figure
