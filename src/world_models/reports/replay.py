"""Plays a recorded episode again, in a simulator that draws pictures for people."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from world_models.envs import catalogue
from world_models.evaluation.recordings import Recording
from world_models.reports.videos import scale

Pictures = NDArray[np.uint8]

HEIGHT = 256
"""Pixels at most that a picture keeps: it travels from a worker, hundreds at a time."""


@dataclass(frozen=True)
class Film:
    """An episode in pictures, every ``stride`` steps.

    Attributes:
        pictures: for people, uint8 (n, H, W, 3), with the dashboard.
        frames: for V, uint8 (n, 64, 64, 3).
        total: sum of the rewards of the steps played.
    """

    pictures: Pictures
    frames: Pictures
    total: float


def replay(environment: str, recording: Recording, steps: int, stride: int) -> Film:
    """Take the recorded actions from the recorded seed; the game is deterministic.

    Args:
        environment: such as ``carracing``.
        recording: of an episode in the same environment, with any renderer. It is played under
            the recording's disturbance.
        steps: how many to play at most.
        stride: a picture every so many steps.
    """
    genuine, disturbance = catalogue.GENUINE, recording.disturbance
    simulator = catalogue.create(environment, genuine, "rgb_array", disturbance)
    pictures, frames, total = [], [], 0.0
    frame, _ = simulator.reset(seed=recording.seed)
    for t, action in enumerate(recording.actions[:steps]):
        if t % stride == 0:
            picture = np.array(simulator.render(), np.uint8)
            pictures.append(scale(picture[None], min(HEIGHT, len(picture)))[0])
            frames.append(frame)
        frame, reward, terminated, truncated, _ = simulator.step(action)
        total += float(reward)
        if terminated or truncated:
            break
    simulator.close()
    return Film(np.stack(pictures), np.stack(frames), total)


def replay_unit(settings: tuple[str, int, int], recording: Recording) -> Film:
    """:func:`replay` as a unit of work: environment, steps and stride are the same for all."""
    environment, steps, stride = settings
    return replay(environment, recording, steps, stride)
