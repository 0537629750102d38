"""TakeCover's speed on one core, ours beside ViZDoom's own Gymnasium wrapper.

Run it as ``python benchmarks/takecover.py``; about half a minute.
"""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import psutil
from numpy.typing import NDArray
from PIL import Image

from world_models.envs.takecover.simulator import TakeCover

STEPS, ROUNDS = 2000, 16
TARGET = 3.0
Times = NDArray[np.float64]


class Player:
    """One simulator with its game's process, and the time that both have used.

    They take turns, so on a core of their own the sum of their CPU times is the time that passes;
    unlike the clock it does not see who else is on the machine.
    """

    def __init__(self, make: Callable[[], gymnasium.Env[Any, Any]], moves: list[Any]) -> None:
        before = set(psutil.Process().children(recursive=True))
        self._env, self._moves = make(), moves
        self._env.reset(seed=0)
        self._env.step(moves[0])  # compiled, started
        (self._game,) = set(psutil.Process().children(recursive=True)) - before

    def seconds(self, seed: int) -> float:
        """CPU seconds for STEPS steps, new episodes included."""
        python, game = time.process_time(), used(self._game)
        self._env.reset(seed=seed)
        for move in self._moves:
            if self._env.step(move)[2]:
                self._env.reset(seed=seed + 1000)
        return time.process_time() - python + used(self._game) - game

    def close(self) -> None:
        """End the game."""
        self._env.close()


def used(process: psutil.Process) -> float:
    """CPU seconds of a process: to the nanosecond on Linux, elsewhere to the hundredth."""
    try:
        threads = list(Path(f"/proc/{process.pid}/task").iterdir())
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9
    except OSError:
        times = process.cpu_times()
        return times.user + times.system


def stock() -> gymnasium.Env[Any, Any]:
    """The wrapper as its package registers it; only its files go elsewhere."""
    return _stock()


def stock_64() -> gymnasium.Env[Any, Any]:
    """The wrapper giving what ours gives: what stands above the status bar, resized by area."""
    return gymnasium.wrappers.TransformObservation(_stock(render_hud=True), _small, None)


def _stock(**settings: Any) -> gymnasium.Env[Any, Any]:
    import vizdoom.gymnasium_wrapper  # noqa: F401

    settings["doom_config_path"] = str(Path(tempfile.mkdtemp()) / "game.ini")
    return gymnasium.make("VizdoomTakeCover-v1", disable_env_checker=True, **settings).unwrapped


def _small(observation: dict[str, Any]) -> Any:
    picture = Image.fromarray(observation["screen"])
    return np.asarray(picture.resize((64, 64), Image.Resampling.BOX, (0, 0, 320, 200)))


def measure() -> list[dict[str, Any]]:
    """Interleaved rounds of the same moves; medians of the rounds' ratios."""
    # One core for all: between cores a message costs more CPU time than on one. Batch work, as the
    # engine's workers are, for all: the stock wrapper is as fast without.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    choices = np.random.default_rng(0).integers(3, size=STEPS)
    ours = Player(TakeCover, list(np.array([[0], [1], [-1]], np.float32)[choices]))
    peers = [Player(make, choices.tolist()) for make in (stock, stock_64)]
    players = (ours, *peers)
    times = np.array([[player.seconds(seed) for player in players] for seed in range(ROUNDS)])
    for player in players:
        player.close()
    names = ("the stock wrapper", "the stock wrapper resized to 64×64")
    return [_line(name, times[:, 0], times[:, k]) for k, name in enumerate(names, start=1)]


def _line(name: str, ours: Times, peer: Times) -> dict[str, Any]:
    ratio = float(np.median(peer / ours))
    return {
        "name": f"TakeCover against {name}",
        "ours": round(STEPS / float(np.median(ours))),
        "peer": round(STEPS / float(np.median(peer))),
        "unit": "steps/CPU-s",
        "ratio": round(ratio, 2),
        "target": TARGET,
        "met": ratio >= TARGET,
    }


if __name__ == "__main__":
    for row in measure():
        print(row)
