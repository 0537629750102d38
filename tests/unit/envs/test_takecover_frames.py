"""The 64×64 frame: exact area resampling, and the small screen beside the large one."""

import numpy as np
import pytest

from world_models.envs.doom.shrink import IndexedShrinker
from world_models.envs.doom.simulator import SCREENS, WINDOWS
from world_models.envs.frames import SIZE
from world_models.envs.shrinker import Shrinker
from world_models.envs.takecover.simulator import TakeCover


def exact(picture, window):
    """By integers: quarters of rows repeated 64 times, then means of equal blocks, half up."""
    begin, end = window
    rows = np.clip(np.arange(begin, end) // 4, 0, len(picture) - 1)
    wide = picture[rows].astype(np.int64).repeat(SIZE, axis=0)
    bands = wide.reshape(SIZE, end - begin, -1, 3).sum(axis=1)
    columns = bands.repeat(SIZE, axis=1).reshape(SIZE, SIZE, picture.shape[1], 3).sum(axis=2)
    area = (end - begin) * picture.shape[1]
    return ((2 * columns + area) // (2 * area)).astype(np.uint8)


@pytest.mark.parametrize("resolution", WINDOWS)
@pytest.mark.parametrize("content", ["noise", "black", "white", "ties"])
def test_area_means_are_exact(resolution, content):
    width, height = map(int, resolution.split("x"))
    rng = np.random.default_rng(width)
    picture = {
        "noise": rng.integers(0, 256, (height, width)),
        "black": np.zeros((height, width)),
        "white": np.full((height, width), 255),
        "ties": rng.integers(0, 2, (height, width)),
    }[content].astype(np.uint8)
    colours = np.arange(256)[:, None] if content == "ties" else rng.integers(0, 256, (256, 3))
    palette = (colours + np.zeros(3, int)).astype(np.uint8)
    palette[0], palette[255] = 0, 255
    out = np.empty((SIZE, SIZE, 3), np.uint8)
    expected = exact(palette[picture], WINDOWS[resolution])
    IndexedShrinker(height, width, WINDOWS[resolution], palette)(picture, out)
    np.testing.assert_array_equal(out, expected)
    Shrinker(height, width, WINDOWS[resolution])(palette[picture], out)
    np.testing.assert_array_equal(out, expected)


@pytest.fixture(scope="module")
def screens():
    simulators = {renderer: TakeCover(renderer) for renderer in SCREENS}
    yield simulators
    for simulator in simulators.values():
        simulator.close()


def same_states(screens, seed, steps):
    """Frames of one game with either renderer, uint8 (T, 64, 64, 3) each."""
    rng = np.random.default_rng(seed)
    frames = {name: [simulator.reset(seed=seed)[0]] for name, simulator in screens.items()}
    for _ in range(steps):
        action = rng.uniform(-1, 1, 1).astype(np.float32)
        ends = set()
        for name, simulator in screens.items():
            frame, *rest, _ = simulator.step(action)
            frames[name].append(frame)
            ends.add(tuple(rest))
        assert len(ends) == 1, "the game is the same, whatever the screen"
        if next(iter(ends))[1]:
            break
    return {name: np.stack(shown) for name, shown in frames.items()}


def test_the_small_screen_shows_what_the_large_one_shows(screens):
    frames = same_states(screens, seed=3, steps=150)
    assert np.abs(frames["fast"] - frames["genuine"].astype(float)).mean() < 4.0


def brightness(frames):
    """A fireball's mark: pixels that are bright and yellow, weighed by how much; (T,)."""
    red, green = frames[..., 0].astype(float), frames[..., 1].astype(float)
    return (np.clip(red - 140, 0, None) * (green > 110)).sum(axis=(1, 2))


def test_fireballs_are_as_visible_on_the_small_screen(screens):
    frames = [same_states(screens, seed, steps=200) for seed in (1, 2)]
    small, large = (
        brightness(np.concatenate([shown[name] for shown in frames]))
        for name in ("fast", "genuine")
    )
    seen = large > 100
    assert seen.sum() > 50, "the test needs fireballs"
    assert np.corrcoef(small, large)[0, 1] > 0.97
    assert 0.9 < small[seen].sum() / large[seen].sum() < 1.1
    assert (small[seen] > 0).mean() > 0.97


def test_the_status_bar_is_not_in_the_frame(screens):
    """The bar shows a face that looks about; the last row is floor, the same grey as above it."""
    for simulator in screens.values():
        frame, _ = simulator.reset(seed=0)
        last, above = frame[-1].astype(float), frame[-4].astype(float)
        assert np.ptp(last.mean(axis=0)) < 3
        assert abs(last.mean() - above.mean()) < 12
