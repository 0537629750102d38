"""What happened in each generation: enough to resume from, and to plot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


class Validation(NamedTuple):
    """How a mean did on the validation episodes."""

    returns: FloatArray
    """float64 (episodes,)."""
    steps: int
    """Environment steps that it took."""


@dataclass
class History:
    """All that was played so far; it may hold more than a run of fewer generations uses.

    It depends neither on the number of generations nor on when and on how many episodes a run
    validates. So a run with other values of these goes on from it, and plays what is missing.
    """

    fitness: list[FloatArray] = field(default_factory=list)
    """For each generation, float64 (population,): what the optimiser was told."""
    returns: list[FloatArray] = field(default_factory=list)
    """For each generation, each candidate's mean return, float64 (population,)."""
    steps: list[int] = field(default_factory=list)
    """For each generation, environment steps of its candidates."""
    validations: dict[tuple[int, int], Validation] = field(default_factory=dict)
    """By the number of generations before it and the number of episodes."""
    finals: dict[tuple[int, int], Validation] = field(default_factory=dict)
    """Of finalists, on further episodes; by the same two numbers."""

    def __len__(self) -> int:
        """Generations done."""
        return len(self.fitness)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """As named arrays, to store."""
        played = {"validation": self.validations, "final": self.finals}
        arrays: dict[str, NDArray[Any]] = {
            "fitness": np.array(self.fitness, np.float64),
            "returns": np.array(self.returns, np.float64),
            "steps": np.array(self.steps, np.int64),
        }
        for name, values in played.items():
            arrays |= {f"{name}_{key}": array for key, array in _arrays(values).items()}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> Self:
        """The history that gave these :meth:`arrays`."""
        played = (_validations(arrays, name) for name in ("validation", "final"))
        generations = (list(arrays["fitness"]), list(arrays["returns"]), arrays["steps"].tolist())
        return cls(*generations, *played)


def _arrays(played: Mapping[tuple[int, int], Validation]) -> dict[str, NDArray[Any]]:
    keys = sorted(played)
    return {
        "of": np.array(keys, np.int64).reshape(-1, 2),
        "returns": np.concatenate([played[key].returns for key in keys] or [np.empty(0)]),
        "steps": np.array([played[key].steps for key in keys], np.int64),
    }


def _validations(
    arrays: Mapping[str, NDArray[Any]], name: str
) -> dict[tuple[int, int], Validation]:
    keys = [(int(number), int(episodes)) for number, episodes in arrays[f"{name}_of"]]
    ends = np.cumsum([episodes for _, episodes in keys], dtype=np.int64)
    returns = np.split(arrays[f"{name}_returns"], ends[:-1])
    # Without any, split gives one empty part all the same: strict would fail.
    steps = arrays[f"{name}_steps"].tolist()
    return dict(zip(keys, map(Validation, returns, steps), strict=False))


class Generation(NamedTuple):
    """One generation of a run."""

    number: int
    """From 1."""
    returns: FloatArray
    """Each candidate's mean return, float64 (population,)."""
    sigma: float
    """The optimiser's, after this generation."""
    validations: Mapping[int, Validation]
    """Those played along with it, by the number of generations before: that of the mean which its
    candidates were sampled around, and in the last generation also that of the last mean."""
    steps: int
    """Environment steps of candidates, validations and finalists together."""
    new: bool
    """Whether anything was played for it now; if not, all of it stood in the history."""


def table(generations: Sequence[Generation], before: int = 0) -> pd.DataFrame:
    """One row a generation, for CSV and plots; a validation stands in the row of its mean.

    Args:
        generations: at least one. If the first mean was validated, it has a row 0.
        before: steps that were taken before the first generation.
    """
    rows = len(generations) + 1
    best, mean, sd, sigma, validation = np.full((5, rows), np.nan)
    returns = np.array([g.returns for g in generations])
    best[1:], mean[1:], sd[1:] = returns.max(axis=1), returns.mean(axis=1), returns.std(axis=1)
    sigma[1:] = [g.sigma for g in generations]
    for generation in generations:
        for number, found in generation.validations.items():
            validation[number] = found.returns.mean()
    columns = {
        "generation": np.arange(rows),
        "best": best,
        "mean": mean,
        "sd": sd,
        "sigma": sigma,
        "steps": before + np.cumsum([0, *(g.steps for g in generations)]),
        "validation": validation,
    }
    return pd.DataFrame(columns).iloc[int(np.isnan(validation[0])) :]
