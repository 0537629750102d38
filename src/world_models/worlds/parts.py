"""What worlds need of V, M and C: a part that replaces one of them has these methods.

All arrays are float32 unless said otherwise. A part's own state, such as an LSTM's h and c, is an
opaque object to worlds, who keep it, and hand it back.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
Rows = slice | NDArray[np.intp]
"""Which episodes: a slice, or indices."""
Ends = Literal["threshold", "drawn"]
"""How a dream ends: where M's logit of the end is above 0, or by chance, at the risk M predicts."""


class Encoder(Protocol):
    """V, which sees frames."""

    @property
    def z_size(self) -> int:
        """Z, numbers that describe a frame."""

    def encode(self, frames: NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        """Mu and logvar, (n, Z) each, of frames uint8 (n, 64, 64, 3)."""


class State(Protocol):
    """What M remembers of n episodes, each in a row."""

    def read(self, part: str, rows: Rows = ...) -> FloatArray:
        """One of M's parts of k episodes, (k, size); not to be changed."""

    def write(self, rows: Rows, parts: Mapping[str, FloatArray]) -> None:
        """Let k episodes remember this: for each of M's parts, (k, size)."""

    def forget(self, rows: Rows = ...) -> None:
        """Empty the memory of some episodes."""

    def move(self, holes: NDArray[np.intp], movers: NDArray[np.intp]) -> None:
        """Let episodes ``movers`` take the rows ``holes``."""


class RecurrentMemory(Protocol):
    """M, which remembers: all that reality needs of it."""

    @property
    def action_size(self) -> int:
        """A, numbers in an action."""

    @property
    def parts(self) -> Mapping[str, int]:
        """Names of what M remembers and C may see, one letter each, and their sizes."""

    def seen(self, features: str) -> Sequence[str]:
        """The parts that ``features`` names behind "z". Raises ParameterError for unknown ones."""

    def feature_size(self, features: str) -> int:
        """How many numbers C sees with these features."""

    def start(self, members: int) -> Any:
        """The :class:`State` of ``members`` episodes at their first frames."""

    def step(
        self, state: Any, z: FloatArray, actions: FloatArray, starts: BoolArray, rows: Rows = ...
    ) -> None:
        """Remember z (k, Z) and actions (k, A) of the k episodes in ``rows``.

        ``starts`` bool (k,) is True on an episode's first frame.
        """


class Frames(Protocol):
    """Stored first frames that dreams start from: V's mu and logvar, (E, Z) each."""

    @property
    def mu(self) -> FloatArray:
        """Means."""

    @property
    def logvar(self) -> FloatArray:
        """Logarithms of the variances."""


class Expectation(Protocol):
    """What M expects of the next step of k episodes; the next z is M's own matter."""

    @property
    def end(self) -> FloatArray | None:
        """(k,) above 0 where the episode ends; None if M does not predict it."""

    @property
    def reward(self) -> FloatArray | None:
        """(k,) reward of this step; None if M does not predict it."""


class DreamingMemory(RecurrentMemory, Protocol):
    """M as the dream needs it: it predicts too."""

    @property
    def z_size(self) -> int:
        """Z."""

    @property
    def initial(self) -> Frames:
        """Where dreams begin."""

    def predict(self, state: Any, rows: Rows = ..., mask: FloatArray | None = ...) -> Any:
        """The :class:`Expectation` of k episodes, valid until the next call.

        ``mask`` (k, H) are factors of M's output h; None for 1.
        """

    def risk(self, end: FloatArray) -> FloatArray:
        """The probability (k,) that an episode ends with this step, of an expectation's ``end``."""

    def sample(
        self,
        expected: Any,
        u: FloatArray,
        eps: FloatArray,
        row: NDArray[np.int64],
        tau: float,
        z: FloatArray,
    ) -> None:
        """Draw the next z of k episodes at temperature τ into ``z`` (k, Z).

        ``u``, uniform in [0, 1), and ``eps``, standard normal, are (S, Z); episode i uses the row
        ``row[i]`` of both.
        """
