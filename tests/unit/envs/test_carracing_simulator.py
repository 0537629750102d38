"""CarRacing as a Gymnasium environment, under both renderers."""

import os
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from carracing_drives import held
from gymnasium.utils.env_checker import check_env

from world_models.envs.carracing.simulator import CarRacing
from world_models.errors import ParameterError

COAST = np.zeros(3, np.float32)


@pytest.mark.parametrize("renderer", ["fast", "genuine"])
def test_passes_gymnasiums_checks_without_warnings(renderer: str) -> None:
    env = gymnasium.make("world_models:WorldModels/CarRacing-v3", renderer=renderer)
    check_env(env.unwrapped)


def test_truncates_itself_at_the_cap() -> None:
    env = CarRacing()
    env.reset(seed=0)
    ends = [env.step(COAST)[2:4] for _ in range(1000)]
    assert ends == [(False, False)] * (1000 - 1) + [(False, True)]
    env.reset(seed=0)
    assert env.step(COAST)[3] is False


def test_same_seed_same_episode_whatever_was_played_before_or_beside() -> None:
    played, beside = CarRacing(), CarRacing()
    played.reset(seed=5)
    beside.reset(seed=6)
    for i in range(30):
        played.step(held(1)(played.game, i))
    fresh = CarRacing()
    for env in (played, fresh):
        env.reset(seed=7)
    drive = held(2)
    for i in range(120):
        action = drive(None, i)
        beside.step(action)
        ours, theirs = played.step(action), fresh.step(action)
        assert np.array_equal(ours[0], theirs[0])
        assert ours[1:] == theirs[1:]


def test_both_renderers_play_the_same_game() -> None:
    fast, gym = CarRacing("fast"), CarRacing("genuine")
    for seed in (1, None):  # the second track continues the generator
        fast.reset(seed=seed)
        gym.reset(seed=seed)
        for i in range(40):
            action = np.array([0.3, 0.5, 0.1 * (i > 30)], np.float32)
            assert fast.step(action)[1:] == gym.step(action)[1:]


def test_frames_are_new_arrays() -> None:
    env = CarRacing()
    first, _ = env.reset(seed=0)
    kept = first.copy()
    for _ in range(5):
        env.step(COAST)
    assert np.array_equal(first, kept)


@pytest.mark.parametrize("renderer", ["fast", "genuine"])
def test_renders_gymnasiums_large_picture(renderer: str) -> None:
    env = CarRacing(renderer, "rgb_array")
    env.reset(seed=0)
    picture = env.render()
    assert picture.shape == (400, 600, 3)
    assert picture.dtype == np.uint8
    assert CarRacing(renderer).render() is None
    env.close()


def test_an_unknown_renderer_or_mode_is_refused() -> None:
    with pytest.raises(ParameterError, match='no renderer \'slow\': choose "fast" or "genuine"'):
        CarRacing("slow")
    with pytest.raises(ParameterError, match="no render mode 'human'"):
        CarRacing(render_mode="human")


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_starts_without_a_display_without_a_word_and_leaves_the_driver_alone() -> None:
    code = (
        "import os; before = dict(os.environ)\n"
        "from world_models.envs.carracing.simulator import CarRacing\n"
        "CarRacing('genuine').reset(seed=0)\n"
        "assert os.environ.get('SDL_VIDEODRIVER') == before.get('SDL_VIDEODRIVER')"
    )
    done = run(code, DISPLAY="", WAYLAND_DISPLAY="")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("missing", ["Box2D", "pygame"])
def test_a_missing_package_is_named_with_the_cure(missing: str) -> None:
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from world_models.errors import EnvironmentMissingError\n"
        "try:\n"
        "    import world_models.envs.carracing.simulator\n"
        "except EnvironmentMissingError as error:\n"
        "    print(error)\n"
    )
    done = run(code)
    assert done.stderr == ""
    assert missing in done.stdout
    assert "pip install" in done.stdout
