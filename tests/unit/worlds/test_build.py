"""Plans of worlds: they travel, and a dream that teaches nothing is refused."""

import pickle

import numpy as np
import pytest
from small_memory import DOOM, RACING, memory
from small_models import H, Z, make_codec, make_memory

from world_models.errors import InputError, ParameterError
from world_models.vision.model import Vision
from world_models.vision.network import PAPER_CHANNELS, VAE
from world_models.worlds.build import Parts

NOTHING = {"restart": False, "reward_head": False, "end_head": False}


def parts(environment, sizes, **heads):
    m = memory(sizes._replace(**(NOTHING | heads)))
    return Parts(environment, Vision(VAE(sizes.z_size, PAPER_CHANNELS)), m)


def test_a_plan_travels_and_builds_the_same_dream():
    plan = parts("takecover", DOOM, restart=True).dream("zch", 1.1, 3)
    worlds = [p.build() for p in (plan, pickle.loads(pickle.dumps(plan)))]
    first, second = (world.reset([1, 2]) for world in worlds)
    assert first.shape == (2, 4 + 8 + 8)
    assert np.array_equal(first, second)
    steps = [world.step(np.ones((2, 1), np.float32)).features for world in worlds]
    assert np.array_equal(*steps)
    assert plan.cap == 2100


def test_reality_is_planned_with_v_and_m():
    plan = Parts("carracing", make_codec(), make_memory()).reality("zh", "mean", "fast", 2)
    world = plan.build()
    assert world.reset([1, 2]).shape == (2, Z + H)
    world.close()


def test_v_and_m_of_different_runs_are_refused():
    with pytest.raises(InputError, match="M was trained on z of size 4, V gives size 8"):
        Parts("takecover", make_codec(), memory(DOOM))


@pytest.mark.parametrize("heads", [{"restart": True}, {"end_head": True}])
def test_a_dream_of_doom_needs_an_end(heads):
    parts("takecover", DOOM, **heads).check_dream()
    with pytest.raises(
        ParameterError, match=r"dream of DoomTakeCover needs M to predict end.*restart"
    ):
        parts("takecover", DOOM, reward_head=True).check_dream()


def test_a_dream_of_driving_needs_a_reward():
    parts("carracing", RACING, reward_head=True).check_dream()
    with pytest.raises(ParameterError, match=r"predict reward, .* Set mdnrnn\.reward_head to true"):
        parts("carracing", RACING, end_head=True).check_dream()
