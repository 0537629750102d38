import numpy as np
import pytest
from numpy.testing import assert_array_equal

from world_models.envs import catalogue
from world_models.envs.policies import DT, make_policy
from world_models.errors import ParameterError
from world_models.seeding import stream

CAR = catalogue.specification("carracing")
BEHAVIOURS = ["uniform", "held", "drifting", "brownian"]


def draw(behaviour, environment, steps, seed=0, hold=(1, 10)):
    where = catalogue.specification(environment)
    policy = make_policy(behaviour, where, stream(seed, "random policy"), hold)
    return np.array([policy() for _ in range(steps)])


@pytest.mark.parametrize("environment", catalogue.names())
@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_actions_lie_in_the_simulator_s_space(environment, behaviour):
    simulator = catalogue.create(environment, "fast")
    actions = draw(behaviour, environment, 2000)
    assert actions.dtype == np.float32
    assert all(simulator.action_space.contains(action) for action in actions)
    space = catalogue.specification(environment).actions
    assert_array_equal(simulator.action_space.low, space.low)
    assert_array_equal(simulator.action_space.high, space.high)
    simulator.close()


@pytest.mark.parametrize("environment", catalogue.names())
@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_a_policy_depends_on_its_stream_alone(environment, behaviour):
    where = catalogue.specification(environment)
    policies = [make_policy(behaviour, where, stream(s, "random policy")) for s in (1, 2)]
    together = np.array([[policy() for policy in policies] for _ in range(600)])
    assert_array_equal(together[:, 0], draw(behaviour, environment, 600, seed=1))
    assert_array_equal(together[:, 1], draw(behaviour, environment, 600, seed=2))
    assert (together[:, 0] != together[:, 1]).any()


def test_given_actions_do_not_change_afterwards():
    policy = make_policy("brownian", CAR, stream(0, "random policy"))
    given = [policy() for _ in range(300)]
    kept = [action.copy() for action in given]
    for _ in range(300):
        policy()
    assert_array_equal(given, kept)


@pytest.mark.parametrize("environment", ["carracing", "takecover"])
def test_held_actions_are_held_for_1_to_10_steps(environment):
    actions = draw("held", environment, 20_000)
    changes = np.flatnonzero((actions[1:] != actions[:-1]).any(axis=1)) + 1
    runs = np.diff(changes)
    counts = np.bincount(runs, minlength=11)
    assert runs.min() == 1
    assert runs.max() == 10
    assert counts[1:].min() > 0.8 * len(runs) / 10, "evenly"
    assert counts[1:].max() < 1.2 * len(runs) / 10


def test_drifting_leans_to_either_side_for_long():
    """How far a walk gets in 150 steps: farther than without a leaning, both ways."""
    held, drifting = (
        np.array([np.sign(draw(b, "takecover", 150, seed)).sum() for seed in range(200)])
        for b in ("held", "drifting")
    )
    assert np.abs(drifting).mean() > 1.5 * np.abs(held).mean()
    assert abs(drifting.mean()) < 0.3 * np.abs(drifting).mean()


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_numbered_actions_are_one_hot_and_all_of_them_occur(behaviour):
    actions = draw(behaviour, "healthgathering", 3000)
    assert ((actions == 0) | (actions == 1)).all()
    assert_array_equal(actions.sum(axis=1), 1)
    assert (actions.mean(axis=0) > 0.1).all()


def test_the_range_of_holding_is_a_choice():
    actions = draw("held", "takecover", 500, hold=(4, 4))
    assert_array_equal(actions.reshape(-1, 4), np.repeat(actions[::4], 4, axis=1).reshape(-1, 4))


def test_takecover_s_actions_are_uniform():
    for behaviour, scale in (("uniform", 1), ("held", 5.5)):
        actions = draw(behaviour, "takecover", 30_000)[:, 0]
        shares = np.histogram(actions, bins=3, range=(-1, 1))[0] / len(actions)
        assert np.abs(shares - 1 / 3).max() < 0.01 * scale


def test_the_car_is_driven_more_than_braked_and_never_both():
    _, gas, brake = draw("held", "carracing", 20_000).T
    assert not ((gas > 0) & (brake > 0)).any()
    assert 0.85 < (gas > 0).mean() < 0.95


def test_drivers_differ_in_temper():
    drivers = np.array([draw("held", "carracing", 500, seed=seed) for seed in range(60)])
    sharpness, haste, _ = np.abs(drivers).max(axis=1).T
    for temper in (sharpness, haste):
        assert temper.min() < 0.25
        assert temper.max() > 0.85
    assert abs(np.corrcoef(sharpness, haste)[0, 1]) < 0.35


def test_brownian_equals_ctallec_s_recurrence():
    """``sample_continuous_policy``: clip(a + sqrt(dt) · N(0, 1)), with the same draws."""
    rng = stream(3, "random policy")
    low, high = CAR.actions.low, CAR.actions.high
    action = rng.uniform(low, high).astype(np.float32)
    noise = np.concatenate([rng.standard_normal((256, 3), np.float32) for _ in range(4)])
    expected = [action]
    for step in noise[:999]:
        expected.append(np.clip(expected[-1] + np.float32(np.sqrt(DT)) * step, low, high))
    assert_array_equal(draw("brownian", "carracing", 1000, seed=3), expected)


def test_unknown_names_are_refused():
    with pytest.raises(ParameterError, match=r"'clever'.*uniform, held, drifting, brownian"):
        draw("clever", "carracing", 1)
    with pytest.raises(ParameterError, match=r"'pong'.*takecover"):
        draw("held", "pong", 1)
