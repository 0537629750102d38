"""Any Gymnasium environment by its pictures: a small one of any shape, against plain arithmetic."""

from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from world_models.envs import catalogue, rendered
from world_models.envs.actions import Argmax, Continuous
from world_models.envs.rendered import Rendered
from world_models.envs.shrinker import Shrinker
from world_models.envs.specification import Specification
from world_models.errors import EnvironmentMissingError, ParameterError

ABOUT = Specification(
    id="WorldModels/Light-v0",
    title="Light",
    wraps="Light-v0",
    actions=Argmax(3),
    cap=7,
    fps=10,
    packages=(),
    install="pip install light",
)


class Light(gymnasium.Env):
    """A light that actions move along a line; pictures are 37 by 101."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012
    action_space, observation_space = spaces.Discrete(3), spaces.Discrete(101)

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = int(self.np_random.integers(20, 80))
        return self.place, {}

    def step(self, action):
        assert isinstance(action, int)
        self.place += action - 1
        return self.place, float(action), False, False, {}

    def render(self):
        picture = np.zeros((37, 101, 3), np.uint8)
        picture[:, self.place] = 255, 128, 7
        return picture


@pytest.fixture(autouse=True)
def light(monkeypatch):
    gymnasium.register(id="Light-v0", entry_point=Light)
    monkeypatch.setattr(catalogue, "specification", lambda name: ABOUT)
    yield
    del gymnasium.registry["Light-v0"]


def area(picture):
    """Means of areas, by repeating every pixel 64 times."""
    height, width, _ = picture.shape
    rows = picture.astype(np.float64).repeat(64, axis=0).reshape(64, height, width, 3).mean(axis=1)
    return rows.repeat(64, axis=1).reshape(64, 64, width, 3).mean(axis=2)


@pytest.mark.parametrize("shape", [(37, 101), (20, 33), (210, 160), (400, 600), (481, 641)])
def test_pictures_of_any_shape_are_resized_exactly(shape):
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    out = np.empty((64, 64, 3), np.uint8)
    Shrinker(*shape, (0, 4 * shape[0]))(picture, out)
    np.testing.assert_array_equal(out, np.floor(area(picture) + 0.5 + 1e-9))


def test_actions_rewards_and_frames_are_the_environment_s():
    env = Rendered("light", render_mode="rgb_array")
    frame, _ = env.reset(seed=3)
    peer = Light()
    peer.reset(seed=3)
    for t in range(ABOUT.cap):
        np.testing.assert_array_equal(env.render(), peer.render())
        np.testing.assert_array_equal(frame, np.floor(area(peer.render()) + 0.5 + 1e-9))
        action = np.eye(3, dtype=np.float32)[t % 3]
        frame, reward, terminated, truncated, _ = env.step(action)
        assert reward == peer.step(t % 3)[1]
        assert (terminated, truncated) == (False, t + 1 == ABOUT.cap)
    env.close()


@pytest.mark.parametrize("actions", [Argmax(2), Continuous((-1.0,), (1.0,))])
def test_another_action_space_than_the_specification_says_is_refused(monkeypatch, actions):
    about = replace(ABOUT, actions=actions)
    monkeypatch.setattr(catalogue, "specification", lambda name: about)
    with pytest.raises(ParameterError, match=r"Light.*Discrete\(3\)"):
        Rendered("light")


def test_an_environment_that_gymnasium_lacks_is_named_with_the_cure(monkeypatch):
    about = replace(ABOUT, wraps="Dark-v0")
    monkeypatch.setattr(catalogue, "specification", lambda name: about)
    with pytest.raises(EnvironmentMissingError, match="pip install light"):
        Rendered("light")


def test_what_draws_no_pictures_is_refused():
    with pytest.raises(ParameterError, match=r"must draw uint8 .*rgb_array"):
        rendered._checked(None, ABOUT)
