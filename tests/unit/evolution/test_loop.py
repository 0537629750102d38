from typing import NamedTuple

import numpy as np
import pytest

from world_models.evolution.cma_es import CMAES
from world_models.evolution.history import History, table
from world_models.evolution.loop import Evolution

OPTIMUM = np.array([0.5, -0.3, 0.2, 0.9])


class Scores(NamedTuple):
    fitness: np.ndarray
    returns: np.ndarray
    steps: int
    validation: np.ndarray
    validation_steps: int


class Noisy:
    """A quadratic whose noise depends on the generation alone; remembers what it was asked.

    ``played`` holds numbers of generations whose candidates were asked for; ``means`` the
    validated means, by the number of generations before.
    """

    def __init__(self, episodes=2):
        self.means, self.played, self.episodes, self.finals = {}, [], episodes, []

    def __call__(self, number, candidates, mean):
        if len(candidates):
            self.played.append(number)
        noise = np.random.default_rng(number).normal(0, 0.01, len(candidates))
        fitness = -((candidates - OPTIMUM) ** 2).sum(axis=1) + noise
        if mean is None:
            return Scores(fitness, fitness - 100, 10 * len(candidates), np.empty(0), 0)
        self.means[number] = mean
        returns = -((mean - OPTIMUM) ** 2).sum() + np.linspace(-0.1, 0.1, self.episodes)
        return Scores(fitness, fitness - 100, 10 * len(candidates), returns, 7)

    def play_on(self, mean, episodes):
        """The further episodes like means that others do not: the second coordinate alone."""
        self.finals.append(mean)
        return np.full(episodes, mean[1]), 5 * episodes


def search(restart):
    random = np.random.default_rng([1, restart])
    return CMAES(np.zeros(4), sigma=0.5, population=6, variant="separable", random=random)


def begin(history=None, generations=11, validate_every=3, episodes=2, **others):
    return Evolution(
        search,
        History() if history is None else history,
        generations=generations,
        validate_every=validate_every,
        validation_episodes=episodes,
        **others,
    )


def run(evolution, fitness, stop=None):
    for generation in evolution.generations(fitness):
        if generation.number == stop:
            break
    return evolution


def stored(history):
    """The history as it comes back from the disk."""
    return History.from_arrays({name: array.copy() for name, array in history.arrays().items()})


def same(one, other):
    assert one.best.theta.tobytes() == other.best.theta.tobytes()
    assert one.best.generation == other.best.generation
    assert one.best.validation.tobytes() == other.best.validation.tobytes()
    assert table(one.done).to_csv() == table(other.done).to_csv()


def test_validates_every_k_generations_and_the_last():
    history, fitness = History(), Noisy()
    evolution = run(begin(history), fitness)
    assert sorted(number for number, _ in history.validations) == [3, 6, 9, 11]
    assert sorted(fitness.means) == [3, 6, 9, 11]
    assert fitness.played == list(range(11))
    assert [g.steps for g in evolution.done] == [
        67 if g in (3, 6, 9, 10) else 60 for g in range(11)
    ]
    assert [sorted(g.validations) for g in evolution.done if g.validations] == [[3], [6], [9], [11]]


def test_keeps_the_best_validated_mean():
    history, fitness = History(), Noisy()
    evolution = run(begin(history), fitness)
    scores = {number: v.returns.mean() for (number, _), v in history.validations.items()}
    best = max(scores, key=scores.get)
    assert evolution.best.generation == best
    np.testing.assert_array_equal(evolution.best.theta, fitness.means[best])
    assert evolution.best.validation.mean() == scores[best]


def test_an_earlier_mean_is_kept_when_later_ones_do_worse():
    class Falling(Noisy):
        def __call__(self, number, candidates, mean):
            scores = super().__call__(number, candidates, mean)
            return scores._replace(validation=np.full(2, -float(number)))

    evolution, fitness = begin(), Falling()
    run(evolution, fitness)
    assert evolution.best.generation == 3
    np.testing.assert_array_equal(evolution.best.theta, fitness.means[3])


@pytest.mark.parametrize("restart_every", [None, 4])
@pytest.mark.parametrize("stop", [1, 3, 4, 9, 10, 11])
def test_resumed_from_stored_arrays_it_ends_in_the_same_bytes(stop, restart_every):
    others = {"restart_every": restart_every}
    straight, cut = run(begin(**others), Noisy()), History()
    run(begin(cut, **others), Noisy(), stop)
    again = Noisy()
    resumed = run(begin(stored(cut), **others), again)
    assert again.played == list(range(stop, 11))
    due = (3, 4, 6, 8, 9, 11) if restart_every else (3, 6, 9, 11)
    assert set(again.means) == {n for n in due if (n >= stop) and stop < 11}
    same(resumed, straight)


