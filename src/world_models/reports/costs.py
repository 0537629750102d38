"""Scores against core-hours, for experiments whose cells go on from other cells."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from world_models.errors import InputError
from world_models.schema import read_yaml

FILE = "costs.csv"
"""In the experiment's folder: core-hours by cell and stage, those of the pipeline at the root under
the environment's name."""
CELLS = "cells.yaml"
"""In the experiment's folder: what each cell goes on from, if cells follow each other."""
JUDGES = ("evaluate", "assess", "report")
"""Stages that make no part of the agent: their cost is not counted."""


def chain(experiment: Path) -> dict[str, Path | None]:
    """What each cell goes on from: a folder of models that ends with a cell's name, or None.

    Cells of other experiments that these go on from are there too.

    Args:
        experiment: its folder, beside those of others.
    """
    found: dict[str, Path | None] = {}
    waiting, seen = [experiment], {experiment.name}
    while waiting:
        path = waiting.pop() / CELLS
        for name, cell in (read_yaml(path)["cells"] if path.exists() else {}).items():
            before = Path(cell["before"]) if "before" in cell else None
            found[name] = before
            other = owner(before)
            if other and other not in seen:
                seen.add(other)
                waiting.append(experiment.parent / other)
    return found


def owner(models: Path | None) -> str | None:
    """The experiment that a folder of models belongs to; None for the pipeline at the root."""
    parts = models.parts if models else ()
    return parts[1] if parts[:1] == ("experiments",) else None


def read(experiment: Path) -> dict[str, dict[str, float]]:
    """By cell: core-hours, and where cells follow each other those of all before it too.

    Args:
        experiment: its folder.

    Raises:
        InputError: its file of costs is damaged.
    """
    path = experiment / FILE
    if not path.exists():
        return {}
    own: dict[str, float] = {}
    try:
        table = pd.read_csv(path)[["cell", "stage", "core_hours"]]
        for cell, stage, hours in table.itertuples(index=False):
            own[cell] = own.get(cell, 0.0) + float(hours) * (stage not in JUDGES)
    except (OSError, ValueError, KeyError) as error:
        again = f"world-models results {experiment.name} --costs"
        raise InputError(f"{path} holds no costs ({error}). Write it again: {again}.") from error
    before = chain(experiment)
    found = {cell: {"core_hours": hours} for cell, hours in own.items()}
    for cell in found.keys() & before.keys():
        line = [models.name for models in back(experiment, cell, before)]
        if all(name in own for name in line):
            found[cell]["core_hours_so_far"] = sum(own[name] for name in line)
    return found


def back(experiment: Path, cell: str, before: Mapping[str, Path | None]) -> Iterator[Path]:
    """Folders of models: a cell's, then those that it goes on from, at last an environment's.

    Args:
        experiment: its folder.
        cell: name of a cell of it.
        before: of :func:`chain`.
    """
    models: Path | None = Path("experiments", experiment.name, "models", cell)
    while models is not None:
        yield models
        models = before.get(models.name)


def figure(points: pd.DataFrame, published: Mapping[str, Any]) -> Figure:
    """Score against core-hours, on a logarithmic scale; one part for each environment.

    Args:
        points: columns environment, cell, mean, se, core_hours.
        published: by environment ``label``, and ``points``, each with core_hours and mean.
    """
    parts = list(points.groupby("environment"))
    drawn = Figure(figsize=(7, 4 * len(parts)), layout="constrained")
    for axes, (name, part) in zip(
        drawn.subplots(len(parts), squeeze=False)[:, 0], parts, strict=True
    ):
        _draw(axes, part, published.get(str(name), {}))
        axes.set_title(name)
    return drawn


def _draw(axes: Axes, points: pd.DataFrame, published: Mapping[str, Any]) -> None:
    axes.errorbar(points["core_hours"], points["mean"], yerr=points["se"], fmt="o", capsize=3)
    for cell, hours, mean in points[["cell", "core_hours", "mean"]].itertuples(index=False):
        axes.annotate(cell, (hours, mean), (5, 4), textcoords="offset points", fontsize="x-small")
    if published:
        theirs = pd.DataFrame(published["points"])
        axes.plot(theirs["core_hours"], theirs["mean"], "D--", label=published["label"])
        axes.legend(loc="lower right", fontsize="small")
    axes.set_xscale("log")
    axes.set_xlabel("core-hours, from the first random episode on")
    axes.set_ylabel("return of an episode: mean ± standard error")
    axes.grid(alpha=0.3)
