"""What happened in each generation: enough to resume from, and to plot."""

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass
class History:
    """Fitness and validations so far; grows by a row a generation.

    A validation in row g scored the distribution's mean *before* generation g was told, the mean
    that its candidates were sampled around; one more may follow the last row.
    """

    fitness: list[FloatArray] = field(default_factory=list)
    """For each generation, float64 (population,)."""
    steps: list[int] = field(default_factory=list)
    """For each generation, environment steps of candidates and validation together."""
    validations: dict[int, FloatArray] = field(default_factory=dict)
    """By the number of generations told before, returns float64 (episodes,)."""

    def __len__(self) -> int:
        """Generations done."""
        return len(self.fitness)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """As named arrays, to store."""
        numbers = sorted(self.validations)
        return {
            "fitness": np.array(self.fitness, np.float64),
            "steps": np.array(self.steps, np.int64),
            "validated": np.array(numbers, np.int64),
            "validations": np.array([self.validations[n] for n in numbers], np.float64),
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> Self:
        """The history that :meth:`arrays` was asked of."""
        validations = zip(arrays["validated"].tolist(), arrays["validations"], strict=True)
        return cls(list(arrays["fitness"]), arrays["steps"].tolist(), dict(validations))

    def table(self, sigmas: list[float]) -> pd.DataFrame:
        """One row a generation, for CSV and plots.

        Args:
            sigmas: the step size after each generation; replay gives it.
        """
        fitness = np.array(self.fitness)
        scores = {n: float(returns.mean()) for n, returns in self.validations.items()}
        generations = np.arange(1, len(self) + 1)
        return pd.DataFrame(
            {
                "generation": generations,
                "best": fitness.max(axis=1),
                "mean": fitness.mean(axis=1),
                "sd": fitness.std(axis=1),
                "sigma": sigmas,
                "steps": np.cumsum(self.steps),
                "validation": [scores.get(int(g), np.nan) for g in generations],
            }
        )
