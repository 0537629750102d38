"""Changes an environment after training, to see what an agent still can do in it.

What a kind does to one episode depends on the episode's seed alone. Kinds that an environment's own
simulator makes are named in its specification; two change finished frames, in any environment:

- ``colours``: every channel is scaled by a factor drawn for the episode from U(1 − s, 1 + s);
- ``noise``: every pixel of every frame gets Gaussian noise of standard deviation 255 · s.
"""

from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import gymnasium
import numpy as np
from numpy.typing import NDArray

from world_models.seeding import stream

Kind = Literal["none", "colours", "noise", "friction", "bars", "blob", "turned"]
Frame = NDArray[np.uint8]
Action = NDArray[np.float32]

OF_FRAMES = MappingProxyType({"colours": 1.0, "noise": 1.0})
"""Kinds that change finished frames, with their greatest strengths."""


class Disturbance(NamedTuple):
    """What is changed, and how much: ``strength`` is 0 for nothing at all."""

    kind: Kind
    strength: float

    def check_named(self) -> None:
        """Make sure that a strength is the strength of something.

        Raises:
            ValueError: it is not.
        """
        if self.kind == "none" and self.strength > 0:
            raise ValueError(
                f"strength {self.strength} of no disturbance: name one, or set strength to 0.0"
            )


NONE = Disturbance("none", 0.0)


def renewed(last: np.random.Generator | None, seed: int | None) -> np.random.Generator:
    """What an episode's disturbance is drawn from.

    Args:
        last: the last episode's stream, which an episode without a seed goes on with.
        seed: the episode's, whose simulator draws from streams of its own.
    """
    if seed is not None:
        return stream(seed, "disturbance")
    return last or np.random.default_rng()


class DisturbedFrames(gymnasium.Wrapper[Frame, Action, Frame, Action]):
    """A simulator whose frames alone are changed: rewards, ends and the game are its own.

    Args:
        simulator: gives frames uint8 (H, W, 3).
        disturbance: of a kind in :data:`OF_FRAMES`.
    """

    def __init__(self, simulator: gymnasium.Env[Frame, Action], disturbance: Disturbance) -> None:
        super().__init__(simulator)
        assert disturbance.kind in OF_FRAMES, disturbance
        self._strength, self._noisy = disturbance.strength, disturbance.kind == "noise"
        self._rng: np.random.Generator | None = None
        self._factors = np.ones(3, np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Frame, dict[str, Any]]:
        """Start an episode, with factors of its own."""
        frame, info = self.env.reset(seed=seed, options=options)
        self._rng = renewed(self._rng, seed)
        if not self._noisy:
            self._factors = (1 + self._strength * self._rng.uniform(-1, 1, 3)).astype(np.float32)
        return self._changed(frame), info

    def step(self, action: Action) -> tuple[Frame, Any, bool, bool, dict[str, Any]]:
        """Act once, in the simulator's own game."""
        frame, reward, terminated, truncated, info = self.env.step(action)
        return self._changed(frame), reward, terminated, truncated, info

    def _changed(self, frame: Frame) -> Frame:
        assert self._rng is not None, "reset comes first"
        values = frame * self._factors
        if self._noisy:
            noise = self._rng.standard_normal(frame.shape, np.float32)
            values += np.float32(255 * self._strength) * noise
        changed: Frame = np.clip(np.rint(values), 0, 255).astype(np.uint8)
        return changed
