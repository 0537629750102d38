"""Looking ahead: what it visits, what it measures, and that the C it fits lives longer."""

from dataclasses import replace

import numpy as np
import pytest
from small_memory import DOOM, GRU, RACING, memory

from world_models.controller.policy import ControllerSpec, policies
from world_models.engine.processes import ProcessEngine
from world_models.errors import UserError
from world_models.worlds import looks
from world_models.worlds.arena import ArenaPlan, setup
from world_models.worlds.build import DreamPlan
from world_models.worlds.dream import Dream
from world_models.worlds.episodes import play
from world_models.worlds.lookahead import LookAhead, Looked
from world_models.worlds.looks import Look, Visit

SEEDS = np.arange(20, 28)


def plan(m, features="zch", outputs=1, *, bias=False):
    world = DreamPlan(16, features, 1.0, 300, m.payload(), "drawn")
    spec = ControllerSpec(features, m.feature_size(features), 0, outputs, bias)
    return ArenaPlan(world, spec, np.tanh)


def theta(plan, seed=0):
    size = plan.spec.inputs * plan.spec.outputs + plan.spec.outputs * plan.spec.bias
    return np.random.default_rng(seed).standard_normal(size).astype(np.float32)


@pytest.mark.parametrize(("sizes", "features"), [(DOOM, "zch"), (GRU, "zh"), (DOOM, "z")])
def test_a_resumed_dream_goes_on_from_where_it_was(sizes, features):
    m = memory(sizes, restart_bias=-5)
    dream = Dream(m, tau=1.0, cap=300, num_envs=8, features=features)
    dream.reset(SEEDS.tolist())
    left = np.full((8, 1), -1, np.float32)
    for _ in range(9):
        seen = dream.step(left).features
    alive = dream._member[: dream._live].copy()
    assert len(alive) > 3
    moments = dream.moments(alive)
    assert moments.age.tolist() == [9] * len(alive)
    after = dream.step(left)
    later = dream.moments(dream._member[: dream._live].copy())

    other = Dream(m, tau=1.0, cap=300, num_envs=8, features=features)
    resumed = other.resume(moments, [1] * len(alive))
    np.testing.assert_array_equal(resumed, seen[alive])
    both = [other.step(left[: len(alive)]) for _ in range(2)]
    assert not np.array_equal(both[0].features[:, 0], after.features[alive, 0]), "other noise"
    other.resume(moments, [1] * len(alive))
    other.step(left[: len(alive)])
    stayed = [int(np.flatnonzero(alive == member)[0]) for member in dream._member[: dream._live]]
    kept = [row for row in stayed if row in other._member[: other._live]]
    for name, values in later.parts.items():  # what M remembers of a step, noise comes after
        got = other.moments(np.array(kept)).parts[name]
        want = values[[stayed.index(row) for row in kept]]
        np.testing.assert_allclose(got, want, atol=1e-5)


def test_a_visit_keeps_moments_in_danger_and_elsewhere():
    lengths = np.array([300, 200, 1, 60])
    terminated = np.array([False, True, True, True])
    rng = np.random.default_rng(0)
    times = looks._choose(lengths, terminated, 4000, rng)
    pairs = [(who, when) for when, members in times.items() for who in members.tolist()]
    assert len(pairs) == 4000
    assert all(1 <= when < lengths[who] for who, when in pairs)
    near = [(w, t) for w, t in pairs if terminated[w] and lengths[w] - t <= looks.DANGER]
    assert 0.5 < len(near) / 4000 < 0.75, "half, and those of the others that come to lie there"
    with pytest.raises(UserError, match="end with their first step"):
        looks._choose(np.ones(4, int), np.ones(4, bool), 8, rng)


def test_the_same_visit_finds_the_same_moments():
    a = plan(memory(DOOM, restart_bias=-4))
    unit = Visit(theta(a), SEEDS, 4, 200)
    moments, returns, steps = unit.work(setup(a))
    assert len(moments.z) == 4 * len(SEEDS)
    assert returns.sum() < steps < 2 * returns.sum()
    again = unit.work(setup(a)).moments
    np.testing.assert_array_equal(moments.z, again.z)
    np.testing.assert_array_equal(moments.parts["h"], again.parts["h"])


def test_a_look_is_the_dream_of_whoever_pushes_and_goes_on():
    """Against the same, written out: push for the first fifth, then C, on the same noise."""
    a = plan(memory(DOOM, restart_bias=-3))
    moments = Visit(theta(a), SEEDS, 2, 100).work(setup(a)).moments
    seeds = np.arange(looks.REPEATS * looks.NOISES)
    returns, steps = Look(theta(a), moments, seeds, steps=10).work(setup(a))
    assert steps == returns.sum() * looks.REPEATS
    assert returns.shape == (len(moments.z), 1, 2)
    expected = np.zeros_like(returns)
    for noise in seeds.reshape(looks.REPEATS, looks.NOISES):
        for side, push in enumerate((-1, 1)):
            dream = setup(replace(a, world=replace(a.world, num_envs=len(moments.z)))).world
            features = dream.resume(moments, noise.tolist())
            act = policies(a.spec, theta(a), np.tanh)
            for step in range(10):
                pushed = np.full((len(features), 1), np.tanh(push * looks.PUSH), np.float32)
                done = dream.step(pushed if step < 2 else act(features))
                features = done.features
                expected[:, 0, side] += done.rewards * (1 / looks.REPEATS)
    assert expected.std() > 0, "some die"
    # A dream that has ended gives no reward, so that both count steps lived.
    np.testing.assert_allclose(returns, expected, atol=1e-9)


@pytest.mark.parametrize(("sizes", "outputs"), [(DOOM, 1), (RACING, 3)])
def test_who_looked_ahead_lives_longer(sizes, outputs):
    m = memory(sizes, restart_bias=-6, gain=40.0)
    a = plan(m, outputs=outputs, bias=True)
    first = Looked.nothing(a.spec, np.zeros(a.spec.inputs * outputs + outputs))
    with ProcessEngine(1, 300.0) as engine:
        ahead = LookAhead(engine, a, m.seen("zch"), seed=1, moments=512, steps=20)
        *_, looked = ahead.rounds(first, 2)
        longer = list(ahead.rounds(Looked.from_arrays(looked.arrays()), 3))
    assert [len(one.rounds) for one in longer] == [3], "it goes on from what was stored"

    def earns(weights):
        dream = setup(replace(a, world=replace(a.world, num_envs=256))).world
        act = policies(a.spec, weights.astype(np.float32), np.tanh)
        return play(dream, act, list(range(1000, 1256))).returns.mean()

    assert earns(looked.theta) > 2 * earns(first.theta)
