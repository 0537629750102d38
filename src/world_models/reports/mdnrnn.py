"""Pictures of M's training and of what it predicts."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from world_models.reports.style import save
from world_models.storage import tensors

Array = NDArray[np.float32]


def draw(numbers: Path, out: Path) -> None:
    """Draw ``curves``, ``dimensions``, ``rollout`` and, where M predicts ends, ``ends``, as PNG."""
    save(curves(pd.read_csv(numbers / "curves.csv")), out / "curves.png")
    save(dimensions(pd.read_csv(numbers / "nll_by_dimension.csv")), out / "dimensions.png")
    stored = tensors.load(numbers / "rollout.safetensors")
    save(rollout(stored["z"], stored["dreamed"]), out / "rollout.png")
    if (numbers / "risk.csv").exists():
        risk, survival = (pd.read_csv(numbers / f"{name}.csv") for name in ("risk", "survival"))
        save(ends(risk, survival), out / "ends.png")


def curves(history: pd.DataFrame) -> Figure:
    """Losses of training and validation over gradient steps.

    Args:
        history: as :func:`~world_models.memory.training.train` gives it.
    """
    parts = [part for part in ("nll", "restart", "reward") if history[f"training_{part}"].any()]
    picture = Figure(figsize=(8, 2.6 * len(parts)), layout="constrained")
    axes = picture.subplots(len(parts), 1, sharex=True, squeeze=False)[:, 0]
    titles = {"nll": "NLL of a dimension, nats", "restart": "end, weighted", "reward": "reward"}
    for axis, part in zip(axes, parts, strict=True):
        for name in ("training", "validation"):
            axis.plot(history["step"], history[f"{name}_{part}"], ".-", label=name)
        axis.set_ylabel(titles[part])
    axes[0].legend()
    axes[-1].set_xlabel("gradient steps")
    return picture


def dimensions(table: pd.DataFrame) -> Figure:
    """NLL of each latent dimension on held-out steps, M's beside those of what M has to beat.

    Args:
        table: a row for each dimension: ``nll`` of M, and ``nll_<name>`` of each baseline.
    """
    names = {
        "nll": "M",
        "nll_ar1": "AR(1)",
        "nll_persistence": "persistence",
        "nll_marginal": "one Gaussian",
    }
    ordered = table.sort_values("nll")
    picture = Figure(figsize=(8, 3.2), layout="constrained")
    axis = picture.subplots()
    for column, label in names.items():
        text = f"{label}: {ordered[column].mean():.3f}"
        axis.plot(np.arange(len(ordered)), ordered[column], ".-", label=text)
    axis.set(xlabel="latent dimensions, by M's NLL", ylabel="held-out NLL, nats")
    axis.legend(title="mean")
    return picture


def ends(risk: pd.DataFrame, survival: pd.DataFrame) -> Figure:
    """Risk of an end by age on real sequences, and survival in dreams beside reality."""
    picture = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = picture.subplots(1, 2)
    for name in ("observed", "predicted", "thresholded"):
        left.plot(risk["from"], risk[name], "o-", label=name)
    left.set(xlabel="age, steps", ylabel="probability that a step ends it", title="real sequences")
    left.legend()
    for name in ("observed", "dreamed"):
        right.plot(survival["step"], survival[name], label=name)
    right.set(xlabel="steps", ylabel="alive", title="the data's own actions", ylim=(0, 1.02))
    right.legend()
    return picture


def rollout(z: Array, dreamed: Array) -> Figure:
    """Some latent dimensions of a real episode and of dreams that go on from its beginning.

    Args:
        z: (T, Z) the real episode.
        dreamed: (samples, T - warm, Z), after the ``warm`` steps in which M saw the real z.
    """
    warm = len(z) - dreamed.shape[1]
    dimensions = np.argsort(-z.var(axis=0))[:6]
    picture = Figure(figsize=(9, 1.5 * len(dimensions)), layout="constrained")
    axes = picture.subplots(len(dimensions), 1, sharex=True, squeeze=False)[:, 0]
    steps = np.arange(len(z))
    for axis, d in zip(axes, dimensions, strict=True):
        for i, sample in enumerate(dreamed):
            label = "dreamed" if i == 0 else None
            axis.plot(steps[warm:], sample[:, d], color="C1", linewidth=0.7, label=label)
        axis.plot(steps, z[:, d], color="C0", linewidth=1.2, label="real")
        axis.axvline(warm, color="black", linewidth=0.5)
        axis.set_ylabel(f"z[{d}]")
    axes[0].legend(loc="upper right")
    axes[-1].set_xlabel("steps")
    return picture
