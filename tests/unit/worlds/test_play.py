"""The loop's bookkeeping, on a world whose episodes are written down."""

import numpy as np
import pytest

from world_models.worlds.episodes import play
from world_models.worlds.world import Step

EPISODES = {
    1: ([3.0, -1.0, 2.0], "terminated"),
    2: ([0.5] * 7, "truncated"),
    3: ([1.0, -0.1, -0.1, 1.0, -0.1, -0.1, -0.1, 5.0], "terminated"),
    4: ([1.0], "terminated"),
}


class Written:
    """Episode ``seed`` pays EPISODES[seed] and ends; the feature is the number of steps."""

    num_envs, feature_size, action_size = 4, 1, 1
    figures = ()

    def reset(self, seeds):
        self.seeds, self.t = list(seeds), np.zeros(len(seeds), np.int64)
        self.stopped, self.steps, self.actions = set(), 0, []
        return self.t[:, None].astype(np.float32)

    def step(self, actions):
        self.actions.append(actions.copy())
        rewards = np.zeros(len(self.seeds), np.float32)
        flags = {kind: np.zeros(len(self.seeds), np.bool_) for kind in ("terminated", "truncated")}
        for i, seed in enumerate(self.seeds):
            paid, end = EPISODES[seed]
            if i in self.stopped:
                continue
            self.steps += 1
            rewards[i] = paid[self.t[i]]
            self.t[i] += 1
            if self.t[i] == len(paid):
                flags[end][i] = True
                self.stopped.add(i)
        return Step(self.t[:, None].astype(np.float32), rewards, **flags)

    def retire(self, mask):
        self.stopped |= set(np.flatnonzero(mask))

    def close(self):
        pass


def act(features):
    return features * 2


def test_sums_and_counts_until_each_end():
    outcomes = play(Written(), act, [1, 2, 3, 4])
    expected = [sum(EPISODES[seed][0]) for seed in (1, 2, 3, 4)]
    np.testing.assert_allclose(outcomes.returns, expected, rtol=1e-6)
    assert outcomes.lengths.tolist() == [3, 7, 8, 1]
    assert outcomes.terminated.tolist() == [True, False, True, True]
    assert outcomes.truncated.tolist() == [False, True, False, False]


def test_acts_on_the_features_of_the_last_step():
    world = Written()
    play(world, act, [2])
    assert np.concatenate(world.actions)[:, 0].tolist() == [0, 2, 4, 6, 8, 10, 12]


@pytest.mark.parametrize(("patience", "length", "total"), [(2, 3, 0.8), (3, 7, 1.5), (4, 8, 6.5)])
def test_patience_counts_consecutive_steps_without_reward(patience, length, total):
    world = Written()
    outcomes = play(world, act, [3, 2], patience=patience)
    assert outcomes.lengths.tolist() == [length, 7]
    np.testing.assert_allclose(outcomes.returns, [total, 3.5], rtol=1e-6)
    assert outcomes.terminated.tolist() == [length == 8, False]
    assert world.steps == length + 7  # a retired member is not stepped


def test_max_steps_stops_all():
    outcomes = play(Written(), act, [1, 2, 3], max_steps=5)
    assert outcomes.lengths.tolist() == [3, 5, 5]
    assert outcomes.truncated.tolist() == [False, False, False]
    np.testing.assert_allclose(outcomes.returns, [4.0, 2.5, 1.7], rtol=1e-6)


def test_observes_each_step():
    seen = []
    play(Written(), act, [1, 4], observe=lambda x, a, step: seen.append((x, a, step)))
    assert [x[:, 0].tolist() for x, _, _ in seen] == [[0, 0], [1, 1], [2, 1]]
    assert [a[0, 0] for _, a, _ in seen] == [0, 2, 4]
    assert [step.rewards.tolist() for _, _, step in seen] == [[3, 1], [-1, 0], [2, 0]]
