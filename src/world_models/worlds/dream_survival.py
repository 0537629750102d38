"""How long one lives in the dream, and in reality, with the same actions."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from world_models.memory.data import Steps
from world_models.memory.model import Memory
from world_models.memory.threads import one_thread
from world_models.seeding import episode_seeds, stream
from world_models.worlds.dream import Dream
from world_models.worlds.episodes import play

DREAMS = 100
HORIZON = 1000
"""Steps up to which survival is compared: bounds what a deathless dream costs."""

FloatArray = NDArray[np.float64]


def observed(lengths: NDArray[np.int64], died: NDArray[np.bool_], horizon: int) -> FloatArray:
    """Kaplan–Meier: the share still alive after 1, 2, … steps, float64 (horizon,).

    An episode that was truncated was alive until then and says nothing about later.

    Args:
        lengths: (E,) steps of each episode.
        died: (E,) whether it terminated.
        horizon: steps.
    """
    lives = stats.CensoredData(uncensored=lengths[died], right=lengths[~died])
    alive: FloatArray = stats.ecdf(lives).sf.evaluate(np.arange(1, horizon + 1))
    return alive


@one_thread()
def dreamed(memory: Memory, steps: Steps, horizon: int, seed: int) -> FloatArray:
    """Share of dreams (τ = 1) alive after 1, 2, … steps with the data's own actions.

    Each dream takes the actions of some episode from its beginning, and when that is over, those of
    the next.

    Args:
        memory: M.
        steps: held-out episodes.
        horizon: steps after which dreams are cut.
        seed: of the dreams.
    """
    dream = Dream(memory, tau=1.0, cap=horizon, num_envs=DREAMS, features="z")
    begin = stream(seed, "dreamed episodes").choice(np.flatnonzero(steps.starts), DREAMS)
    taken = iter(range(horizon))
    outcomes = play(
        dream,
        lambda _: steps.actions[(begin + next(taken)) % len(steps)],
        [int(s) for s in episode_seeds("validation", seed, 0, DREAMS)],
    )
    return observed(outcomes.lengths, outcomes.terminated, horizon)


def compare(
    memory: Memory,
    steps: Steps,
    lengths: NDArray[np.int64],
    died: NDArray[np.bool_],
    seed: int,
) -> pd.DataFrame:
    """Survival in reality and in dreams, by step.

    Args:
        memory: M, with a head for the end.
        steps: held-out episodes, whose actions the dreams take.
        lengths: (E,) steps of all episodes.
        died: (E,) whether each terminated.
        seed: of the dreams.

    Returns:
        Columns step, observed, dreamed.
    """
    horizon = min(HORIZON, int(lengths.max()))
    return pd.DataFrame(
        {
            "step": np.arange(1, horizon + 1),
            "observed": observed(lengths, died, horizon),
            "dreamed": dreamed(memory, steps, horizon, seed),
        }
    )
