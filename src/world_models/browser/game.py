"""The game's own frames beside the dream: an episode that C plays, as pictures on one sheet."""

import io
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from world_models.agent import Agent
from world_models.envs import catalogue
from world_models.errors import EnvironmentMissingError, SimulatorDiedError
from world_models.memory.threads import one_thread

Frames = NDArray[np.uint8]

STEPS, STRIDE = 600, 2
"""Steps that are recorded at most, and from one frame that is kept to the next."""
SEED = 1
"""Of the episode, if nothing else is said: that of `world-models watch`."""
COLUMNS = 16
"""Frames beside each other on the sheet."""
QUALITY = 85
"""Of the JPEG, whose blocks of 16 pixels no frame shares with another."""


class Clip(NamedTuple):
    """A recorded episode as the page shows it.

    Attributes:
        sheet: a JPEG, frames row by row, :data:`COLUMNS` beside each other.
        frames: how many there are.
        fps: how many a second.
    """

    sheet: bytes
    frames: int
    fps: float

    @property
    def described(self) -> dict[str, Any]:
        """What the page has to know of the sheet."""
        return {"frames": self.frames, "columns": COLUMNS, "fps": self.fps}


def record(agent: Agent, seed: int) -> Clip:
    """Let C play in the genuine simulator, for :data:`STEPS` steps at most.

    Args:
        agent: V, M and C.
        seed: of the episode.

    Raises:
        EnvironmentMissingError: the simulator cannot start on this machine.
    """
    try:
        frames = _play(agent, seed)
    except SimulatorDiedError as error:
        raise EnvironmentMissingError(f"{error}") from error
    return Clip(sheet(frames), len(frames), agent.specification.fps / STRIDE)


@one_thread()  # of a single episode's steps torch's others would only be in the way
def _play(agent: Agent, seed: int) -> Frames:
    """Every STRIDE-th frame, uint8 (n, 64, 64, 3)."""
    simulator = catalogue.create(agent.environment, catalogue.GENUINE)
    try:
        frame, _ = simulator.reset(seed=seed)
        frames, state = [], None
        for step in range(STEPS):
            if step % STRIDE == 0:
                frames.append(frame)
            action, state = agent.act(frame, state)
            frame, _, terminated, truncated, _ = simulator.step(action)
            if terminated or truncated:
                break
    finally:
        simulator.close()
    return np.stack(frames)


def sheet(frames: Frames) -> bytes:
    """Frames uint8 (n, H, W, 3) as one JPEG; equal frames give equal bytes."""
    n, height, width, _ = frames.shape
    filled = np.pad(frames, ((0, -n % COLUMNS), (0, 0), (0, 0), (0, 0)))
    rows = filled.reshape(-1, COLUMNS, height, width, 3).transpose(0, 2, 1, 3, 4)
    file = io.BytesIO()
    picture = Image.fromarray(rows.reshape(-1, COLUMNS * width, 3))
    picture.save(file, "JPEG", quality=QUALITY, subsampling=0, optimize=True)
    return file.getvalue()
