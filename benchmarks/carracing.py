"""CarRacing on one core: beside Gymnasium's, EnvPool's, and Gymnasium's physics without pictures.

All play the same driving actions, fifty steps each in turn, so that whatever else the machine does
slows all of them alike. A rate is steps per second of processor time or of the clock, whichever is
faster for that player; resets are included.
"""

import argparse
import json
import math
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from world_models.envs.carracing.genuine import car_racing
from world_models.envs.carracing.physics import Game
from world_models.envs.carracing.simulator import CarRacing

STEPS, TURN, SPEED = 1000, 50, 30
BLANK = np.zeros((96, 96, 3), np.uint8)

Actions = NDArray[np.float32]


class Blind(car_racing.CarRacing):
    """Gymnasium's own class and physics, with no picture drawn."""

    def _render(self, mode: str) -> NDArray[np.uint8]:
        return BLANK


def drive(seed: int) -> Actions:
    """An episode's actions, float32 (STEPS, 3): along the track at 30 m/s, never to its end."""
    game = Game()
    game.reset(seed=seed)
    track = np.array(game.track)[:, 2:]
    actions = np.zeros((STEPS, 3), np.float32)
    for action in actions:
        hull = game.car.hull
        here = np.array(hull.position)
        nearest = np.hypot(*(track - here).T).argmin()
        dx, dy = track[(nearest + 5) % len(track)] - here
        error = (math.atan2(-dx, dy) - hull.angle + math.pi) % (2 * math.pi) - math.pi
        slow = math.hypot(*hull.linearVelocity) < SPEED
        action[:] = np.clip(-2 * error, -1, 1), 0.5 * slow, 0.2 * (not slow)
        if game.step(action)[2]:
            break
    return actions


def player(env: Any, seed: int, actions: Actions) -> Iterator[None]:
    """One episode of a Gymnasium environment, in turns."""
    env.reset(seed=seed)
    for i, action in enumerate(actions):
        if i % TURN == 0:
            yield
        if env.step(action)[2]:
            env.reset()


def pool_player(pool: Any, seed: int, actions: Actions) -> Iterator[None]:
    """One episode of EnvPool's; it resets itself."""
    del seed
    pool.reset()
    for i, action in enumerate(actions[:, None]):
        if i % TURN == 0:
            yield
        pool.step(action)


def envpool() -> Any:
    """EnvPool's CarRacing on one thread, or None where it is not installed."""
    try:
        import envpool
    except ImportError:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return envpool.make("CarRacing-v3", env_type="gymnasium", num_envs=1, num_threads=1)


def episode(turns: dict[str, Iterator[None]]) -> dict[str, float]:
    """Steps per second of each player over one episode, played in turns."""
    spent = {name: [0.0, 0.0] for name in turns}
    for _ in range(STEPS // TURN + 1):
        for name, turn in turns.items():
            clock, processor = time.perf_counter(), time.process_time()
            next(turn, None)
            spent[name][0] += time.perf_counter() - clock
            spent[name][1] += time.process_time() - processor
    return {name: STEPS / min(times) for name, times in spent.items()}


def measure(episodes: int = 10) -> list[dict[str, Any]]:
    """Medians over episodes, and the medians of each episode's ratios."""
    players: dict[str, tuple[Any, Callable[[Any, int, Actions], Iterator[None]]]] = {
        "ours": (CarRacing(), player),
        "ours, Gymnasium's own picture": (CarRacing("genuine"), player),
        "Gymnasium": (car_racing.CarRacing(), player),
        "Gymnasium's physics": (Blind(), player),
    }
    pool = envpool()
    if pool is not None:
        players["EnvPool, one thread"] = (pool, pool_player)
    for env, _ in players.values():
        env.reset()  # compiles, loads
    rates = []
    for seed in range(episodes):
        actions = drive(seed)
        rates.append(episode({n: play(env, seed, actions) for n, (env, play) in players.items()}))
    targets = (
        ("ours", "Gymnasium", 40.0),
        ("ours", "EnvPool, one thread", 5.0),
        ("ours", "Gymnasium's physics", 0.8),
        ("ours, Gymnasium's own picture", "Gymnasium", 2.0),
    )
    return [line(rates, *target) for target in targets if target[1] in players]


def line(rates: list[dict[str, float]], ours: str, peer: str, target: float) -> dict[str, Any]:
    """One line of the table."""
    ratio = statistics.median(rate[ours] / rate[peer] for rate in rates)
    return {
        "name": f"CarRacing{ours.removeprefix('ours')}, one core, beside {peer}",
        "ours": statistics.median(rate[ours] for rate in rates),
        "peer": statistics.median(rate[peer] for rate in rates),
        "unit": "steps/s",
        "ratio": ratio,
        "target": target,
        "met": ratio >= target,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=10, help="of 1000 steps (default: 10)")
    print(json.dumps(measure(parser.parse_args().episodes), indent=2))


if __name__ == "__main__":
    main()
