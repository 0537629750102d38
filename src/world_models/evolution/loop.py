"""Generations of CMA-ES with an injected fitness, validated means and a history to resume from."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from world_models.evolution.history import History
from world_models.evolution.strategy import Strategy

FloatArray = NDArray[np.float64]


class Scores(NamedTuple):
    """How a generation did."""

    fitness: FloatArray
    """float64 (population,), higher is better; empty if there were no candidates."""
    validation: FloatArray | None
    """Returns of the mean on the validation episodes, float64 (episodes,), if it was asked for."""
    steps: int
    """Environment steps that all of it took."""


class Evaluate(Protocol):
    """The injected fitness."""

    def __call__(self, generation: int, candidates: FloatArray, mean: FloatArray | None) -> Scores:
        """Score a generation.

        Both go in one call, so that a validation fills the cores that the candidates leave idle.

        Args:
            generation: its number from 0; fixes the episodes.
            candidates: float64 (population, P), or (0, P).
            mean: the distribution's mean, float64 (P,), if it is to be validated.
        """


@dataclass(frozen=True)
class Best:
    """The mean that did best in validation."""

    theta: FloatArray
    """float64 (P,)."""
    generation: int
    """Generations told when it was the mean."""
    validation: FloatArray
    """Its returns on the validation episodes."""


class Evolution:
    """A run of CMA-ES: :meth:`generations` steps it, :attr:`best` is its result.

    A mean is validated after every ``validate_every`` generations and after the last one. The
    first is scored along with the next generation's candidates, which do not depend on it.
    """

    def __init__(
        self,
        strategy: Strategy,
        history: History,
        *,
        generations: int,
        validate_every: int,
    ) -> None:
        """Take up the run where ``history`` ends, by replaying it into a new ``strategy``.

        Args:
            strategy: new; of the same arguments as the one that made the history.
            history: empty, or what an interrupted run left. It is appended to.
            generations: how many in all, ≥ 1.
            validate_every: generations between two validations.
        """
        self.history = history
        self.sigmas: list[float] = []
        self.best: Best | None = None
        self._strategy = strategy
        self._generations, self._every = generations, validate_every
        for number, fitness in enumerate(history.fitness):
            self._consider(number)
            strategy.ask()
            self._tell(fitness)
        self._consider(len(history))

    def generations(self, evaluate: Evaluate) -> Iterator[int]:
        """Run what is left, with the injected fitness.

        Yields:
            The number of generations done, after each: the moment to store :attr:`history`.
        """
        while len(self.history) < self._generations:
            number = len(self.history)
            mean = self._strategy.mean if self._due(number) else None
            scores = evaluate(number, self._strategy.ask(), mean)
            self._record(number, scores)
            self.history.fitness.append(scores.fitness)
            self.history.steps.append(scores.steps)
            self._tell(scores.fitness)
            if number + 1 == self._generations:
                self._finish(evaluate)
            yield number + 1

    def _finish(self, evaluate: Evaluate) -> None:
        """Validate the last mean: no generation follows to do it with."""
        mean = self._strategy.mean
        scores = evaluate(self._generations, np.empty((0, len(mean))), mean)
        self.history.steps[-1] += scores.steps
        self._record(self._generations, scores)

    def _due(self, number: int) -> bool:
        return number > 0 and number % self._every == 0

    def _record(self, number: int, scores: Scores) -> None:
        if scores.validation is not None:
            self.history.validations[number] = scores.validation
            self._consider(number)

    def _consider(self, number: int) -> None:
        """Keep the present mean if it was validated and did better than all before."""
        returns = self.history.validations.get(number)
        if returns is None:
            return
        if self.best is None or returns.mean() > self.best.validation.mean():
            self.best = Best(self._strategy.mean, number, returns)

    def _tell(self, fitness: FloatArray) -> None:
        self._strategy.tell(fitness)
        self.sigmas.append(self._strategy.sigma)
