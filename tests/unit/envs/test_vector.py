"""The vector of simulators against the same simulators stepped one by one."""

import gymnasium
import numpy as np
import pytest

from world_models.envs import catalogue
from world_models.envs.recorder import Recorder
from world_models.envs.vector import Lockstep
from world_models.errors import ParameterError
from world_models.worlds.blind import Blind
from world_models.worlds.episodes import play

SEEDS = [5, 6, 7]
LIMIT = 200


@pytest.fixture(scope="module")
def games():
    vector = Recorder("takecover", 3, "fast")
    yield vector
    vector.close()


def moves(steps, members=3):
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (steps, members, 1)).astype(np.float32)


def alone(seed, actions):
    """One simulator's frames, rewards and ends."""
    simulator = catalogue.create("takecover", "fast")
    frames, ends = [simulator.reset(seed=seed)[0]], []
    for action in actions:
        frame, *end, _ = simulator.step(action)
        frames.append(frame)
        ends.append(end)
        if end[1]:
            break
    simulator.close()
    return frames, ends


def test_equals_single_simulators_and_stands_still_after_the_end(games):
    actions = moves(500)
    expected = [alone(seed, actions[:, i]) for i, seed in enumerate(SEEDS)]
    frames, _ = games.reset(seed=SEEDS)
    for t in range(max(len(ends) for _, ends in expected) + 3):
        frames, rewards, terminated, truncated, _ = games.step(actions[t])
        for i, (shown, ends) in enumerate(expected):
            over = t >= len(ends)
            assert [rewards[i], terminated[i], truncated[i]] == ([0, 0, 0] if over else ends[t])
            np.testing.assert_array_equal(frames[i], shown[-1] if over else shown[t + 1])
    assert not games.live.any()


def test_fewer_episodes_than_simulators(games):
    frames, _ = games.reset(seed=SEEDS[:2])
    assert frames.shape == (2, 64, 64, 3)
    frames, rewards, *_ = games.step(moves(1)[0, :2])
    assert len(frames) == len(rewards) == 2
    assert games.reset(seed=9)[0].shape == (3, 64, 64, 3)
    with pytest.raises(AssertionError):
        games.reset(seed=[1, 2, 3, 4])


def test_retired_members_stand_still_and_the_others_do_not_notice(games):
    actions = moves(40)
    games.reset(seed=SEEDS)
    expected = [games.step(action)[0].copy() for action in actions]
    games.reset(seed=SEEDS)
    for action in actions[:20]:
        games.step(action)
    games.retire(np.array([False, True, False]))
    for t in range(20, 40):
        frames, rewards, *_ = games.step(actions[t])
        assert rewards.tolist() == [1, 0, 1]
        np.testing.assert_array_equal(frames[[0, 2]], expected[t][[0, 2]])
        np.testing.assert_array_equal(frames[1], expected[19][1])


def test_a_mask_resets_some():
    vector = Lockstep("carracing", 2, "fast")
    gas = np.tile(np.array([0, 1, 0], np.float32), (2, 1))
    first = vector.reset(seed=[1, 2])[0].copy()
    for _ in range(60):
        vector.step(gas)
    moved = vector.step(gas)[0].copy()
    assert (moved != first).any(axis=(1, 2, 3)).all()
    frames, _ = vector.reset(seed=[1, 2], options={"reset_mask": np.array([True, False])})
    np.testing.assert_array_equal(frames[0], first[0])
    np.testing.assert_array_equal(frames[1], moved[1])
    vector.close()


def test_recorded_episodes_are_what_happened(games):
    actions = moves(3000)
    clock = iter(actions)
    outcomes = play(Blind(games), lambda _: next(clock), SEEDS, max_steps=LIMIT)
    episodes = list(games.episodes())
    assert [episode.seed for episode in episodes] == SEEDS
    for i, episode in enumerate(episodes):
        shown, ends = alone(SEEDS[i], actions[:LIMIT, i])
        np.testing.assert_array_equal(episode.frames, shown[:-1])
        np.testing.assert_array_equal(episode.actions, actions[: len(ends), i])
        assert episode.rewards.tolist() == [end[0] for end in ends]
        assert [episode.terminated, episode.truncated] == ends[-1][1:]
        assert len(episode) == outcomes.lengths[i]
    assert {episode.terminated for episode in episodes} == {True, False}, "both ways to end"


def test_unknown_names_are_refused():
    with pytest.raises(ParameterError, match=r"'pong'.*takecover"):
        Lockstep("pong", 1, "fast")
    with pytest.raises(ParameterError, match="slow"):
        Lockstep("takecover", 1, "slow")


@pytest.mark.parametrize("environment", catalogue.names())
@pytest.mark.parametrize("renderer", ["fast", "genuine"])
def test_every_environment_has_both_renderers(environment, renderer):
    simulator = catalogue.create(environment, renderer, "rgb_array")
    frame, _ = simulator.reset(seed=0)
    assert simulator.observation_space.contains(frame)
    assert simulator.render().shape[0] > 64
    assert isinstance(simulator, gymnasium.Env)
    assert catalogue.specification(environment).cap > 0
    simulator.close()