def test_a_restart_begins_anew_after_the_last_mean_was_validated():
    class Remembering(Noisy):
        asked = ()

        def __call__(self, number, candidates, mean):
            self.asked = (*self.asked, candidates) if len(candidates) else self.asked
            return super().__call__(number, candidates, mean)

    fitness = Remembering()
    evolution = run(begin(restart_every=4, validate_every=100), fitness)
    assert sorted(fitness.means) == [4, 8, 11], "each search's last mean, and no other"
    for restart, first in enumerate((0, 4, 8)):
        assert fitness.asked[first].tobytes() == search(restart).ask().tobytes()
    alone = search(1)
    for number in range(4, 8):
        values = fitness(number, alone.ask(), None).fitness
        alone.tell(values)
    assert fitness.means[8].tobytes() == alone.mean.tobytes()
    scores = {number: -((mean - OPTIMUM) ** 2).sum() for number, mean in fitness.means.items()}
    assert evolution.best.generation == max(scores, key=scores.get)
    assert evolution.done[7].sigma < evolution.done[8].sigma, "as wide as at the beginning"


@pytest.mark.parametrize("stop", [None, 2, 5, 8])
@pytest.mark.parametrize("first", [1, 3, 4, 6])
def test_more_generations_go_on_from_the_end_to_the_bytes_of_one_long_run(first, stop):
    history, fitness = History(), Noisy()
    run(begin(history, generations=first), fitness)
    if stop is not None:  # the longer run is killed as well
        run(begin(history, generations=11), fitness, stop)
    longer = run(begin(stored(history), generations=11), fitness)
    assert fitness.played == list(range(11)), "nothing is played twice"
    same(longer, run(begin(), Noisy()))


def test_fewer_generations_are_the_beginning_of_the_longer_run():
    history, fitness = History(), Noisy()
    run(begin(history), fitness)
    shorter = run(begin(stored(history), generations=5), fitness)
    assert fitness.played == list(range(11))
    same(shorter, run(begin(generations=5), Noisy()))


@pytest.mark.parametrize("change", [{"validate_every": 2}, {"episodes": 5}])
def test_other_validations_play_no_training_episode_again(change):
    history = History()
    run(begin(history), Noisy())
    again = Noisy(change.get("episodes", 2))
    changed = run(begin(stored(history), **change), again)
    assert again.played == []
    missing = {2: {2, 4, 8, 10}, 3: {3, 6, 9, 11}}[change.get("validate_every", 3)]
    assert set(again.means) == missing
    same(changed, run(begin(**change), Noisy(again.episodes)))
    back = Noisy()
    same(run(begin(history), back), run(begin(), Noisy()))
    assert not back.means, "the first validations are still there"


def test_what_stood_in_the_history_is_not_new():
    history = History()
    run(begin(history, generations=4), Noisy())
    longer = run(begin(history, generations=6), Noisy())
    assert [g.new for g in longer.done] == [False, False, False, False, True, True]


def test_an_empty_history_comes_back_empty():
    assert stored(History()) == History()


def test_the_table_has_a_row_for_each_generation():
    history = History()
    evolution = run(begin(history), Noisy())
    rows = table(evolution.done)
    assert rows["generation"].tolist() == list(range(1, 12))
    assert rows["steps"].tolist() == np.cumsum([g.steps for g in evolution.done]).tolist()
    assert rows["best"].tolist() == [r.max() for r in history.returns]
    validated = rows[rows["validation"].notna()]
    assert validated["generation"].tolist() == [3, 6, 9, 11]
    assert rows["mean"].iloc[-1] > rows["mean"].iloc[0]


def test_finalists_are_chosen_among_by_further_episodes_alone():
    history, fitness = History(), Noisy()
    evolution = run(begin(history, finalists=3, final_episodes=4), fitness)
    scores = {number: v.returns.mean() for (number, _), v in history.validations.items()}
    finalists = sorted(scores, key=scores.get)[-3:]
    best = max(finalists, key=lambda number: fitness.means[number][1])
    assert best != max(scores, key=scores.get), "validation would have chosen another"
    assert evolution.best.generation == best
    np.testing.assert_array_equal(evolution.best.theta, fitness.means[best])
    np.testing.assert_array_equal(evolution.best.validation, np.full(4, fitness.means[best][1]))
    assert len(fitness.finals) == 3
    assert evolution.done[-1].steps == 67 + 3 * 20


def test_finalists_that_have_played_do_not_play_again():
    history = History()
    straight = run(begin(history, finalists=3, final_episodes=4), Noisy())
    again = Noisy()
    resumed = run(begin(stored(history), finalists=3, final_episodes=4), again)
    assert not again.finals
    assert not again.played
    same(resumed, straight)
    more = Noisy()
    run(begin(stored(history), finalists=4, final_episodes=4), more)
    assert len(more.finals) == 1
