import numpy as np
import pytest
from small_models import H, Z, make_codec, make_memory

from world_models.controller.policy import ControllerSpec, count
from world_models.engine.api import Task
from world_models.engine.processes import ProcessEngine
from world_models.envs.carracing.specification import SPECIFICATION
from world_models.worlds import arena
from world_models.worlds.arena import ArenaPlan, Bout
from world_models.worlds.build import RealityPlan

SPEC = ControllerSpec("zh", Z + H, 0, 3, bias=True)


def plan():
    world = RealityPlan(
        environment="carracing",
        renderer="fast",
        num_envs=4,
        features="zh",
        latent="sample",
        vae=make_codec().payload(),
        mdnrnn=make_memory().payload(),
    )
    return ArenaPlan(world, SPEC, SPECIFICATION.actions.squash)


def bouts():
    rng = np.random.default_rng(0)
    theta = rng.normal(0, 0.3, (4, count(SPEC))).astype(np.float32)
    seeds = np.array([5, 6])
    halves = [Bout(theta[i : i + 2], np.tile(seeds, 2), 20, 40) for i in (0, 2)]
    return [*halves, Bout(theta[:1], np.array([7]), None, 30)]


@pytest.mark.slow
def test_the_number_of_workers_changes_no_byte():
    results = []
    for workers in (1, 2):
        with ProcessEngine(workers, timeout=120) as engine:
            done = dict(engine.run(Task(arena.setup, plan(), arena.work), bouts()))
        results.append([done[i] for i in range(3)])
    for one, two in zip(*results, strict=True):
        assert one.returns.tobytes() == two.returns.tobytes()
        assert one.lengths.tobytes() == two.lengths.tobytes()


def test_each_policy_plays_its_own_seeds():
    state = arena.setup(plan())
    both = arena.work(state, bouts()[0])
    for i in range(2):
        alone = Bout(bouts()[0].theta[i : i + 1], np.array([5, 6]), 20, 40)
        outcome = arena.work(state, alone)
        np.testing.assert_allclose(outcome.returns, both.returns[2 * i : 2 * i + 2], atol=1e-3)
    assert (both.returns[:2] != both.returns[2:]).any()
    state.world.close()
