"""Pictures of an evaluation."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from world_models.evaluation.tables import summary


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
        got = summary(part)
        axes.errorbar(got.mean, row, xerr=got.se, fmt="k|", capsize=4, markersize=14)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel("return of an episode; bars: mean ± standard error")
    return figure
