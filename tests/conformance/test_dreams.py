"""The dream as Gymnasium environments: its checker, and a suite of ours for vectors."""

import multiprocessing

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from small_memory import DOOM, RACING, memory, write_artifact
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecMonitor

from world_models.errors import InputError, ParameterError
from world_models.memory.sizes import Sizes
from world_models.storage import artifact, tensors
from world_models.vision import model as vision_model
from world_models.vision.network import PAPER_CHANNELS, VAE
from world_models.worlds.dream_env import DreamEnv, DreamVectorEnv, tiles
from world_models.worlds.stable_baselines import DreamVecEnv

ID = "world_models:WorldModels/Dream-v0"
SPACES = {
    "takecover": (4 + 2 * 8, gymnasium.spaces.Box(-1, 1, (1,))),
    "carracing": (
        5 + 8,
        gymnasium.spaces.Box(np.array([-1, 0, 0], np.float32), np.ones(3, np.float32)),
    ),
}


@pytest.fixture(scope="module", params=["takecover", "carracing"])
def checkpoint(request, tmp_path_factory):
    out = tmp_path_factory.mktemp(request.param) / "mdnrnn"
    sizes = DOOM if request.param == "takecover" else RACING
    write_artifact(out, memory(sizes, restart_bias=-0.5), request.param)
    return out, request.param


def rollout(env, steps, seed):
    """Observations, rewards and ends of a vector environment under fixed random actions."""
    rng = np.random.default_rng(5)
    found = [(env.reset(seed=seed)[0],)]
    for _ in range(steps):
        low, high = env.action_space.low, env.action_space.high
        *step, _ = env.step(rng.uniform(low, high).astype(np.float32))
        found.append(tuple(step))
    return found


