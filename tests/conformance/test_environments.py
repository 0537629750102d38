"""One suite that every environment passes: Gymnasium's checker, and ours for vectors.

The dreams have the same in ``test_dreams.py``, on a checkpoint that has to be made first.
"""

import hashlib
import multiprocessing
import subprocess
import sys

import av
import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import RecordVideo

from world_models.envs import catalogue
from world_models.envs.vector import Lockstep

NAMES = {catalogue.specification(name).id: name for name in catalogue.names()}
IDS = list(NAMES)
STEPS = 60


def test_gymnasium_knows_every_environment():
    registered = {id_ for id_ in gymnasium.registry if id_.startswith("WorldModels/")}
    assert registered == {*IDS, "WorldModels/Dream-v0"}


@pytest.mark.parametrize("id_", IDS)
def test_passes_gymnasium_s_checker(id_):
    env = gymnasium.make(f"world_models:{id_}", disable_env_checker=True, render_mode="rgb_array")
    check_env(env.unwrapped)
    assert env.observation_space == gymnasium.spaces.Box(0, 255, (64, 64, 3), np.uint8)
    assert env.spec.max_episode_steps == catalogue.specification(NAMES[id_]).cap
    env.close()


@pytest.mark.parametrize("id_", IDS)
def test_is_recorded_as_a_video_by_gymnasium(id_, tmp_path):
    env = gymnasium.make(id_, render_mode="rgb_array", disable_env_checker=True)
    env = RecordVideo(
        env, str(tmp_path / "videos"), episode_trigger=lambda _: True, disable_logger=True
    )
    env.reset(seed=1)
    for _ in range(3):
        env.step(env.action_space.sample())
    env.close()
    (video,) = (tmp_path / "videos").glob("*.mp4")
    with av.open(str(video)) as film:
        assert sum(1 for _ in film.decode(video=0)) == 4


@pytest.mark.parametrize("id_", IDS)
def test_gymnasium_s_limit_ends_an_episode_earlier_if_asked(id_):
    env = gymnasium.make(id_, max_episode_steps=4, disable_env_checker=True)
    env.reset(seed=1)
    ends = [env.step(env.action_space.sample())[2:4] for _ in range(4)]
    assert ends[:3] == [(False, False)] * 3
    assert ends[3] == (False, True)
    env.close()


def not_actions(size):
    """What is no action of ``size`` numbers."""
    return [
        np.full(size, np.nan),
        np.full(size, np.inf, np.float32),
        np.zeros(size + 1, np.float32),
        np.zeros(0, np.float32),
        np.zeros((size, 1), np.float32),
        "left",
        None,
    ]


@pytest.mark.parametrize("id_", IDS)
@pytest.mark.parametrize("renderer", ["fast", "genuine"])
def test_what_is_no_action_is_refused_and_the_episode_goes_on(id_, renderer):
    if renderer not in catalogue.specification(NAMES[id_]).renderers:
        pytest.skip("it has one renderer")
    env = gymnasium.make(id_, renderer=renderer, disable_env_checker=True).unwrapped
    env.reset(seed=1)
    for wrong in not_actions(env.action_space.shape[0]):
        with pytest.raises(gymnasium.error.InvalidAction, match="action"):
            env.step(wrong)
    middle = ((env.action_space.low + env.action_space.high) / 2).tolist()
    frame, reward, terminated, _, _ = env.step(middle)  # a list will do
    assert env.observation_space.contains(frame)
    assert np.isfinite(reward)
    assert not terminated
    env.close()


@pytest.mark.parametrize("id_", IDS)
def test_gymnasium_s_own_vectors_work(id_):
    vector = gymnasium.make_vec(id_, num_envs=2, vectorization_mode="sync")
    frames, _ = vector.reset(seed=3)
    assert vector.observation_space.contains(frames)
    frames, *_ = vector.step(vector.action_space.sample())
    assert vector.observation_space.contains(frames)
    vector.close()


@pytest.fixture(scope="module", params=catalogue.names())
def vector(request):
    made = Lockstep(request.param, 2, "fast")
    made.environment = request.param
    yield made
    made.close()


def actions(space, steps):
    rng = np.random.default_rng(0)
    return [rng.uniform(space.low, space.high).astype(np.float32) for _ in range(steps)]


def digest(vector, seeds, steps=STEPS):
    """SHA-256 of all that a vector gives under fixed random actions."""
    content = hashlib.sha256(vector.reset(seed=seeds)[0].tobytes())
    for action in actions(vector.action_space, steps):
        for array in vector.step(action)[:4]:
            content.update(array.tobytes())
    return content.hexdigest()


def digest_in_worker(environment, seeds):
    made = Lockstep(environment, 2, "fast")
    result = digest(made, seeds)
    made.close()
    return result


def test_spaces_hold(vector):
    assert vector.observation_space.shape == (2, *vector.single_observation_space.shape)
    assert vector.action_space.shape == (2, *vector.single_action_space.shape)
    frames, info = vector.reset(seed=1)
    assert vector.observation_space.contains(frames)
    assert info == {}
    for action in actions(vector.action_space, 5):
        frames, rewards, terminated, truncated, info = vector.step(action)
        assert vector.observation_space.contains(frames)
        assert rewards.dtype == np.float32
        assert terminated.dtype == truncated.dtype == np.bool_
        assert rewards.shape == terminated.shape == truncated.shape == (2,)
        assert info == {}


def test_same_seed_same_trajectory(vector):
    first = digest(vector, [3, 4])
    assert digest(vector, [4, 3]) != first
    assert digest(vector, [3, 4]) == first


def test_trajectories_do_not_depend_on_neighbours(vector):
    def of_first(seeds):
        frames = [vector.reset(seed=seeds)[0][0].copy()]
        for action in actions(vector.single_action_space, STEPS):
            frames.append(vector.step(np.stack([action] * len(seeds)))[0][0].copy())
        return np.stack(frames)

    both = of_first([3, 4])
    np.testing.assert_array_equal(of_first([3]), both)
    np.testing.assert_array_equal(of_first([3, 99]), both)


def test_autoreset_is_as_declared(vector):
    """DISABLED: members that ended stand still until they are reset."""
    assert vector.metadata["autoreset_mode"] == AutoresetMode.DISABLED
    vector.reset(seed=[1, 2])
    vector.retire(np.array([True, False]))
    before = None
    for action in actions(vector.action_space, 20):
        frames, rewards, terminated, truncated, _ = vector.step(action)
        assert rewards[0] == 0
        assert not terminated[0]
        assert not truncated[0]
        assert before is None or (frames[0] == before).all()
        before = frames[0].copy()
    assert not vector.live[0]
    vector.reset(seed=[1, 2])
    assert vector.live.all()


def test_a_spawned_worker_gives_the_same_bytes(vector):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply(digest_in_worker, (vector.environment, [5, 6]))
    assert found == digest(vector, [5, 6])


def test_importing_the_package_imports_nothing_heavy():
    heavy = ("torch", "numba", "vizdoom", "pygame", "Box2D", "lightning", "mlflow", "pandas")
    code = (
        "import sys, world_models; "
        f"print([name for name in {heavy!r} if name in sys.modules], "
        "[name for name in sys.modules if name.endswith('.simulator')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "[]"]
