"""The dream: what an episode is depends on its seed and its actions alone."""

import numpy as np
import pytest
from small_memory import DOOM, GRU, RACING, TEXTBOOK, memory

from world_models.errors import ParameterError
from world_models.worlds.dream import Dream
from world_models.worlds.dream_noise import BLOCK
from world_models.worlds.episodes import play

SEEDS = [3, 11, 3, 42, 7, 100, 8, 9]


SETTINGS = {"tau": 1.1, "cap": 60, "num_envs": 8, "features": "zch"}
SETTINGS |= {"ends": "threshold", "dropout": 0.0}


def dream(sizes=DOOM, **changes):
    """A dream; ``changes`` of :data:`SETTINGS`, or of the small M."""
    settings = {name: changes.pop(name, value) for name, value in SETTINGS.items()}
    return Dream(memory(sizes, **changes), **settings)


def act(features):
    """Some deterministic policy of the features."""
    return np.tanh(features[:, :1] + 0.5 * features[:, -1:]).astype(np.float32)


def trajectories(seeds, steps=None, **kwargs):
    """Features of each live step, rewards and ends, episode by episode."""
    world = dream(num_envs=len(seeds), **kwargs)
    features = world.reset(seeds)
    episodes = [[row] for row in features]
    live = np.ones(len(seeds), bool)
    ends = [None] * len(seeds)
    while live.any() and (steps is None or len(episodes[int(np.argmax(live))]) <= steps):
        step = world.step(act(features))
        features = step.features
        for i in np.flatnonzero(live):
            episodes[i].append(features[i])
            if step.terminated[i] or step.truncated[i]:
                ends[i] = (len(episodes[i]) - 1, bool(step.terminated[i]))
        live &= ~(step.terminated | step.truncated)
    return [np.array(e) for e in episodes], ends


def test_some_episodes_end_at_different_times_and_some_reach_the_cap():
    """The other tests stand on it: members leave the batch one by one."""
    _, ends = trajectories(SEEDS)
    died = [length for length, terminated in ends if terminated]
    assert len(set(died)) >= 3
    assert any(length == 60 and not terminated for length, terminated in ends)
    assert max(length for length, _ in ends) > BLOCK


KINDS = [{}, {"sizes": GRU, "features": "zh"}, {"choice": TEXTBOOK}, {"dropout": 0.3}]
"""The compiled LSTM, a GRU, the textbook's LSTM, and dropout."""


@pytest.mark.parametrize("kind", KINDS)
def test_an_episode_depends_on_its_neighbours_in_its_last_bits_alone(kind):
    together, ends = trajectories(SEEDS, **kind)
    for i, seed in enumerate(SEEDS):
        (alone,), (end,) = trajectories([seed], **kind)
        assert end == ends[i]
        np.testing.assert_allclose(alone, together[i], atol=1e-3)


def test_an_episode_depends_on_its_place_in_its_last_bits_alone():
    one, ends = trajectories(SEEDS)
    other, other_ends = trajectories(SEEDS[::-1])
    assert ends == other_ends[::-1]
    for a, b in zip(one, other[::-1], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_seeds_give_equal_episodes_and_others_differ(kind):
    episodes, _ = trajectories(SEEDS, **kind)
    np.testing.assert_allclose(episodes[0], episodes[2], atol=1e-4)
    assert not np.allclose(episodes[0][1], episodes[1][1])
    assert trajectories(SEEDS, **kind)[0][5].tobytes() == episodes[5].tobytes()


def test_formulations_dream_alike():
    """Of eight dreams, those that no rounding parted for ten steps; z, h and c."""
    one, other = (trajectories(SEEDS, choice=choice)[0] for choice in (None, TEXTBOOK))
    near = [np.abs(a[:10] - b[:10]).max() < 0.05 for a, b in zip(one, other, strict=True)]
    assert sum(near) >= 6


def test_dreams_begin_at_stored_first_frames():
    m = memory(DOOM)
    world = Dream(m, tau=1.0, cap=10, num_envs=500, features="zch")
    features = world.reset(range(500))
    z, rest = features[:, :4], features[:, 4:]
    assert not rest.any()
    distance = np.abs(z[:, None] - m.initial.mu).max(-1)  # sigma is e^-1 in this M
    nearest = distance.argmin(1)
    assert set(nearest) == set(range(6))
    residual = (z - m.initial.mu[nearest]) / np.exp(0.5 * m.initial.logvar[nearest])
    assert 0.8 < residual.std() < 1.1


def test_rewards_and_ends_of_doom():
    world = dream()
    outcomes = play(world, act, SEEDS)
    assert np.array_equal(outcomes.returns, outcomes.lengths)
    assert (outcomes.terminated ^ outcomes.truncated).all()
    assert (outcomes.lengths[outcomes.truncated] == 60).all()


def test_dropout_makes_another_dream_of_a_seed():
    plain, without = trajectories(SEEDS), trajectories(SEEDS, dropout=0.0)
    masked, _ = trajectories(SEEDS, dropout=0.3)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(plain[0], without[0], strict=True))
    for a, b in zip(plain[0], masked, strict=True):
        assert np.allclose(a[0], b[0])  # the same first frame
        assert not np.allclose(a[1], b[1], atol=1e-3)
    with pytest.raises(ParameterError, match=r"dropout = 1\.0: give a share"):
        dream(dropout=1.0)


