"""CarRacing-v3 as the paper's agent saw it; what it is and what the paper reached."""

import numpy as np

from world_models.envs.actions import Continuous, FloatArray
from world_models.envs.carracing.looks import looks
from world_models.envs.specification import Draw, Key, PaperSizes, Specification

_CALM, _BRAKING, _LIGHT = 0.05, 0.1, 0.5


class Pedals(Continuous):
    """Steering, gas and brake."""

    def squash(self, raw: FloatArray) -> FloatArray:
        """C's outputs as actions, float32 (..., 3).

        Steering tanh(a), gas (tanh(a) + 1) / 2 and brake clip(tanh(a), 0, 1), so that outputs of 0
        are half throttle without brake (App. A.4).
        """
        actions = np.tanh(raw)
        actions[..., 1] = (actions[..., 1] + 1) / 2
        np.clip(actions[..., 2], 0, 1, out=actions[..., 2])
        return actions


def driver(rng: np.random.Generator) -> Draw:
    """Steering, and gas or one time in ten a light brake; how much differs between episodes.

    Some episodes then crawl along the track, others race and skid off it.
    """
    sharpness, haste = rng.uniform(_CALM, 1, size=2)

    def draw() -> FloatArray:
        steering, pedal = sharpness * rng.uniform(-1, 1), rng.random()
        if rng.random() < _BRAKING:
            return np.array([steering, 0, _LIGHT * pedal], np.float32)
        return np.array([steering, haste * pedal, 0], np.float32)

    return draw


SPECIFICATION = Specification(
    id="WorldModels/CarRacing-v3",
    title="CarRacing-v3",
    actions=Pedals(least=(-1, 0, 0), greatest=(1, 1, 1)),
    cap=1000,  # as Gymnasium registers it
    fps=50,
    packages=("gymnasium", "box2d", "pygame-ce"),
    install='pip install swig "gymnasium[box2d]"',
    entry_point="world_models.envs.carracing.simulator:CarRacing",
    renderers=("fast", "genuine"),
    dream_needs=frozenset({"reward"}),
    looks=looks,
    difficulty="world_models.envs.carracing.track:difficulty",
    driver=driver,
    disturbances={"colours": 0.5, "friction": 0.4, "bars": 1.0, "blob": 1.0, "turned": 1.0},
    keys=(
        Key("left", "steer left", 0, -1.0),
        Key("right", "steer right", 0, 1.0),
        Key("up", "gas", 1, 1.0),
        Key("down", "brake", 2, 1.0),
    ),
    paper_scores={"agent": "906 ± 21"},
    paper_sizes=PaperSizes(z=32, hidden=256, mixtures=5, restart=False, features="zh"),
)
