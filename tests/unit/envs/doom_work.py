"""A unit of work with a real game, at the top of an importable module, as work must be."""

import numpy as np

from world_models.envs.doom import launcher
from world_models.envs.takecover.simulator import TakeCover


def play_after_a_death(flag, seed):
    """The first game of all ends at its start; another one gives one step's reward."""
    if not flag.exists():
        flag.touch()
        launcher._WATCH = launcher._WATCH.replace("{game}", "false")
    simulator = TakeCover()
    simulator.reset(seed=seed)
    _, reward, *_ = simulator.step(np.zeros(1, np.float32))
    simulator.close()
    return reward
