"""Every episode of an evaluation as a row."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from world_models.evaluation.statistics import Score, score
from world_models.evaluation.trials import Played


def episodes(policy: str, played: Sequence[Played]) -> pd.DataFrame:
    """Columns policy, seed, return, length (steps) and ended (terminated or truncated)."""
    return pd.DataFrame(
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


def summary(table: pd.DataFrame) -> Score:
    """The score of one policy's episodes."""
    return score(table["return"].to_numpy(), table["length"].to_numpy())
