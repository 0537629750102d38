"""C's first weights: what M's dreams say of doing now this, now that.

From many moments of its own dreams C looks ahead: one of its outputs is pushed down for a while, or
up, and then C goes on as it is. The difference of the two returns is what the output should have
been, and a linear C is fitted to it; the next round begins with that C. This is approximate policy
iteration with roll-outs (Lagoudakis & Parr 2003, "Reinforcement Learning as Classification";
Dimitrakakis & Lagoudakis 2008), wholly inside M. The paper begins with zeros (App. A.4).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from world_models.controller.policy import ControllerSpec
from world_models.engine.api import Engine, Task
from world_models.seeding import episode_seeds, stream
from world_models.worlds import regression
from world_models.worlds.arena import ArenaPlan, setup
from world_models.worlds.dream import Moments
from world_models.worlds.looks import NOISES, REPEATS, Look, Visit, join, work
from world_models.worlds.regression import Sums
from world_models.worlds.world import FloatArray

LANES = 256
"""Dreams in lockstep: M's matrices are read once for all of them."""
SHARE = 16
"""Moments that are kept of a dream that C visits, on average."""
SPREAD = 10.0
"""Largest standard deviation of the fitted C's outputs, before squashing."""
FIRST = 1 << 24
"""Number of the first training episode that is dreamed here."""
HELD_OUT = 8
"""One of so many moments is not fitted to, and says how well the others fit."""


class Round(NamedTuple):
    """What a round found."""

    visited: float
    """Mean return of the dreams that were visited, with the spells of something else."""
    ahead: float
    """Mean return of looking ahead."""
    gain: float
    """What the better of down and up is better than the worse, on average (it contains noise)."""
    explained: float
    """Share of the advantage's variance that the fitted line explains, on moments held out."""
    steps: int
    """Dreamed steps of all this."""


@dataclass(frozen=True)
class Looked:
    """All that was found so far, enough to go on from.

    Attributes:
        theta: C, float64 (P,).
        sums: of the moments of all rounds.
        rounds: what each found.
    """

    theta: NDArray[np.float64]
    sums: Sums
    rounds: list[Round]

    @classmethod
    def nothing(cls, spec: ControllerSpec, theta: NDArray[np.float64]) -> "Looked":
        """Before the first round, with the first C, float64 (P,)."""
        return cls(theta, Sums.empty(spec.inputs, spec.outputs), [])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """As named arrays, to store."""
        rounds = np.array(self.rounds, np.float64).reshape(-1, len(Round._fields))
        return {"theta": self.theta, "rounds": rounds} | self.sums.arrays()

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> "Looked":
        """What gave these :meth:`arrays`."""
        rows = zip(*arrays["rounds"].T.tolist(), strict=True)
        rounds = [Round(a, b, c, d, int(steps)) for a, b, c, d, steps in rows]
        return cls(arrays["theta"].copy(), Sums.from_arrays(arrays), rounds)


def table(rounds: Sequence[Round]) -> pd.DataFrame:
    """One row a round, counted from 1."""
    found = pd.DataFrame(rounds, columns=Round._fields)
    found.insert(0, "round", range(1, len(rounds) + 1))
    return found


