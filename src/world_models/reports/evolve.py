"""A picture of an evolution."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from world_models.reports.style import save


def draw(numbers: Path, out: Path) -> None:
    """Draw ``history.png``."""
    save(history(pd.read_csv(numbers / "history.csv")), out / "history.png")


def history(table: pd.DataFrame) -> Figure:
    """Fitness and validation over environment steps, and the step size below.

    Args:
        table: as :meth:`~world_models.evolution.history.History.table` gives it.
    """
    picture = Figure(figsize=(8, 6), layout="constrained")
    above, below = picture.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    steps = table["steps"]
    low, high = table["mean"] - table["sd"], table["mean"] + table["sd"]
    above.fill_between(steps, low, high, alpha=0.2, linewidth=0, label="candidates, ± 1 SD")
    above.plot(steps, table["mean"], label="candidates, mean")
    above.plot(steps, table["best"], linewidth=0.7, label="best candidate")
    validated = table[table["validation"].notna()]
    above.plot(validated["steps"], validated["validation"], "o-", label="mean, validated")
    above.set_ylabel("return")
    above.legend(loc="lower right")
    below.plot(steps, table["sigma"])
    below.set_ylabel("σ")
    below.set_xlabel("environment steps")
    return picture
