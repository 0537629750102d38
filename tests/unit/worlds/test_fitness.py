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
from world_models.worlds.fitness import Fitness, Rules


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


def begin(rollouts, hardest_of, seed=1):
    m = memory(DOOM, restart_bias=-5)
    spec = ControllerSpec("zch", m.feature_size("zch"), 0, 1, bias=False)
    plan = ArenaPlan(DreamPlan(16, "zch", 1.0, 30, m.payload()), spec, np.tanh)
    engine = Here()
    rules = Rules(seed, rollouts, hardest_of, rollouts * 2, 10, None, 4)
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