def assert_equal(one, other):
    for a, b in zip(one, other, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


def test_passes_gymnasium_s_checker(checkpoint):
    env = gymnasium.make(ID, checkpoint=str(checkpoint[0]), tau=1.15, render_mode="rgb_array")
    check_env(env.unwrapped)


def test_what_is_no_action_is_refused_and_the_dream_goes_on(checkpoint):
    """A batch of another width would be read, and written, beyond its end."""
    env = gymnasium.make(ID, checkpoint=checkpoint[0], disable_env_checker=True).unwrapped
    env.reset(seed=1)
    size = env.action_space.shape[0]
    for wrong in (np.full(size, np.nan), np.zeros(size + 1), np.zeros(0), np.zeros((1, size)), "x"):
        with pytest.raises(gymnasium.error.InvalidAction):
            env.step(wrong)
    assert np.isfinite(env.step(np.zeros(size))[0]).all()
    vector = gymnasium.make_vec(ID, num_envs=4, checkpoint=checkpoint[0])
    vector.reset(seed=1)
    for shape in ((4, size + 3), (500, size), (4,), (size, 4), (3, size)):
        if shape != (4, size):
            with pytest.raises(gymnasium.error.InvalidAction):
                vector.step(np.zeros(shape, np.float32))
    with pytest.raises(gymnasium.error.InvalidAction):
        vector.step(np.full((4, size), np.nan, np.float32))
    assert np.isfinite(vector.step(np.zeros((4, size)))[0]).all()


def test_single_environment_has_the_real_one_s_spaces(checkpoint):
    folder, environment = checkpoint
    env = gymnasium.make(ID, checkpoint=folder, tau=1.15)
    size, actions = SPACES[environment]
    assert env.observation_space.shape == (size,)
    assert env.action_space == actions
    observation, _ = env.reset(seed=1)
    assert env.observation_space.contains(observation)


def test_vector_is_made_by_id(checkpoint):
    env = gymnasium.make_vec(ID, num_envs=3, checkpoint=str(checkpoint[0]), tau=1.15)
    assert isinstance(env.unwrapped, DreamVectorEnv)
    assert env.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    assert env.observation_space.shape == (3, SPACES[checkpoint[1]][0])


def test_same_seed_same_trajectory(checkpoint):
    runs = [rollout(DreamVectorEnv(4, checkpoint=checkpoint[0]), 50, 9) for _ in range(2)]
    assert_equal(*runs)
    other = rollout(DreamVectorEnv(4, checkpoint=checkpoint[0]), 50, 10)
    assert not np.array_equal(runs[0][3][0], other[3][0])


def test_spaces_and_types_hold(checkpoint):
    env = DreamVectorEnv(4, checkpoint=checkpoint[0])
    (observations,), *steps = rollout(env, 40, 3)
    assert observations.dtype == np.float32
    for observation, rewards, terminated, truncated in steps:
        assert env.observation_space.contains(observation)
        assert rewards.shape == (4,)
        assert rewards.dtype == np.float64
        assert terminated.dtype == truncated.dtype == np.bool_


def test_earlier_observations_are_not_overwritten(checkpoint):
    env = DreamVectorEnv(2, checkpoint=checkpoint[0])
    first, _ = env.reset(seed=0)
    kept = first.copy()
    env.step(env.action_space.sample())
    assert np.array_equal(first, kept)


def test_seeds_of_a_vector_are_one_for_each_member_or_a_number_of_any_kind(checkpoint):
    env = DreamVectorEnv(3, checkpoint=checkpoint[0])
    counted = env.reset(seed=np.int64(5))[0]
    assert np.array_equal(counted, env.reset(seed=5)[0])
    assert np.array_equal(counted, env.reset(seed=[5, 6, 7])[0])
    for seeds in ([1, 2], [1, 2, 3, 4]):
        with pytest.raises(ParameterError, match=f"{len(seeds)} seeds for 3 dreams"):
            env.reset(seed=seeds)
    with pytest.raises(ParameterError, match="reset_mask has shape"):
        env.reset(options={"reset_mask": np.array([True, False])})


def test_forked_children_dream_too(tmp_path):
    """M of the paper's size starts OpenMP's threads, of which a forked child has none."""
    large = Sizes(64, 1, 512, 5, restart=True, reward_head=False, end_head=False)
    write_artifact(tmp_path / "mdnrnn", memory(large), "takecover")
    made = {"checkpoint": str(tmp_path / "mdnrnn")}
    here = gymnasium.make(ID, **made)
    expected = here.reset(seed=3)[0]
    step = here.step(np.zeros(1, np.float32))[0]
    envs = gymnasium.make_vec(ID, num_envs=2, vectorization_mode="async", **made)
    try:
        envs.reset_async(seed=3)
        np.testing.assert_allclose(envs.reset_wait(timeout=60)[0][0], expected, atol=1e-5)
        envs.step_async(np.zeros((2, 1), np.float32))
        np.testing.assert_allclose(envs.step_wait(timeout=60)[0][0], step, atol=1e-4)
    finally:
        envs.close(terminate=True)


def test_autoreset_on_the_next_step_equals_single_environments(checkpoint):
    """Each member shows what DreamEnv shows when it is reset after each end."""
    env = DreamVectorEnv(3, checkpoint=checkpoint[0], cap=12)
    singles = [DreamEnv(checkpoint[0], cap=12) for _ in range(3)]
    rng = np.random.default_rng(0)
    observations, _ = env.reset(seed=20)
    expected = [single.reset(seed=20 + i)[0] for i, single in enumerate(singles)]
    np.testing.assert_allclose(observations, expected, atol=1e-5)
    done, resets = np.zeros(3, bool), 0
    for _ in range(60):
        actions = rng.uniform(env.action_space.low, env.action_space.high).astype(np.float32)
        observations, rewards, terminated, truncated, _ = env.step(actions)
        for i, single in enumerate(singles):
            if done[i]:
                resets += 1
                step = (single.reset()[0], 0.0, False, False)
            else:
                step = single.step(actions[i])[:4]
            np.testing.assert_allclose(observations[i], step[0], atol=1e-3)
            assert (rewards[i], terminated[i], truncated[i]) == pytest.approx(step[1:], abs=1e-3)
        done = terminated | truncated
    assert resets >= 6


def test_autoreset_on_the_same_step(checkpoint):
    env = DreamVectorEnv(2, checkpoint=checkpoint[0], cap=5, autoreset_mode="SameStep")
    following = DreamVectorEnv(2, checkpoint=checkpoint[0], cap=5)
    env.reset(seed=1)
    following.reset(seed=1)
    for _ in range(5):
        ours, _, terminated, truncated, infos = env.step(env.action_space.low)
        theirs, *_ = following.step(env.action_space.low)
        done = terminated | truncated
        if done.any():
            break
    assert done.any()
    i = int(np.argmax(done))
    assert infos["_final_obs"][i]
    np.testing.assert_array_equal(infos["final_obs"][i], theirs[i])
    np.testing.assert_array_equal(following.step(env.action_space.low)[0][i], ours[i])


def test_without_autoreset_the_user_resets(checkpoint):
    env = DreamVectorEnv(2, checkpoint=checkpoint[0], cap=4, autoreset_mode="Disabled")
    env.reset(seed=1)
    for _ in range(6):
        observations, rewards, *_ = env.step(env.action_space.low)
    assert not rewards.any()
    mask = np.array([False, True])
    after, _ = env.reset(options={"reset_mask": mask})
    assert np.array_equal(after[0], observations[0])
    assert not np.array_equal(after[1], observations[1])
    _, rewards, *_ = env.step(env.action_space.low)
    assert rewards[0] == 0
    assert rewards[1] != 0


def in_worker(folder, queue):
    queue.put(rollout(DreamVectorEnv(3, checkpoint=folder), 15, 4))


@pytest.mark.slow
def test_is_the_same_in_a_worker(checkpoint):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=in_worker, args=(checkpoint[0], queue))
    process.start()
    theirs = queue.get(timeout=120)
    process.join()
    assert_equal(rollout(DreamVectorEnv(3, checkpoint=checkpoint[0]), 15, 4), theirs)


