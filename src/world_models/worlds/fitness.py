"""What candidates of C are worth: returns of episodes, played on all workers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from world_models.engine.api import Engine, Task
from world_models.envs.specification import Difficulty
from world_models.seeding import episode_seeds
from world_models.worlds import arena
from world_models.worlds.arena import ArenaPlan, Bout
from world_models.worlds.episodes import Outcomes

FloatArray = NDArray[np.float64]
FURTHER = 100_000
"""Number of the first validation episode that only finalists play."""


class Scores(NamedTuple):
    """How a generation did."""

    fitness: FloatArray
    """Of the candidates, float64 (population,); see :func:`ranked`."""
    returns: FloatArray
    """Mean return of each candidate's episodes, float64 (population,)."""
    steps: int
    """Environment steps that the candidates took."""
    validation: FloatArray
    """Returns of the mean, float64 (episodes,); empty without a mean."""
    validation_steps: int
    """Environment steps that the validation took."""


@dataclass(frozen=True)
class Rules:
    """Which episodes are played, and how.

    Attributes:
        seed: of all episodes.
        rollouts: episodes a candidate; all candidates of a group share their seeds.
        groups: of equal size, into which a generation is split, each with episodes of its own.
        hardest_of: every second of these, rounded down, is the hardest of so many; None: they are
            as they come.
        batch: episodes in lockstep, a multiple of ``rollouts``.
        max_steps: steps after which a training episode stops; None: never.
        patience: steps without reward until a training episode stops; None: never.
        validation_episodes: the same ones each time, played in full.
    """

    seed: int
    rollouts: int
    groups: int
    hardest_of: int | None
    batch: int
    max_steps: int | None
    patience: int | None
    validation_episodes: int


class Fitness:
    """Plays episodes; call it with a generation.

    Args:
        engine: whose workers play.
        plan: the world, and the shape of C.
        rules: see there.
        difficulty: how hard the episode of a seed is; not asked without ``rules.hardest_of``.
    """

    def __init__(
        self, engine: Engine, plan: ArenaPlan, rules: Rules, difficulty: Difficulty | None = None
    ) -> None:
        self._engine, self._rules, self._difficulty = engine, rules, difficulty
        self._task = Task(arena.setup, plan, arena.work)

    def __call__(self, number: int, candidates: FloatArray, mean: FloatArray | None) -> Scores:
        """Play a generation.

        Args:
            number: of generations before; fixes the candidates' episodes.
            candidates: float64 (population, P), or (0, P).
            mean: float64 (P,), if it is to be validated.
        """
        # Validations first: they play in full, and the shorter bouts then fill the gaps.
        count = self._rules.validation_episodes
        validations = [] if mean is None else list(self._validations(mean, 0, count))
        bouts = validations + list(self._bouts(number, candidates))
        outcomes = dict(self._engine.run(self._task, bouts))
        done = [outcomes[index] for index in range(len(bouts))]
        validated, trained = done[: len(validations)], done[len(validations) :]
        returns = _returns(trained).reshape(-1, self._rules.rollouts)
        return Scores(
            fitness=ranked(returns, self._rules.groups),
            returns=returns.mean(axis=1),
            steps=_steps(trained),
            validation=_returns(validated),
            validation_steps=_steps(validated),
        )

    def play_on(self, mean: FloatArray, episodes: int) -> tuple[FloatArray, int]:
        """Play further validation episodes.

        Args:
            mean: float64 (P,).
            episodes: how many.

        Returns:
            Their returns, float64 (episodes,), and the environment steps that they took.
        """
        bouts = list(self._validations(mean, FURTHER, episodes))
        outcomes = dict(self._engine.run(self._task, bouts))
        done = [outcomes[index] for index in range(len(bouts))]
        return _returns(done), _steps(done)

    def _validations(self, mean: FloatArray, first: int, count: int) -> Iterator[Bout]:
        rules = self._rules
        seeds = episode_seeds("validation", rules.seed, first, count)
        for start in range(0, len(seeds), rules.batch):
            yield Bout(_single(mean[None]), seeds[start : start + rules.batch])

    def _bouts(self, number: int, candidates: FloatArray) -> Iterator[Bout]:
        rules = self._rules
        share = rules.batch // rules.rollouts
        for group, members in enumerate(np.split(_single(candidates), rules.groups)):
            seeds = self._training(number * rules.groups + group)
            for start in range(0, len(members), share):
                theta = members[start : start + share]
                yield Bout(theta, np.tile(seeds, len(theta)), rules.patience, rules.max_steps)

    def _training(self, number: int) -> NDArray[np.int64]:
        """The seeds of a group's episodes, int64 (rollouts,); ``number`` is of groups before."""
        rules, pool = self._rules, self._rules.hardest_of
        if pool is None:
            return episode_seeds("training", rules.seed, number * rules.rollouts, rules.rollouts)
        assert self._difficulty is not None, "nobody says what is hard"
        hard = rules.rollouts // 2
        plain = rules.rollouts - hard
        drawn = plain + hard * pool
        seeds = episode_seeds("training", rules.seed, number * drawn, drawn)
        hardest = [
            max(few, key=self._difficulty) for few in seeds[plain:].reshape(hard, pool).tolist()
        ]
        return np.concatenate([seeds[:plain], np.array(hardest, np.int64)])


def ranked(returns: FloatArray, groups: int) -> FloatArray:
    """The fitness of candidates whose episodes gave these returns.

    One group: a candidate's mean return (paper, App. A.4). More: its place in the generation.
    Returns of other episodes cannot be compared, ranks can: on each episode a candidate has a rank
    among its group, and the mean of its ranks gives its place. Among equals it is the mean return,
    less that of the group.

    Args:
        returns: float64 (population, rollouts); the groups follow one another, all of one size.
        groups: how many.

    Returns:
        float64 (population,), higher is better.
    """
    means: FloatArray = returns.mean(axis=1)
    if groups == 1 or not len(returns):
        return means
    population, rollouts = returns.shape
    members = returns.reshape(groups, population // groups, rollouts)
    ranks = members.argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
    better = means.reshape(groups, -1) - members.mean(axis=(1, 2))[:, None]
    order = np.lexsort((better.ravel(), ranks.mean(axis=2).ravel()))
    places = np.empty(population)
    places[order] = np.arange(population)
    return places


def _single(theta: FloatArray) -> NDArray[np.float32]:
    return theta.astype(np.float32)


def _returns(outcomes: Sequence[Outcomes]) -> FloatArray:
    return np.concatenate([outcome.returns for outcome in outcomes] or [np.empty(0)])


def _steps(outcomes: Sequence[Outcomes]) -> int:
    return sum(int(outcome.lengths.sum()) for outcome in outcomes)
