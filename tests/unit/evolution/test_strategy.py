from typing import get_args

import numpy as np
import pytest

from world_models.evolution.strategy import Strategy, Variant

OPTIMUM = np.linspace(-1, 1, 20)
VARIANTS = get_args(Variant)


def fitness(x):
    return -(((x - OPTIMUM) ** 2) * np.linspace(1, 5, 20)).sum(axis=1)


def begin(variant="separable", seed=3):
    return Strategy(np.zeros(20), sigma=0.3, population=12, variant=variant, seed=seed)


def evolve(strategy, generations):
    history = []
    for _ in range(generations):
        history.append(fitness(strategy.ask()))
        strategy.tell(history[-1])
    return np.array(history)


@pytest.mark.parametrize("variant", VARIANTS)
def test_finds_a_known_optimum(variant):
    strategy = begin(variant)
    evolve(strategy, 250)
    np.testing.assert_allclose(strategy.mean, OPTIMUM, atol=2e-3)
    assert strategy.sigma < 1e-2


@pytest.mark.parametrize("variant", VARIANTS)
def test_leaves_the_global_stream_alone(variant):
    np.random.seed(5)  # noqa: NPY002
    expected = np.random.normal()  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    evolve(begin(variant), 3)
    assert np.random.normal() == expected  # noqa: NPY002


@pytest.mark.parametrize("variant", VARIANTS)
def test_replayed_it_goes_on_to_the_same_bytes(variant):
    straight, resumed = begin(variant), begin(variant)
    resumed.replay(evolve(straight, 30))
    assert resumed.mean.tobytes() == straight.mean.tobytes()
    evolve(straight, 10)
    evolve(resumed, 10)
    assert resumed.mean.tobytes() == straight.mean.tobytes()
    assert resumed.sigma == straight.sigma


@pytest.mark.parametrize("seed", [0, 1])
def test_same_seed_same_candidates_also_for_zero(seed):
    assert begin(seed=seed).ask().tobytes() == begin(seed=seed).ask().tobytes()
    assert (begin(seed=seed).ask() != begin(seed=seed + 1).ask()).any()


def test_the_mean_is_the_distributions_and_not_the_best_sample():
    strategy = begin()
    candidates = strategy.ask()
    values = fitness(candidates)
    strategy.tell(values)
    half = np.argsort(-values)[:6]
    lucky = candidates[half[0]]
    assert not np.allclose(strategy.mean, lucky)
    # the mean is a convex combination of the better half: log-weights fall with the rank
    raw = np.log(6.5) - np.log(np.arange(1, 7))
    np.testing.assert_allclose(strategy.mean, raw / raw.sum() @ candidates[half], atol=1e-12)