def test_says_what_is_wrong(checkpoint, tmp_path):
    folder, _ = checkpoint
    with pytest.raises(InputError, match="missing"):
        DreamEnv(tmp_path / "nothing")
    with pytest.raises(ParameterError, match="tau"):
        DreamVectorEnv(2, checkpoint=folder, tau=0.0)
    with pytest.raises(ParameterError, match="human"):
        DreamEnv(folder, render_mode="human")


def write_vae(out, z_size, environment):
    network = VAE(z_size, PAPER_CHANNELS)
    with artifact.create(
        out,
        kind="vae",
        environment=environment,
        stage="vae",
        parameters={},
        metrics={},
        details={"z_size": z_size},
    ) as folder:
        tensors.save(folder / vision_model.WEIGHTS, vision_model.state_arrays(network))
    return out


def test_v_shows_the_dream(checkpoint, tmp_path):
    folder, environment = checkpoint
    z_size = DOOM.z_size if environment == "takecover" else RACING.z_size
    vae = write_vae(tmp_path / "vae", z_size, environment)
    env = gymnasium.make(ID, checkpoint=folder, vae=str(vae), render_mode="rgb_array")
    env.reset(seed=0)
    picture = env.render()
    assert picture.shape == (64, 64, 3)
    assert picture.dtype == np.uint8
    many = DreamVectorEnv(2, checkpoint=folder, vae=vae, render_mode="rgb_array")
    many.reset(seed=0)
    assert np.abs(many.render()[0].astype(int) - picture).max() <= 1


def test_without_v_z_is_seen_as_tiles():
    z = np.array([[-9, -3, 0, 3, 9]], np.float32)
    (picture,) = tiles(z)
    assert picture.shape == (64, 64, 3)
    assert picture.dtype == np.uint8
    third = np.full(9, 127)
    third[: z.shape[1]] = [0, 0, 127, 255, 255]
    middles = np.array([10, 32, 53])
    np.testing.assert_array_equal(picture[np.ix_(middles, middles)][..., 0].ravel(), third)


@pytest.mark.filterwarnings("ignore:.*:UserWarning")  # the checker's advice on observation spaces
def test_stable_baselines_trains_in_it_one_by_one_and_in_batches(checkpoint):
    folder = str(checkpoint[0])
    made = {"checkpoint": folder, "tau": 1.15, "cap": 20}
    one_by_one = make_vec_env(ID, n_envs=2, seed=1, env_kwargs=made)
    batched = VecMonitor(DreamVecEnv(4, **made))
    for envs in (one_by_one, batched):
        model = PPO("MlpPolicy", envs, n_steps=32, batch_size=32, n_epochs=1, seed=1)
        model.learn(2 * 32 * envs.num_envs)
        episodes = [info["l"] for info in model.ep_info_buffer]
        assert episodes
        assert max(episodes) <= 20


@pytest.mark.filterwarnings("ignore:Creating .* which inherits from:DeprecationWarning")
@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.DISABLED])
def test_torchrl_takes_it_as_it_is(checkpoint, mode):
    from torchrl.envs import GymWrapper  # on use: it takes some seconds
    from torchrl.envs.utils import check_env_specs

    made = {"checkpoint": checkpoint[0], "cap": 20, "autoreset_mode": mode}
    dreams = GymWrapper(gymnasium.make_vec(ID, num_envs=4, **made))
    check_env_specs(dreams, seed=3)
    played = dreams.rollout(40, break_when_any_done=False)
    assert played["observation"].shape[:2] == (4, 40)
    assert played["next", "done"].any()


def test_batch_of_stable_baselines_says_how_a_dream_ended(checkpoint):
    envs = DreamVecEnv(3, checkpoint=checkpoint[0], cap=5)
    envs.seed(7)
    first = envs.reset()
    actions = np.zeros((3, *envs.action_space.shape), np.float32)
    seen = [envs.step(actions) for _ in range(5)]
    observations, rewards, done, infos = seen[-1]
    assert observations.dtype == rewards.dtype == np.float32
    capped = [info["TimeLimit.truncated"] for info in infos if info]
    assert done.sum() == len(capped)
    assert any(capped)
    for member in np.flatnonzero(done):
        assert not np.array_equal(infos[member]["terminal_observation"], observations[member])
    envs.seed(7)
    np.testing.assert_array_equal(envs.reset(), first)


def test_refuses_a_v_of_another_size_or_environment(checkpoint, tmp_path):
    folder, environment = checkpoint
    with pytest.raises(InputError, match="V gives size 9"):
        DreamEnv(folder, vae=write_vae(tmp_path / "a", 9, environment), render_mode="rgb_array")
    other = "carracing" if environment == "takecover" else "takecover"
    with pytest.raises(InputError, match=f"made for {other}"):
        DreamEnv(folder, vae=write_vae(tmp_path / "b", 4, other), render_mode="rgb_array")
