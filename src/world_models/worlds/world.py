"""What C lives in: n episodes in lockstep that give features, whatever is behind them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]


class Step(NamedTuple):
    """What one step gave to the m members that the last reset started.

    Members that had ended before, or were retired, keep their last features and have reward 0 and
    both flags False: each flag is True once, on the step that ended the episode.
    """

    features: FloatArray
    """float32 (m, F). Those of a member that ended are not updated: nobody acts on them.
    A new array each step."""
    rewards: FloatArray
    """float32 (m,)."""
    terminated: BoolArray
    """bool (m,): the episode ended by the environment's own rules (death, lap, left the field)."""
    truncated: BoolArray
    """bool (m,): the episode reached the environment's cap on steps."""


class World(Protocol):
    """A batch of episodes in lockstep.

    Each episode draws its random numbers from a stream of its own, by its seed. But the last bits
    of z and of M's state also depend on how many episodes are alive beside it: V and M compute them
    together, and a matrix product of another height may add in another order. Where the game or
    M's thresholds turn on such bits, the same seed and C give another return in another batch (in
    CarRacing 254 in a batch of 6 and 258 in one of 3). So a batch is the unit of work: equal
    batches give equal bits, on any number of workers; episodes are compared within equal batches.

    Members that ended cost nothing (the live ones are compacted before V and M run).
    """

    num_envs: int
    """The most episodes that can run at once."""
    z_size: int
    """Z: so many features, the first ones, are z."""
    feature_size: int
    """F: z and the parts of M's state that C sees; the same in reality and in the dream."""
    action_size: int
    """A."""

    @property
    def figures(self) -> Sequence[Mapping[str, float]]:
        """Numbers by name that the simulator gives of each of the m episodes that has ended."""

    def reset(self, seeds: Sequence[int]) -> FloatArray:
        """Start m = len(seeds) ≤ num_envs episodes, dropping those under way.

        Args:
            seeds: a seed for each episode, non-negative 31-bit. Equal seeds, equal episodes.

        Returns:
            The first features, float32 (m, F); no later step writes into this array.
        """

    def step(self, actions: FloatArray) -> Step:
        """Act in all members; the actions of those that ended are ignored.

        Args:
            actions: float32 (m, A), within the environment's action space.
        """

    def retire(self, mask: BoolArray) -> None:
        """Let members stand still from now on, as if they had ended.

        Args:
            mask: bool (m,), True for members to stop.
        """

    def close(self) -> None:
        """Release simulators; the world is not used afterwards."""
