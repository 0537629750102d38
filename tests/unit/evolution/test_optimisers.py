"""Every optimiser of the registry against known optima and, one generation at a time, its paper."""

from typing import get_args

import numpy as np
import pytest

from world_models.evolution.optimiser import OPTIMISERS
from world_models.evolution.parameters import Variant
from world_models.seeding import stream

OPTIMUM = np.linspace(-1, 1, 20)
WAYS = {variant: ("cma", {"variant": variant}) for variant in get_args(Variant)}
WAYS["openai-es"] = "openai-es", {"learning_rate": 0.05}


def fitness(x):
    return -(((x - OPTIMUM) ** 2) * np.linspace(1, 5, 20)).sum(axis=1)


def begin(way="separable", seed=3, start=None):
    name, knobs = WAYS[way]
    start = np.zeros(20) if start is None else start
    random = stream(seed, "evolution")
    return OPTIMISERS[name].make(start, sigma=0.3, population=12, random=random, **knobs)


def evolve(optimiser, generations):
    history = []
    for _ in range(generations):
        history.append(fitness(optimiser.ask()))
        optimiser.tell(history[-1])
    return np.array(history)


def test_all_optimisers_of_the_registry_are_tested_here():
    assert {name for name, _ in WAYS.values()} == set(OPTIMISERS)
    for name, knobs in WAYS.values():
        assert set(OPTIMISERS[name].knobs) == set(knobs)


@pytest.mark.parametrize("way", get_args(Variant))
def test_cma_finds_a_known_optimum(way):
    optimiser = begin(way)
    evolve(optimiser, 250)
    np.testing.assert_allclose(optimiser.mean, OPTIMUM, atol=2e-3)
    assert optimiser.sigma < 1e-2


def test_openai_es_comes_as_near_as_its_fixed_width_lets_it():
    optimiser = begin("openai-es")
    before = fitness(optimiser.mean[None])[0]
    evolve(optimiser, 600)
    assert fitness(optimiser.mean[None])[0] > before / 50
    np.testing.assert_allclose(optimiser.mean, OPTIMUM, atol=0.3)
    assert optimiser.sigma == 0.3


@pytest.mark.parametrize("way", WAYS)
def test_begins_at_the_start_with_the_given_width(way):
    start = np.arange(20.0)
    optimiser = begin(way, start=start)
    np.testing.assert_array_equal(optimiser.mean, start)
    assert optimiser.sigma == pytest.approx(0.3, rel=0.1)
    samples = np.concatenate([begin(way, seed, start).ask() for seed in range(50)])
    assert samples.shape == (600, 20)
    assert (samples - start).std() == pytest.approx(0.3, rel=0.03)


@pytest.mark.parametrize("way", WAYS)
def test_leaves_the_global_stream_alone(way):
    np.random.seed(5)  # noqa: NPY002
    expected = np.random.normal()  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    evolve(begin(way), 3)
    assert np.random.normal() == expected  # noqa: NPY002


@pytest.mark.parametrize("way", WAYS)
def test_given_the_same_fitness_it_goes_on_to_the_same_bytes(way):
    straight, resumed = begin(way), begin(way)
    for values in evolve(straight, 30):
        resumed.ask()
        resumed.tell(values)
    assert resumed.mean.tobytes() == straight.mean.tobytes()
    evolve(straight, 10)
    evolve(resumed, 10)
    assert resumed.mean.tobytes() == straight.mean.tobytes()
    assert resumed.sigma == straight.sigma


@pytest.mark.parametrize("way", ["separable", "openai-es"])
@pytest.mark.parametrize("seed", [0, 1])
def test_same_seed_same_candidates_also_for_zero(way, seed):
    assert begin(way, seed).ask().tobytes() == begin(way, seed).ask().tobytes()
    assert (begin(way, seed).ask() != begin(way, seed + 1).ask()).any()


@pytest.mark.parametrize("way", WAYS)
def test_what_it_gives_is_a_copy(way):
    """A caller that writes into candidates or mean must not move the search."""
    optimiser, other = begin(way), begin(way)
    optimiser.mean.fill(7)
    values = fitness(other.ask())
    optimiser.ask().fill(7)
    optimiser.tell(values)
    other.tell(values)
    assert optimiser.mean.tobytes() == other.mean.tobytes()


def test_cmas_mean_is_the_distributions_and_not_the_best_sample():
    optimiser = begin("separable")
    candidates = optimiser.ask()
    values = fitness(candidates)
    optimiser.tell(values)
    half = np.argsort(-values)[:6]
    lucky = candidates[half[0]]
    assert not np.allclose(optimiser.mean, lucky)
    # the mean is a convex combination of the better half: log-weights fall with the rank
    raw = np.log(6.5) - np.log(np.arange(1, 7))
    np.testing.assert_allclose(optimiser.mean, raw / raw.sum() @ candidates[half], atol=1e-12)


def test_openai_es_steps_as_adam_on_the_gradient_of_centred_ranks():
    """Salimans et al. 2017, algorithm 1 with rank shaping, and Kingma & Ba 2015, algorithm 1."""
    optimiser = begin("openai-es")
    m, v, theta = np.zeros(20), np.zeros(20), np.zeros(20)
    for t in range(1, 4):
        candidates = optimiser.ask()
        values = fitness(candidates)
        optimiser.tell(values)
        noise = (candidates - theta) / 0.3
        np.testing.assert_allclose(noise[:6], -noise[6:], atol=1e-5)  # mirrored pairs
        utility = np.argsort(np.argsort(values)) / 11 - 0.5
        g = (utility[:, None] * noise).sum(axis=0) / (6 * 0.3)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        theta = theta + 0.05 * m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        np.testing.assert_allclose(optimiser.mean, theta, atol=1e-5)
