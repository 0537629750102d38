"""Units of work for the engine's tests: at the top of an importable module, as work must be."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from world_models.errors import InputError, SimulatorDiedError

SETUPS = []


class StubbornError(Exception):
    """Cannot be unpickled: its constructor wants two arguments."""

    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


def setup(payload):
    SETUPS.append(payload)
    return payload


def setup_that_fails(payload):
    raise ValueError(f"no {payload}")


def multiply(matrix, seed):
    vector = np.random.default_rng(seed).normal(size=matrix.shape[1]).astype(np.float32)
    return matrix @ np.tanh(vector)


def report(state, unit):
    time.sleep(0.05)  # so that one worker cannot do all of it
    return os.getpid(), len(SETUPS), "torch" in sys.modules, os.environ["OMP_NUM_THREADS"]


def large(state, size):
    return np.arange(size, dtype=np.float32)


def fail(state, unit):
    if unit == "user":
        raise InputError("data is missing. Bring it back.")
    if unit == "stubborn":
        raise StubbornError(1, 2)
    return 1 // unit


def die_once(flag, unit):
    """Unit 2 is killed the first time that it runs."""
    if unit == 2 and not Path(flag).exists():
        Path(flag).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return unit * 10


def lose_the_simulator_once(flag, unit):
    if unit == 2 and not Path(flag).exists():
        Path(flag).touch()
        raise SimulatorDiedError("the game ended")
    return unit


def die(state, code):
    if code:
        os._exit(code)


def hang_once(flag, unit):
    if unit == 1 and not Path(flag).exists():
        Path(flag).touch()
        time.sleep(60)
    return unit


def hang(state, unit):
    time.sleep(60)


def hang_with_child(folder, unit):
    """Leave both process ids in ``folder``, then sleep."""
    child = subprocess.Popen(["sleep", "60"])
    for pid in (os.getpid(), child.pid):
        (Path(folder) / str(pid)).touch()
    time.sleep(60)


def policy(state, unit):
    """How Linux schedules this process and what it starts."""
    return os.sched_getscheduler(0)


def play_doom(folder, seed):
    """Forty steps of TakeCover; whoever is first to play seed 2 has its game killed."""
    import psutil

    from world_models.envs.takecover.simulator import TakeCover

    simulator = TakeCover()
    frame, _ = simulator.reset(seed=seed)
    for step in range(40):
        if seed == 2 and step == 20 and not (Path(folder) / "flag").exists():
            (Path(folder) / "flag").touch()
            for child in psutil.Process().children(recursive=True):
                child.kill()
        frame, *_ = simulator.step(np.ones(1, np.float32))
    simulator.close()
    return frame
