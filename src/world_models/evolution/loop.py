"""Generations of an optimiser: an injected fitness, validated means, a history to resume from."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from world_models.errors import UserError
from world_models.evolution.history import Generation, History, Validation
from world_models.evolution.optimiser import Optimiser

FloatArray = NDArray[np.float64]


class Scores(Protocol):
    """How a generation did."""

    @property
    def fitness(self) -> FloatArray:
        """Of the candidates, float64 (population,), higher is better."""

    @property
    def returns(self) -> FloatArray:
        """Mean return of each candidate's episodes, float64 (population,)."""

    @property
    def steps(self) -> int:
        """Environment steps that the candidates took."""

    @property
    def validation(self) -> FloatArray:
        """Returns of the mean on the validation episodes; empty without a mean."""

    @property
    def validation_steps(self) -> int:
        """Environment steps that the validation took."""


class Evaluate(Protocol):
    """The injected fitness."""

    def __call__(self, number: int, candidates: FloatArray, mean: FloatArray | None) -> Scores:
        """Play a generation.

        Both go in one call, so that a validation fills the cores that the candidates leave idle.

        Args:
            number: of generations before; fixes the episodes.
            candidates: float64 (population, P), or (0, P).
            mean: float64 (P,), if it is to be validated.
        """

    def play_on(self, mean: FloatArray, episodes: int) -> tuple[FloatArray, int]:
        """Play further validation episodes, which :meth:`__call__` never plays.

        Args:
            mean: float64 (P,).
            episodes: how many.

        Returns:
            Their returns, float64 (episodes,), and the environment steps that they took.
        """


@dataclass(frozen=True)
class Best:
    """The mean that did best: in validation, or among the finalists on their further episodes."""

    theta: FloatArray
    """float64 (P,)."""
    generation: int
    """The number of generations before it."""
    validation: FloatArray
    """Its returns on the episodes that it was chosen by."""