class LookAhead:
    """Rounds of looking ahead with a linear C.

    Args:
        engine: whose workers dream.
        plan: the dream, and the shape of C; ``num_envs`` is not used.
        features: names of M's parts that C sees, in order.
        seed: of all dreams.
        moments: looked ahead from in a round.
        steps: that each look takes.
        max_steps: after which a visited dream stops; None: never.
    """

    def __init__(
        self,
        engine: Engine,
        plan: ArenaPlan,
        features: Sequence[str],
        *,
        seed: int,
        moments: int,
        steps: int,
        max_steps: int | None = None,
    ) -> None:
        assert plan.spec.hidden == 0, "a line is fitted"
        dreams = replace(plan.world, num_envs=LANES)
        self._engine, self._spec = engine, plan.spec
        self._task = Task(setup, replace(plan, world=dreams), work)
        self._features, self._seed = features, seed
        self._moments, self._steps, self._max_steps = moments, steps, max_steps
        self._dreams = -(-moments // SHARE)

    def rounds(self, looked: Looked, total: int) -> Iterator[Looked]:
        """Go on to ``total`` rounds; yields after each, the moment to store it."""
        while len(looked.rounds) < total:
            looked = self._round(looked)
            yield looked

    def _round(self, looked: Looked) -> Looked:
        number = len(looked.rounds)
        moments, visited, visiting = self._visit(number, looked.theta)
        returns, looking = self._look(number, looked.theta, moments)
        advantage = (returns[:, :, 1] - returns[:, :, 0]) / self._steps  # (n, J)
        x = self.inputs(moments)
        told = np.arange(len(x)) % HELD_OUT != 0
        sums = looked.sums.plus(x[told], advantage[told])
        line = regression.fit(sums, bias=self._spec.bias)
        found = Round(
            visited,
            float(returns.mean()),
            float(np.abs(returns[:, :, 1] - returns[:, :, 0]).mean()),
            _explained(advantage[~told], line(x[~told])),
            visiting + looking,
        )
        return Looked(self._theta(line), sums, [*looked.rounds, found])

    def inputs(self, moments: Moments) -> FloatArray:
        """What C sees at these moments, float32 (n, F)."""
        return np.concatenate([moments.z, *(moments.parts[n] for n in self._features)], axis=1)

    def _visit(self, number: int, theta: NDArray[np.float64]) -> tuple[Moments, float, int]:
        """Moments of C's dreams, in a random order, the dreams' mean return, and their steps."""
        seeds, single = self._seeds(number)[: self._dreams], theta.astype(np.float32)
        units = [
            Visit(single, seeds[at : at + LANES], SHARE, self._max_steps)
            for at in range(0, self._dreams, LANES)
        ]
        found = self._run(units)
        joined = join([one.moments for one in found])
        order = stream(self._seed, "moments", number).permutation(len(joined.z))[: self._moments]
        visited = float(np.mean(np.concatenate([one.returns for one in found])))
        return joined.take(order), visited, sum(one.steps for one in found)

    def _look(
        self, number: int, theta: NDArray[np.float64], moments: Moments
    ) -> tuple[NDArray[np.float64], int]:
        """Mean returns with each output down and up, float64 (n, J, 2), and the steps of all."""
        seeds = self._seeds(number)[self._dreams :]
        units = [
            Look(theta.astype(np.float32), moments.take(slice(at, at + LANES)), seeds, self._steps)
            for at in range(0, len(moments.z), LANES)
        ]
        found = self._run(units)
        return np.concatenate([one.returns for one in found]), sum(one.steps for one in found)

    def _seeds(self, number: int) -> NDArray[np.int64]:
        """Of a round's dreams, the visited ones first; far from those that fitness uses."""
        size = self._dreams + REPEATS * NOISES
        return episode_seeds("training", self._seed, FIRST + number * size, size)

    def _run(self, units: Sequence[Any]) -> list[Any]:
        done = dict(self._engine.run(self._task, units))
        return [done[index] for index in range(len(units))]

    def _theta(self, line: regression.Line) -> NDArray[np.float64]:
        """C's weights: the line, stretched so that its outputs decide."""
        stretch = SPREAD / max(line.deviation.max(), 1e-12)
        parts = [line.weights.T.ravel(), *([line.bias] if self._spec.bias else [])]
        theta: NDArray[np.float64] = np.concatenate(parts) * stretch
        return theta


def _explained(y: NDArray[np.float64], predicted: NDArray[np.float64]) -> float:
    """R²: 1 is perfect, 0 no better than the mean; of no difference at all, 0."""
    total = ((y - y.mean(axis=0)) ** 2).sum()
    return float(1 - ((y - predicted) ** 2).sum() / total) if total > 0 else 0.0
