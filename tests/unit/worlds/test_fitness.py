"""Which episodes a generation plays."""

import numpy as np
import pytest
from small_memory import DOOM, memory

from world_models.controller.policy import ControllerSpec, count
from world_models.envs import catalogue
from world_models.envs.carracing.track import difficulty
from world_models.seeding import episode_seeds
from world_models.worlds.arena import ArenaPlan
from world_models.worlds.build import DreamPlan
from world_models.worlds.fitness import Fitness, Rules, ranked


class Here:
    """An engine that plays in this process, and remembers what."""

    def __init__(self):
        self.bouts, self._states = [], {}

    def run(self, task, units):
        state = self._states.setdefault(task.key, None) or task.setup(task.payload)
        self._states[task.key] = state
        self.bouts.extend(units)
        return enumerate(task.work(state, unit) for unit in units)


def last_digits(seed):
    """Made up: in a dream no episode is known to be hard."""
    return seed % 1000


def begin(rollouts, hardest_of, seed=1, groups=1):
    m = memory(DOOM, restart_bias=-5)
    spec = ControllerSpec("zch", m.feature_size("zch"), 0, 1, bias=False)
    plan = ArenaPlan(DreamPlan(16, "zch", 1.0, 30, m.payload()), spec, np.tanh)
    engine = Here()
    rules = Rules(seed, rollouts, groups, hardest_of, rollouts * 2, 10, None, 4)
    return engine, Fitness(engine, plan, rules, last_digits), np.zeros((4, count(spec)))


def played(engine, rollouts):
    """The seeds of the candidates' episodes; all candidates have the same."""
    seeds = np.concatenate([bout.seeds for bout in engine.bouts]).reshape(-1, rollouts)
    assert (seeds == seeds[0]).all()
    return seeds[0]


@pytest.mark.parametrize("rollouts", [2, 3, 5])
def test_half_of_the_episodes_are_the_hardest_of_so_many(rollouts):
    seen = []
    for number in range(3):
        engine, fitness, candidates = begin(rollouts, hardest_of=7)
        scores = fitness(number, candidates, None)
        assert scores.fitness.shape == (4,)
        hard = rollouts // 2
        drawn = rollouts - hard + 7 * hard
        seeds = episode_seeds("training", 1, number * drawn, drawn)
        plain, pools = seeds[: rollouts - hard], seeds[rollouts - hard :].reshape(hard, 7)
        found = played(engine, rollouts)
        assert found[: len(plain)].tolist() == plain.tolist()
        rest = found[len(plain) :]
        for one, pool in zip(rest, pools, strict=True):
            assert one in pool
            assert last_digits(one) == max(map(last_digits, pool))
        seen.extend(found.tolist())
    assert len(set(seen)) == len(seen), "no generation plays another's episodes"


def test_without_it_they_are_as_they_come():
    engine, fitness, candidates = begin(3, hardest_of=None)
    fitness(4, candidates, None)
    assert played(engine, 3).tolist() == episode_seeds("training", 1, 12, 3).tolist()


def test_validations_are_never_chosen():
    engine, fitness, candidates = begin(2, hardest_of=7)
    fitness(0, candidates[:0], candidates[0])
    seeds = np.concatenate([bout.seeds for bout in engine.bouts])
    assert seeds.tolist() == episode_seeds("validation", 1, 0, 4).tolist()


def test_a_tracks_difficulty_is_its_sharpest_bend():
    """Against the track that the simulator makes of the seed, angle by angle."""
    simulator = catalogue.create("carracing", "fast")
    for seed in range(6):
        simulator.reset(seed=seed)
        headings = [angle for _, angle, *_ in simulator.unwrapped.game.track]
        n, sharpest = len(headings), 0.0
        for first in range(n):
            turned = 0.0
            for i in range(first, first + 12):
                step = headings[(i + 1) % n] - headings[i % n]
                turned += np.arctan2(np.sin(step), np.cos(step))
            sharpest = max(sharpest, abs(turned))
        assert difficulty(seed) == pytest.approx(sharpest, abs=1e-9)
    simulator.close()


@pytest.mark.parametrize("rollouts", [1, 2, 3])
def test_each_group_plays_episodes_of_its_own(rollouts):
    seen = []
    for number in range(3):
        engine, fitness, candidates = begin(rollouts, None, groups=2)
        fitness(number, candidates, None)
        seeds = np.concatenate([bout.seeds for bout in engine.bouts]).reshape(2, -1, rollouts)
        assert (seeds == seeds[:, :1]).all(), "the members of a group play the same"
        first = number * 2 * rollouts
        expected = episode_seeds("training", 1, first, 2 * rollouts)
        assert seeds[:, 0].ravel().tolist() == expected.tolist()
        seen.extend(expected.tolist())
    assert len(set(seen)) == len(seen), "no group plays another's episodes"


def test_one_group_is_ranked_by_mean_return():
    returns = np.random.default_rng(1).normal(size=(6, 3))
    np.testing.assert_array_equal(ranked(returns, 1), returns.mean(axis=1))


def places(returns, groups):
    """The definition, candidate by candidate: (mean rank, mean return less the group's) sorted."""
    size = len(returns) // groups
    keys = []
    for start in range(0, len(returns), size):
        group = returns[start : start + size]
        for mine in group:
            ranks = [sum(others[j] < mine[j] for others in group) for j in range(len(mine))]
            keys.append((np.mean(ranks), mine.mean() - group.mean()))
    return [sorted(keys).index(key) for key in keys]


@pytest.mark.parametrize("groups", [2, 4])
def test_groups_are_compared_by_rank(groups):
    random = np.random.default_rng(2)
    for _ in range(20):
        tracks = np.repeat(random.normal(0, 1000, (groups, 3)), 8 // groups, axis=0)
        returns = tracks + random.normal(size=(8, 3))
        assert ranked(returns, groups).tolist() == places(returns, groups)
        # An easy track is no merit: what all members of a group gain changes nothing.
        eased = returns + np.repeat([[500.0]] + [[0.0]] * (groups - 1), 8 // groups, axis=0)
        np.testing.assert_array_equal(ranked(eased, groups), ranked(returns, groups))


def test_a_generation_without_candidates_has_no_fitness():
    assert ranked(np.empty((0, 2)), 4).shape == (0,)
