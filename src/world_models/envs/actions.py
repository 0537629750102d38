"""What an agent can do: three kinds of action spaces.

An action is a float32 vector of A numbers, in every environment: this is what C gives, what
simulators take, what data sets hold and what M sees. Each kind says how C's outputs become such a
vector (``squash``) and what it means to an environment with numbered actions (``native``).
"""

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from gymnasium.error import InvalidAction
from numpy.typing import NDArray

from world_models.errors import UserError

FloatArray = NDArray[np.float32]


class BadActionError(InvalidAction, UserError):
    """Gymnasium's error, which a command tells in a line as it does all of the user's faults."""


def checked(action: Any, *shape: int) -> FloatArray:
    """The action, or a batch of them, as float32 of this shape.

    An action that is not a number must not reach a game: CarRacing would count a car that is
    nowhere as one that has finished its lap.

    Raises:
        gymnasium.error.InvalidAction: it has another shape, or holds NaN or infinity.
    """
    try:
        vector = np.asarray(action, np.float32)
    except (TypeError, ValueError) as error:
        raise BadActionError(f"{action!r} is no action: {error}.") from error
    # Of a few numbers Python's sum is four times as fast as numpy's, once for each step of a game.
    total = sum(vector.tolist()) if vector.ndim == 1 else vector.sum()
    if vector.shape != shape or not math.isfinite(total):
        raise BadActionError(
            f"The action {action!r} is none of this environment: it takes {shape} finite numbers."
        )
    return vector


class Actions(Protocol):
    """What every kind of action space has; all are frozen and travel to workers."""

    @property
    def size(self) -> int:
        """A, numbers in an action."""

    @property
    def low(self) -> FloatArray:
        """Least action, float32 (A,)."""

    @property
    def high(self) -> FloatArray:
        """Greatest action, float32 (A,)."""

    def squash(self, raw: FloatArray) -> FloatArray:
        """C's outputs as actions, float32 (..., A)."""

    def nearest(self, action: FloatArray) -> FloatArray:
        """The action that any vector between ``low`` and ``high`` stands for, float32 (A,)."""

    def native(self, action: FloatArray) -> FloatArray | int:
        """What the environment itself takes: an index, or the vector where it takes vectors."""


@dataclass(frozen=True)
class Continuous:
    """A numbers, each between bounds of its own; C's tanh is stretched over them.

    Attributes:
        least: lower bounds.
        greatest: upper bounds.
    """

    least: tuple[float, ...]
    greatest: tuple[float, ...]

    @property
    def size(self) -> int:
        """A, numbers in an action."""
        return len(self.least)

    @property
    def low(self) -> FloatArray:
        """Least action, float32 (A,)."""
        return np.array(self.least, np.float32)

    @property
    def high(self) -> FloatArray:
        """Greatest action, float32 (A,)."""
        return np.array(self.greatest, np.float32)

    def squash(self, raw: FloatArray) -> FloatArray:
        """C's outputs as actions, float32 (..., A): an output of 0 is the middle of its range."""
        half: FloatArray = (self.high - self.low) * np.float32(0.5)
        return self.low + half + half * np.tanh(raw)

    def nearest(self, action: FloatArray) -> FloatArray:
        """The action itself."""
        return action

    def native(self, action: FloatArray) -> FloatArray:
        """The action itself."""
        return action


@dataclass(frozen=True)
class Thresholds:
    """One number in [-1, 1], cut into ranges: index 0 lies below the first cut.

    Attributes:
        cuts: ascending; n - 1 of them make n actions. A number equal to a cut lies below it.
    """

    cuts: tuple[float, ...]

    @property
    def n(self) -> int:
        """How many actions there are."""
        return len(self.cuts) + 1

    @property
    def size(self) -> int:
        """A: one number."""
        return 1

    @property
    def low(self) -> FloatArray:
        """Least action, float32 (1,)."""
        return np.full(1, -1, np.float32)

    @property
    def high(self) -> FloatArray:
        """Greatest action, float32 (1,)."""
        return np.full(1, 1, np.float32)

    def squash(self, raw: FloatArray) -> FloatArray:
        """C's outputs as actions: tanh, float32 (..., 1)."""
        return np.tanh(raw)

    def nearest(self, action: FloatArray) -> FloatArray:
        """The action itself."""
        return action

    def native(self, action: FloatArray) -> int:
        """Number of the range that the action lies in, 0 to len(cuts)."""
        return sum(bool(action[0] > cut) for cut in self.cuts)


@dataclass(frozen=True)
class Argmax:
    """n actions, of which C takes the one with its largest output; the vector is one-hot.

    Attributes:
        n: actions.
    """

    n: int

    @property
    def size(self) -> int:
        """A: n numbers, one of them 1 and the others 0."""
        return self.n

    @property
    def low(self) -> FloatArray:
        """Zeros, float32 (n,)."""
        return np.zeros(self.n, np.float32)

    @property
    def high(self) -> FloatArray:
        """Ones, float32 (n,)."""
        return np.ones(self.n, np.float32)

    def squash(self, raw: FloatArray) -> FloatArray:
        """C's outputs as actions: 1 at the largest, the first of equals; float32 (..., n).

        Outputs with NaN give NaN, which is no action.
        """
        chosen: FloatArray = np.eye(self.n, dtype=np.float32)[raw.argmax(axis=-1)]
        lost = np.isnan(raw).any(axis=-1)
        if lost.any():
            chosen[lost] = np.nan  # argmax takes NaN for the largest; it is no choice
        return chosen

    def nearest(self, action: FloatArray) -> FloatArray:
        """One-hot of the largest number, float32 (n,)."""
        return self.squash(action)

    def native(self, action: FloatArray) -> int:
        """Index of the largest number."""
        return int(action.argmax())
