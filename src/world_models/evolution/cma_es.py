"""CMA-ES by pycma, with all its randomness from a stream of ours.

Reference: N. Hansen, "The CMA Evolution Strategy: A Tutorial"; separable: Ros & Hansen 2008;
VD: Akimoto, Auger & Hansen 2014; VkD: Akimoto & Hansen 2016.
"""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from world_models.evolution.parameters import Variant

# pycma warns at import of what it finds missing (moarchiving): nothing that is used here.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import cma
    from cma.restricted_gaussian_sampler import GaussVDSampler, GaussVkDSampler

FloatArray = NDArray[np.float64]


class CMAES:
    """An :class:`~world_models.evolution.optimiser.Optimiser` (paper, App. A.4)."""

    def __init__(
        self,
        start: FloatArray,
        *,
        sigma: float,
        population: int,
        variant: Variant,
        random: np.random.Generator,
    ) -> None:
        """Begin.

        Args:
            start: the distribution's first mean, float (P,).
            sigma: its first standard deviation in each coordinate, > 0.
            population: candidates in a generation, ≥ 2.
            variant: see :data:`Variant`.
            random: what all samples are drawn from.
        """
        self._random = random
        self._asked: list[FloatArray] | None = None
        options = _options(variant) | {
            "popsize": population,
            "randn": self._normal,
            "CMA_sampler_options": {"randn": self._normal} if variant in ("vd", "vkd") else {},
            "seed": np.nan,  # leave numpy's global stream alone: 0 and None would seed it by clock
            "verbose": -10,  # neither printing nor reading of option files
            "verb_log": 0,  # no log files
        }
        self._es = cma.CMAEvolutionStrategy(np.asarray(start, np.float64), sigma, options)

    def _normal(self, *shape: int) -> FloatArray:
        return self._random.standard_normal(shape)

    def ask(self) -> FloatArray:
        """Sample a generation of candidates, float64 (population, P)."""
        assert self._asked is None, "the last generation's fitness is missing"
        self._asked = self._es.ask()
        return np.array(self._asked)

    def tell(self, fitness: FloatArray) -> None:
        """Move the distribution towards the candidates that did well.

        Args:
            fitness: float (population,), higher is better, in the order of :meth:`ask`.
        """
        assert self._asked is not None, "ask before you tell"
        assert np.isfinite(fitness).all(), "fitness must be finite"
        self._es.tell(self._asked, (-fitness).tolist())  # pycma minimises
        self._asked = None

    @property
    def mean(self) -> FloatArray:
        """The distribution's mean, float64 (P,): the result, never the luckiest sample."""
        return np.array(self._es.result.xfavorite)

    @property
    def sigma(self) -> float:
        """Mean standard deviation of a coordinate, comparable between variants."""
        return float(np.mean(self._es.stds))


def _options(variant: Variant) -> dict[str, Any]:
    if variant == "vd":
        return dict(GaussVDSampler.extend_cma_options({}))
    if variant == "vkd":
        return dict(GaussVkDSampler.extend_cma_options({}))
    active = not variant.endswith("-passive")
    return {"CMA_active": active, "CMA_diagonal": variant.startswith("separable")}
