"""What an optimiser of C must offer, and the one list of those that there are.

A new optimiser is a module with such a class, an entry in :data:`OPTIMISERS` and, if it has knobs
of its own, their fields in ``parameters.py``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


class Optimiser(Protocol):
    """Searches for the vector of the highest fitness, generation by generation.

    Its state depends on the arguments that it was made with and on the fitness values that it was
    given, and on nothing else. So a run is resumed by giving the same fitness values to a new
    optimiser: the bytes are the same, and no state has to be stored.
    """

    def ask(self) -> FloatArray:
        """Sample a generation of candidates, float64 (population, P)."""

    def tell(self, fitness: FloatArray) -> None:
        """Learn how the candidates did.

        Args:
            fitness: float64 (population,), finite, higher is better, in the order of :meth:`ask`.
        """

    @property
    def mean(self) -> FloatArray:
        """The centre of the search, float64 (P,): the result, never the luckiest candidate."""

    @property
    def sigma(self) -> float:
        """The standard deviation of a candidate's coordinate, averaged over the coordinates."""


@dataclass(frozen=True)
class Entry:
    """An optimiser that ``evolve.optimiser`` can name.

    Attributes:
        make: ``make(start, sigma=…, population=…, random=…, <its knobs>)`` with the first mean,
            float64 (P,), the first standard deviation of every coordinate, and the generator that
            all its random numbers come from.
        knobs: the parameters of stage evolve that have a use for this optimiser alone; they are
            null when another one is chosen.
        multiple: the population must be a multiple of it.
    """

    make: Callable[..., Optimiser]
    knobs: tuple[str, ...]
    multiple: int = 1


# The libraries are imported on use: one of them alone is needed, and to check parameters, none.
def _cma(start: FloatArray, **settings: Any) -> Optimiser:
    from world_models.evolution.cma_es import CMAES

    return CMAES(start, **settings)


def _openai_es(start: FloatArray, **settings: Any) -> Optimiser:
    from world_models.evolution.openai_es import OpenAIES

    return OpenAIES(start, **settings)


OPTIMISERS = {
    "cma": Entry(_cma, knobs=("variant",)),
    "openai-es": Entry(_openai_es, knobs=("learning_rate",), multiple=2),
}
"""By the name in ``params.yaml``."""
