"""OpenAI's evolution strategy by pyribs, with all its randomness from a stream of ours.

Reference: Salimans et al. 2017, "Evolution Strategies as a Scalable Alternative to Reinforcement
Learning": a Gaussian of fixed width, whose mean climbs the estimated gradient by Adam.
"""

import numpy as np
from numpy.typing import NDArray
from ribs.emitters.opt import OpenAIEvolutionStrategy

FloatArray = NDArray[np.float64]


class OpenAIES:
    """An :class:`~world_models.evolution.optimiser.Optimiser`; sigma never changes."""

    def __init__(
        self,
        start: FloatArray,
        *,
        sigma: float,
        population: int,
        learning_rate: float,
        random: np.random.Generator,
    ) -> None:
        """Begin.

        Args:
            start: the first mean, float (P,).
            sigma: standard deviation of each coordinate, > 0.
            population: candidates in a generation, even: they come in pairs mean ± noise.
            learning_rate: Adam's: about how far each coordinate of the mean moves a generation.
            random: what the seed of all samples is drawn from.
        """
        self._sigma = sigma
        self._es = OpenAIEvolutionStrategy(
            sigma0=sigma,
            solution_dim=len(start),
            batch_size=population,
            seed=int(random.integers(2**63)),
            lr=learning_rate,
        )
        self._es.reset(np.asarray(start, np.float64))

    def ask(self) -> FloatArray:
        """Sample a generation of candidates, float64 (population, P)."""
        return np.array(self._es.ask())

    def tell(self, fitness: FloatArray) -> None:
        """Climb the gradient that the candidates' ranks estimate.

        Args:
            fitness: float (population,), higher is better, in the order of :meth:`ask`.
        """
        assert np.isfinite(fitness).all(), "fitness must be finite"
        # Stable, so that ties are ordered alike on every machine.
        order = np.argsort(-fitness, kind="stable")
        self._es.tell(order, fitness[order], len(fitness))

    @property
    def mean(self) -> FloatArray:
        """The distribution's mean, float64 (P,)."""
        return np.array(self._es.adam_opt.theta)

    @property
    def sigma(self) -> float:
        """Standard deviation of a coordinate."""
        return self._sigma