def test_drawn_ends_come_at_the_risk_that_m_predicts():
    """A constant risk: lives are geometric. Training counted ends ten times: 1/11 becomes 1/101."""
    seeds = range(400)
    risk = 1 / 101
    kind = {"restart_bias": np.log(0.1), "gain": 0.0, "end_weight": 10.0}
    outcomes = play(dream(ends="drawn", num_envs=400, cap=2000, **kind), act, seeds)
    assert outcomes.terminated.all()
    lengths = outcomes.lengths
    assert lengths.mean() == pytest.approx(1 / risk, abs=4 * (1 / risk) / np.sqrt(400))
    assert np.mean(lengths > 70) == pytest.approx((1 - risk) ** 70, abs=0.1)
    never = play(dream(num_envs=400, cap=50, **kind), act, seeds)
    assert never.truncated.all()  # the logit stays below 0


def test_how_a_dream_ends_changes_nothing_before_its_end():
    drawn, one = trajectories(SEEDS, ends="drawn")
    same, two = trajectories(SEEDS, ends="threshold")
    assert one != two
    again, three = trajectories(SEEDS, ends="drawn")
    assert one == three
    for first, second, third in zip(drawn, same, again, strict=True):
        shared = min(len(first), len(second))
        np.testing.assert_allclose(first[:shared], second[:shared], atol=1e-4)
        assert len(first) == len(third)


def test_reward_head_gives_the_reward():
    world = dream(RACING, features="zh")
    world.reset([1, 2])
    step = world.step(np.zeros((2, 3), np.float32))
    assert (step.rewards != 1).all()
    assert step.features.shape == (2, world.feature_size) == (2, 5 + 8)


def test_members_that_ended_or_were_retired_stand_still():
    world = dream(restart_bias=-50.0)
    world.reset(SEEDS)
    mask = np.zeros(8, bool)
    mask[[0, 5]] = True
    before = world.step(np.zeros((8, 1), np.float32)).features
    world.retire(mask)
    step = world.step(np.ones((8, 1), np.float32))
    assert np.array_equal(step.features[mask], before[mask])
    assert (step.features[~mask] != before[~mask]).any(1).all()
    assert np.array_equal(step.rewards, 1.0 - mask)
    world.retire(~mask)
    assert np.array_equal(world.step(np.ones((8, 1), np.float32)).features, step.features)


def test_restart_begins_some_anew_and_leaves_the_others():
    """Members 0 and 2 share a seed's noise; when 0 starts anew, 2 must not notice."""
    whole, _ = trajectories(SEEDS, restart_bias=-50.0)
    fresh, _ = trajectories([77], restart_bias=-50.0)
    world = dream(restart_bias=-50.0)
    features = world.reset(SEEDS)
    for _ in range(20):
        features = world.step(act(features)).features
    features = world.restart(np.array([0, 4]), [77, 77])
    np.testing.assert_allclose(features[0], fresh[0][0], atol=1e-5)
    for t in range(21, 40):
        features = world.step(act(features)).features
        np.testing.assert_allclose(features[[0, 4]], fresh[0][[t - 20] * 2], atol=1e-3)
        for i in (1, 2, 7):
            np.testing.assert_allclose(features[i], whole[i][t], atol=1e-3)


def test_lower_tau_is_less_random():
    spread = {}
    for tau in (0.01, 1.0):
        world = Dream(memory(DOOM, restart_bias=-50.0), tau=tau, cap=9, num_envs=64, features="z")
        world._memory.initial.logvar[:] = -50  # all begin at six points
        first = world.reset(range(64))
        same = np.abs(first - first[0]).max(1) < 1e-3
        z = world.step(np.zeros((64, 1), np.float32)).features
        spread[tau] = z[same].std(0).mean()
    assert spread[0.01] < 0.5 * spread[1.0]


@pytest.mark.parametrize("wrong", [{"tau": 0.0}, {"tau": -1.0}, {"tau": float("nan")}, {"cap": 0}])
def test_refuses_impossible_values(wrong):
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        dream(**wrong)
