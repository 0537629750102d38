"""Every random stream comes from (seed, purpose, index): never shared, never global.

So a stream depends neither on which worker draws from it nor on what was drawn before, and a
resumed run continues with the numbers that an uninterrupted one would have seen.
"""

from typing import Literal, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from world_models.errors import InputError

Split = Literal["rollouts", "training", "validation", "test"]
SPLITS: tuple[Split, ...] = ("rollouts", "training", "validation", "test")
SPLIT_SIZE = 1 << 28
"""Seeds in one split. Four splits fill 30 bits: simulators take non-negative 31-bit seeds."""
FRESH, LARGEST = len(SPLITS) * SPLIT_SIZE, 2**31 - 1
"""The seeds that no stage can use, first and last: for scoring anew what is finished."""
_STRIDE = 1_000_003  # a prime: experiments with neighbouring seeds start far apart in the split


def stream(seed: int, purpose: str, *index: int) -> np.random.Generator:
    """A generator of its own for one purpose, such as ``stream(7, "shuffle", epoch)``."""
    # As a spawn key, index () differs from (0,); appended to the entropy, it would not.
    sequence = np.random.SeedSequence([seed, crc32(purpose.encode())], spawn_key=index)
    return np.random.Generator(np.random.Philox(sequence))


def torch_seed(seed: int, purpose: str, *index: int) -> int:
    """A 63-bit seed for ``torch.Generator.manual_seed``, derived as in :func:`stream`."""
    return int(stream(seed, purpose, *index).integers(0, 2**63 - 1))


def episode_seeds(split: Split, seed: int, start: int, count: int) -> NDArray[np.int64]:
    """Episodes' seeds, int64 (count,): disjoint between splits by construction.

    Args:
        split: what the episodes serve; each split has a range of its own.
        seed: the stage's seed.
        start: number of the first episode in the stage's own count.
        count: how many; within one split they are distinct up to ``SPLIT_SIZE``.
    """
    offset = (seed * _STRIDE + start + np.arange(count, dtype=np.int64)) % SPLIT_SIZE
    return offset + SPLITS.index(split) * SPLIT_SIZE


class Parts(NamedTuple):
    """Numbers of the episodes to learn from and of those held out, int64, each in rising order."""

    training: NDArray[np.int64]
    held_out: NDArray[np.int64]


def hold_out(seeds: NDArray[np.int64], fraction: float) -> Parts:
    """Hold out a share of a data set's episodes, at least one.

    An episode's own seed decides. So V and M hold out the same episodes, and an episode that was
    held out still is when others are added.

    Args:
        seeds: of the episodes, int64 (E,).
        fraction: of episodes to hold out, on average; a smaller one holds out some of the same.

    Raises:
        InputError: there are fewer than two episodes.
    """
    if len(seeds) < 2:
        raise InputError(
            f"The data set holds {len(seeds)} episode, and two are needed: one to learn from and "
            "one to hold out. Raise rollouts.episodes."
        )
    draws = np.array([crc32(b"held out %d" % seed) / 2**32 for seed in seeds.tolist()])
    order = np.argsort(draws, kind="stable")
    count = min(max(int((draws < fraction).sum()), 1), len(seeds) - 1)
    return Parts(np.sort(order[count:]), np.sort(order[:count]))
