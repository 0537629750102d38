"""Whether one agent is better than another, beyond chance."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Difference:
    """The second mean minus the first.

    Attributes:
        mean: of the differences.
        low: lower end of the interval of ``CONFIDENCE``.
        high: its upper end.
        p: two-sided: how often chance alone makes at least this difference.
        n: pairs, or episodes of both where there are no pairs.
        test: in words.
    """

    mean: float
    low: float
    high: float
    p: float
    n: int
    test: str

    def __str__(self) -> str:
        return f"{self.mean:+.1f} [{self.low:+.1f}, {self.high:+.1f}], p = {self.p:.2g}"


def difference(first: pd.Series, second: pd.Series) -> Difference | None:
    """Compare returns by seed, paired over the seeds that both have; else two independent means.

    Pairs are used where at least half of the episodes have one: equal seeds are equal tracks and
    equal games, whose difficulty then cancels out.

    Args:
        first: returns by seed, without repeated seeds.
        second: likewise.

    Returns:
        The difference; None if one has fewer than two episodes.
    """
    if min(len(first), len(second)) < 2:
        return None
    pairs = pd.concat([first, second], axis=1, join="inner").to_numpy(np.float64)
    if len(pairs) >= 2 and 2 * len(pairs) >= max(len(first), len(second)):
        found = stats.ttest_rel(pairs[:, 1], pairs[:, 0])
        mean, n = float((pairs[:, 1] - pairs[:, 0]).mean()), len(pairs)
        name = f"paired t-test over {n} equal seeds"
    else:
        found = stats.ttest_ind(second, first, equal_var=False)
        mean, n = float(second.mean() - first.mean()), len(first) + len(second)
        name = "Welch's t-test of independent episodes"
    interval = found.confidence_interval(CONFIDENCE)
    p = 1.0 if np.isnan(found.pvalue) else float(found.pvalue)  # all pairs are equal
    low, high = (mean if np.isnan(end) else float(end) for end in interval)
    return Difference(mean, low, high, p, n, name)
