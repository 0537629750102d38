"""What frames show: asked of frames whose simulator knows the answer."""

import numpy as np
import pytest

from world_models.envs import catalogue
from world_models.envs.carracing import looks as carracing
from world_models.envs.takecover import looks as takecover


def test_road_is_where_the_wheels_are():
    """The car starts on the road, and leaves it when it turns all the time."""
    simulator = catalogue.create("carracing", "fast")
    frames, touching = [], []
    frame, _ = simulator.reset(seed=3)
    for t in range(400):
        frames.append(frame)
        touching.append(any(wheel.tiles for wheel in simulator.unwrapped.game.car.wheels))
        action = np.array([0.3 if t > 100 else 0, 0.2, 0], np.float32)
        frame, *_ = simulator.step(action)
    found = carracing.looks(np.stack(frames))
    truth = np.array(touching)
    assert 0.1 < truth[60:].mean() < 0.9
    assert (found["on_road"] == truth)[60:].mean() > 0.95, "after the zoom of the first second"
    assert found["road"][60:][truth[60:]].all()


@pytest.mark.parametrize("colour", [(100, 202, 100), (0, 0, 0), (200, 0, 0)])
def test_no_road(colour):
    frames = np.full((1, 64, 64, 3), colour, np.uint8)
    assert not carracing.looks(frames)["road"].any()


def test_fire_comes_near_before_one_dies():
    simulator = catalogue.create("takecover", "fast")
    for seed in range(4):
        frames = []
        frame, _ = simulator.reset(seed=seed)
        done = False
        while not done:
            frames.append(frame)
            frame, _, terminated, truncated, _ = simulator.step(np.zeros(1, np.float32))
            done = terminated or truncated
        found = takecover.looks(np.stack(frames))
        assert not found["fire"][0], "nobody has thrown anything yet"
        assert found["near_fire"][-12:].any()
        assert found["near_fire"].mean() < found["fire"].mean()
    simulator.close()
