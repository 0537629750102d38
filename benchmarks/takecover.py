"""TakeCover's steps a second, ours beside ViZDoom's own Gymnasium wrapper, on one core.

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

from world_models.envs.takecover.simulator import TakeCover

STEPS = 300
ROUNDS = 12
TARGET = 3.0


def stock() -> gymnasium.Env[Any, Any]:
    """The wrapper as its package registers it; only its files go elsewhere."""
    import vizdoom.gymnasium_wrapper  # noqa: F401

    settings = str(Path(tempfile.mkdtemp()) / "game.ini")
    return gymnasium.make(
        "VizdoomTakeCover-v1", disable_env_checker=True, doom_config_path=settings
    ).unwrapped


def measure() -> list[dict[str, Any]]:
    """Interleaved rounds of the same episodes; resets included; medians."""
    before = _one_core()
    moves = np.random.default_rng(0).integers(3, size=STEPS)
    ours_actions = np.array([[0], [1], [-1]], np.float32)[moves]
    ours, theirs = TakeCover(), stock()
    rates: dict[str, list[float]] = {"ours": [], "peer": []}
    for seed in range(ROUNDS):
        rates["ours"].append(_rate(ours.reset, ours.step, seed, list(ours_actions)))
        rates["peer"].append(_rate(theirs.reset, theirs.step, seed, moves.tolist()))
    ours.close()
    theirs.close()
    if before:
        os.sched_setaffinity(0, before)
    first, second = (float(np.median(rates[name][1:])) for name in ("ours", "peer"))
    ratio = float(np.median(np.array(rates["ours"][1:]) / np.array(rates["peer"][1:])))
    return [
        {
            "name": "TakeCover, one core, against the stock wrapper",
            "ours": round(first),
            "peer": round(second),
            "unit": "steps/s",
            "ratio": round(ratio, 2),
            "target": TARGET,
            "met": ratio >= TARGET,
        }
    ]


def _rate(
    reset: Callable[..., Any], step: Callable[[Any], Any], seed: int, moves: list[Any]
) -> float:
    """Steps a second over STEPS steps, new episodes included."""
    start = time.perf_counter()
    reset(seed=seed)
    for move in moves:
        if step(move)[2]:
            reset(seed=seed + 1000)
    return len(moves) / (time.perf_counter() - start)


def _one_core() -> set[int] | None:
    """Keep this process and the games that it starts on one core; what was allowed before."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    return before


if __name__ == "__main__":
    for row in measure():
        print(row)
