import numpy as np
import pytest

from world_models.evolution.history import History
from world_models.evolution.loop import Evolution, Scores
from world_models.evolution.strategy import Strategy

OPTIMUM = np.array([0.5, -0.3, 0.2, 0.9])


class Noisy:
    """A quadratic whose noise depends on the generation alone; remembers what it was asked."""

    def __init__(self):
        self.means, self.calls = {}, []

    def __call__(self, generation, candidates, mean):
        self.calls.append(generation)
        noise = np.random.default_rng(generation).normal(0, 0.01, len(candidates))
        fitness = -((candidates - OPTIMUM) ** 2).sum(axis=1) + noise
        if mean is None:
            return Scores(fitness, None, 10 * len(candidates))
        self.means[generation] = mean
        returns = -((mean - OPTIMUM) ** 2).sum() + np.array([-0.1, 0.1])
        return Scores(fitness, returns, 10 * len(candidates) + 7)


def begin(history=None, generations=11, validate_every=3):
    strategy = Strategy(np.zeros(4), sigma=0.5, population=6, variant="separable", seed=1)
    history = history or History()
    return Evolution(strategy, history, generations=generations, validate_every=validate_every)


def run(evolution, fitness, stop=None):
    for done in evolution.generations(fitness):
        if done == stop:
            break


def test_validates_every_k_generations_and_the_last():
    evolution, fitness = begin(), Noisy()
    run(evolution, fitness)
    assert sorted(evolution.history.validations) == [3, 6, 9, 11]
    assert fitness.calls == [*range(11), 11]
    assert evolution.history.steps == [67 if g in (3, 6, 9, 10) else 60 for g in range(11)]


def test_keeps_the_best_validated_mean():
    evolution, fitness = begin(), Noisy()
    run(evolution, fitness)
    scores = {g: returns.mean() for g, returns in evolution.history.validations.items()}
    best = max(scores, key=scores.get)
    assert evolution.best.generation == best
    np.testing.assert_array_equal(evolution.best.theta, fitness.means[best])
    assert evolution.best.validation.mean() == scores[best]


def test_an_earlier_mean_is_kept_when_later_ones_do_worse():
    class Falling(Noisy):
        def __call__(self, generation, candidates, mean):
            scores = super().__call__(generation, candidates, mean)
            falling = None if mean is None else np.full(2, -float(generation))
            return scores._replace(validation=falling)

    evolution, fitness = begin(), Falling()
    run(evolution, fitness)
    assert evolution.best.generation == 3
    np.testing.assert_array_equal(evolution.best.theta, fitness.means[3])


@pytest.mark.parametrize("stop", [1, 3, 4, 9, 10, 11])
def test_resumed_from_stored_arrays_it_ends_in_the_same_bytes(stop):
    straight = begin()
    run(straight, Noisy())
    cut = begin()
    run(cut, Noisy(), stop)
    resumed = begin(History.from_arrays(cut.history.arrays()))
    again = Noisy()
    run(resumed, again)
    assert again.calls == ([*range(stop, 11), 11] if stop < 11 else [])
    assert resumed.best.theta.tobytes() == straight.best.theta.tobytes()
    assert resumed.best.generation == straight.best.generation
    tables = [e.history.table(e.sigmas).to_csv() for e in (straight, resumed)]
    assert tables[0] == tables[1]


def test_the_table_tells_each_generation():
    evolution = begin()
    run(evolution, Noisy())
    table = evolution.history.table(evolution.sigmas)
    assert table["generation"].tolist() == list(range(1, 12))
    assert table["steps"].tolist() == np.cumsum(evolution.history.steps).tolist()
    assert table["best"].tolist() == [f.max() for f in evolution.history.fitness]
    validated = table[table["validation"].notna()]
    assert validated["generation"].tolist() == [3, 6, 9, 11]
    assert table["mean"].iloc[-1] > table["mean"].iloc[0]
