"""Every episode of an evaluation as a row."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from world_models.evaluation.statistics import Score, score
from world_models.evaluation.trials import Played

COLUMNS = ["policy", "seed", "return", "length", "ended"]


def episodes(policy: str, played: Sequence[Played], *, returns: bool = True) -> pd.DataFrame:
    """Columns policy, seed, return, length (steps), ended (terminated or truncated), figures.

    A figure is a number that the simulator gives of an episode; each has a column. Without
    ``returns``, as of dreams in which M predicts no reward, that column is left out.
    """
    table = pd.DataFrame(
        {
            "policy": policy,
            "seed": np.concatenate([p.seeds for p in played]),
            "return": np.concatenate([p.outcomes.returns for p in played]),
            "length": np.concatenate([p.outcomes.lengths for p in played]),
            "ended": np.where(
                np.concatenate([p.outcomes.terminated for p in played]), "terminated", "truncated"
            ),
        }
    )
    figures = pd.DataFrame([figure for p in played for figure in p.outcomes.figures])
    whole = pd.concat([table, figures], axis=1)
    return whole if returns else whole.drop(columns="return")


def figures(table: pd.DataFrame) -> dict[str, float]:
    """Mean of each figure over one policy's episodes; of a yes or no, that is its share."""
    given = table.drop(columns=COLUMNS, errors="ignore").dropna(axis=1, how="all")
    return {str(name): float(values.mean()) for name, values in given.items()}


def summary(table: pd.DataFrame) -> Score:
    """The score of one policy's episodes; of their lengths where there are no returns."""
    lengths = table["length"].to_numpy()
    return score(table["return"].to_numpy() if "return" in table else lengths, lengths)
