"""Units of work for the cluster's tests; workers find this module on their path."""

import os
import signal
import time
from pathlib import Path

import numpy as np


def setup(payload):
    return payload


def simulate(weights, seed):
    """A little recurrence in float32: every step's rounding goes into the result."""
    h = np.random.default_rng(seed).normal(size=weights.shape[0]).astype(np.float32)
    for _ in range(50):
        h = np.tanh(weights @ h)
    return h


def simulate_and_die_once(state, seed):
    """Unit 3 kills its worker the first time."""
    weights, flag = state
    if seed == 3 and not Path(flag).exists():
        Path(flag).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return simulate(weights, seed)


def pid(state, unit):
    time.sleep(0.3)
    return os.getpid()


def hang(state, unit):
    if unit:
        time.sleep(60)
    return unit
