import numpy as np
import pytest

from world_models.agent import Agent
from world_models.envs import catalogue
from world_models.envs.disturbance import NONE, Disturbance
from world_models.evaluation import recordings, tasks, trials
from world_models.evaluation.recordings import Recording
from world_models.evaluation.trials import Played, RandomPlan, Trial
from world_models.reports.replay import replay
from world_models.storage import tensors
from world_models.worlds.dream import Dream


@pytest.fixture(scope="module")
def agent(models) -> Agent:
    return Agent.load(models)


def _play(task, *args, **kwargs) -> Played:
    state = task.setup(task.payload)
    played = task.work(state, Trial(*args, **kwargs))
    state.world.close()
    return played


def test_recorded_actions_replayed_in_a_simulator_give_the_recorded_return(agent):
    seeds = np.array([900, 901, 902])
    played = _play(
        tasks.in_reality(agent, 3, "mean", "fast"), agent.controller.theta, seeds, record=2
    )
    assert [r.seed for r in played.recordings] == [900, 901]
    for recording, length, total in zip(
        played.recordings, played.outcomes.lengths, played.outcomes.returns, strict=False
    ):
        assert len(recording.actions) == len(recording.z) == length
        film = replay("takecover", recording, steps=10_000, stride=2)
        assert film.total == total
        assert len(film.pictures) == len(film.frames) == -(-length // 2)
        assert film.frames.shape[1:] == (64, 64, 3)
        height, width = film.pictures.shape[1:3]
        assert (width, 240 <= height <= 256) == (height * 4 // 3, True)
        assert len(np.unique(film.pictures[0])) > 20


def test_recorded_z_and_actions_are_those_of_the_dream(agent):
    task, seeds = tasks.in_dream(agent, 2, 1.0, "threshold"), np.array([5, 6])
    played = _play(task, agent.controller.theta, seeds, record=1)
    (recording,) = played.recordings
    dream = task.payload.world.build()
    features = dream.reset([5])
    for z, action in zip(recording.z, recording.actions, strict=True):
        assert np.allclose(features[0, :4], z, atol=1e-5)
        assert np.allclose(agent.controller.policy(np.tanh)(features), action, atol=1e-5)
        features = dream.step(action[None]).features


def test_a_dream_depends_on_its_seed_alone(agent):
    seeds = np.array([5, 6, 7])
    together = _play(tasks.in_dream(agent, 3, 1.2, "threshold"), agent.controller.theta, seeds)
    alone = [
        _play(tasks.in_dream(agent, 1, 1.2, "threshold"), agent.controller.theta, seeds[i : i + 1])
        for i in (0, 2)
    ]
    assert together.outcomes.lengths[[0, 2]].tolist() == [
        int(played.outcomes.lengths[0]) for played in alone
    ]


def test_the_dreams_world_is_m_at_tau(agent):
    plan = tasks.in_dream(agent, 2, 0.5, "threshold").payload.world
    world = plan.build()
    assert isinstance(world, Dream)
    assert (plan.tau, plan.cap) == (0.5, 2100)


def test_random_returns_equal_those_of_a_plain_gymnasium_loop():
    plan = RandomPlan("takecover", "uniform", 2)
    player = trials.setup_random(plan)
    seeds = np.array([31, 32])
    played = trials.work_random(player, seeds)
    player.world.close()
    act = trials._random(plan, seeds[1:])
    simulator = catalogue.create("takecover", "genuine")
    simulator.reset(seed=32)
    total, over = 0.0, False
    while not over:
        _, reward, terminated, truncated, _ = simulator.step(act(np.zeros((1, 0), np.float32))[0])
        total, over = total + float(reward), terminated or truncated
    simulator.close()
    assert played.outcomes.returns[1] == total


def test_a_disturbed_episode_is_replayed_under_its_disturbance(tmp_path):
    slippery = Disturbance("friction", 0.4)
    actions = np.tile(np.array([0, 1, 0], np.float32), (40, 1))
    actions[20:, 0] = -1
    simulator = catalogue.create("carracing", "fast", None, slippery)
    simulator.reset(seed=4)
    total = sum(float(simulator.step(action)[1]) for action in actions)
    recordings.save(tmp_path / "r", [Recording(4, actions, actions, slippery)])
    (stored,) = recordings.load(tmp_path / "r")
    assert replay("carracing", stored, steps=40, stride=20).total == total
    plain = Recording(4, actions, actions)
    assert replay("carracing", plain, steps=40, stride=20).total != total
    recordings.save(tmp_path / "p", [plain])
    assert set(tensors.load(tmp_path / "p")) == {"seeds", "lengths", "actions", "z"}


def test_the_agent_and_the_random_policy_are_disturbed(agent):
    colours = Disturbance("colours", 0.2)
    world = tasks.in_reality(agent, 1, "mean", "fast", colours).payload.world.build()
    plain = tasks.in_reality(agent, 1, "mean", "fast").payload.world.build()
    assert not np.array_equal(world.reset([3])[0, :4], plain.reset([3])[0, :4])
    world.close()
    plain.close()
    seeds, totals = np.array([5]), []
    for disturbance in (NONE, Disturbance("friction", 0.4)):
        player = trials.setup_random(RandomPlan("carracing", "uniform", 1, disturbance))
        totals.append(trials.work_random(player, seeds).outcomes.returns[0])
    assert totals[0] != totals[1]


@pytest.mark.slow
def test_carracing_is_replayed_step_for_step_from_either_renderer():
    random = np.random.default_rng(3)
    actions = random.uniform((-1, 0.4, 0), (1, 1, 0.1), (60, 3)).astype(np.float32)
    simulator = catalogue.create("carracing", "fast")
    simulator.reset(seed=4)
    total = sum(float(simulator.step(action)[1]) for action in actions)
    recording = Recording(4, actions, np.zeros((60, 1), np.float32))
    film = replay("carracing", recording, steps=60, stride=3)
    assert film.total == total
    assert film.pictures.shape == (20, 256, 384, 3)
    assert film.frames.shape == (20, 64, 64, 3)