class Evolution:
    """A run of an optimiser: :meth:`generations` steps it, :attr:`best` is its result.

    A mean is validated after every ``validate_every`` generations and after the last one. The
    first is played along with the next generation's candidates, which do not depend on it. A few
    validation episodes choose by chance, too. So at the end the best means play further episodes,
    and these alone choose among them.

    An evolution that has settled on a poor way of playing hardly ever leaves it. So the budget can
    be spent on several: after every ``restart_every`` generations the mean is validated, and a new
    optimiser begins. The best mean of them all is the result.

    Attributes:
        best: the result; None before the first validation.
        done: the generations so far.
    """

    def __init__(
        self,
        make: Callable[[int], Optimiser],
        history: History,
        *,
        generations: int,
        restart_every: int | None = None,
        validate_every: int,
        validation_episodes: int,
        finalists: int = 1,
        final_episodes: int = 0,
        validate_first: bool = False,
    ) -> None:
        """Prepare a run.

        Args:
            make: gives the optimiser of the first search (0), of the first restart (1) and so on,
                new; with the same arguments as those that the history is of.
            history: empty, or what an interrupted or finished run left. It is appended to.
            generations: how many in all, ≥ 1.
            restart_every: generations of each search, ≥ 1; None: there is one search alone.
            validate_every: generations between two validations.
            validation_episodes: how many each validation has.
            finalists: how many of the best means play on at the end.
            final_episodes: how many further episodes each of them plays; 0 for none.
            validate_first: whether the first mean is validated too: it is somebody's already.
        """
        self.best: Best | None = None
        self.done: list[Generation] = []
        self._make, self._history = make, history
        self._optimiser, self._restart_every = make(0), restart_every
        self._generations, self._every = generations, validate_every
        self._episodes, self._finalists = validation_episodes, finalists
        self._final_episodes, self._first = final_episodes, validate_first
        self._validated: dict[int, FloatArray] = {}
        self._final_steps = 0

    def generations(self, evaluate: Evaluate) -> Iterator[Generation]:
        """Run, playing only what the history lacks.

        Yields:
            Each generation; one that is ``new`` is the moment to store the history.
        """
        for number in range(self._generations):
            yield self._step(number, evaluate)

    def _step(self, number: int, evaluate: Evaluate) -> Generation:
        mean = self._optimiser.mean
        restart, age = divmod(number, self._restart_every or self._generations)
        over = number > 0 and age == 0
        if over:
            self._optimiser = self._make(restart)
        candidates = self._optimiser.ask()
        missing = candidates[:0] if number < len(self._history) else candidates
        due = over or (number % self._every == 0 and (number > 0 or self._first))
        new = self._play(evaluate, number, missing, mean if due else None)
        self._optimiser.tell(self._history.fitness[number])
        validated = [number] if due else []
        if number + 1 == self._generations:  # no generation follows to play this along with
            new |= self._play(evaluate, number + 1, candidates[:0], self._optimiser.mean)
            validated.append(number + 1)
            new |= self._choose(evaluate)
        self.done.append(self._generation(number, validated, new=new))
        return self.done[-1]

    def _play(
        self, evaluate: Evaluate, number: int, candidates: FloatArray, mean: FloatArray | None
    ) -> bool:
        """Play the candidates, and the mean unless the history has that; say if anything was."""
        key, history = (number, self._episodes), self._history
        todo = None if key in history.validations else mean
        play = len(candidates) > 0 or todo is not None
        if play:
            scores = evaluate(number, candidates, todo)
            _check(number, "return", scores.returns)
            _check(number, "validation", scores.validation)
            if len(candidates):
                history.fitness.append(scores.fitness)
                history.returns.append(scores.returns)
                history.steps.append(scores.steps)
            if todo is not None:
                validation = Validation(scores.validation, scores.validation_steps)
                history.validations[key] = validation
        if mean is not None:
            self._consider(number, mean)
        return play

    def _choose(self, evaluate: Evaluate) -> bool:
        """Let the finalists play on, and choose among them; say if anything was played."""
        episodes, history, new = self._final_episodes, self._history, False
        if not episodes:
            return False
        scores = {n: history.validations[n, self._episodes].returns.mean() for n in self._validated}
        finalists = sorted(scores, key=lambda n: (-scores[n], n))[: self._finalists]
        for number in finalists:
            if (number, episodes) not in history.finals:
                played = evaluate.play_on(self._validated[number], episodes)
                _check(number, "further validation", played[0])
                history.finals[number, episodes] = Validation(*played)
                new = True
        self._final_steps = sum(history.finals[n, episodes].steps for n in finalists)
        best = max(finalists, key=lambda n: history.finals[n, episodes].returns.mean())
        self.best = Best(self._validated[best], best, history.finals[best, episodes].returns)
        return new

    def _consider(self, number: int, mean: FloatArray) -> None:
        """Keep the mean if it did better in validation than all before."""
        self._validated[number] = mean
        returns = self._history.validations[number, self._episodes].returns
        if self.best is None or returns.mean() > self.best.validation.mean():
            self.best = Best(mean, number, returns)

    def _generation(self, number: int, validated: list[int], *, new: bool) -> Generation:
        history = self._history
        validations = {n: history.validations[n, self._episodes] for n in validated}
        return Generation(
            number=number + 1,
            returns=history.returns[number],
            sigma=self._optimiser.sigma,
            validations=validations,
            steps=history.steps[number]
            + sum(v.steps for v in validations.values())
            + self._final_steps,
            new=new,
        )


def _check(number: int, what: str, returns: FloatArray) -> None:
    """See that returns are finite before the history has them, and a resumed run believes them.

    Raises:
        UserError: some are not.
    """
    if not np.isfinite(returns).all():
        first = returns[~np.isfinite(returns)][0]
        raise UserError(
            f"The {what} of generation {number} is not finite, but {first}. "
            "V, M or the world has diverged: make the models anew, and run the stage again."
        )
