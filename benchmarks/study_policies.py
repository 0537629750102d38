"""Which random policy sees most of CarRacing: share of the track, speeds, states off the track.

Run it as ``python benchmarks/study_policies.py [EPISODES]``; the physics alone, nothing is drawn.
"""

import sys

import numpy as np
from gymnasium.envs.box2d.car_racing import CarRacing

from world_models.envs.carracing.specification import SPECIFICATION
from world_models.envs.policies import make_policy
from world_models.seeding import episode_seeds, stream

STEPS = 1000
POLICIES = {
    "uniform": ("uniform", (1, 10)),
    "brownian": ("brownian", (1, 10)),
    "held 1-10": ("held", (1, 10)),
    "held 5-25": ("held", (5, 25)),
    "held 10-50": ("held", (10, 50)),
}
FAST = 30.0  # of about 100 at full gas: a trained agent drives at 40 to 70


class Blind(CarRacing):
    """Gymnasium's CarRacing, never drawn."""

    def _render(self, mode: str) -> np.ndarray:
        return np.zeros((96, 96, 3), np.uint8)


def episode(env: Blind, behaviour: str, hold: tuple[int, int], seed: int) -> dict[str, float]:
    """What one episode saw."""
    policy = make_policy(behaviour, SPECIFICATION, stream(seed, "random policy"), hold)
    env.reset(seed=seed)
    speeds, off, spin, reward = [], [], [], 0.0
    for _ in range(STEPS):
        _, gained, terminated, _, _ = env.step(policy())
        reward += gained
        speeds.append(float(np.hypot(*env.car.hull.linearVelocity)))
        off.append(not any(wheel.tiles for wheel in env.car.wheels))
        spin.append(abs(env.car.hull.angularVelocity))
        if terminated:
            break
    return {
        "return": reward,
        "track %": 100 * env.tile_visited_count / len(env.track),
        "speeds": float(len(np.unique(np.round(speeds)))),
        "mean speed": float(np.mean(speeds)),
        "fast %": 100 * float(np.mean(np.array(speeds) > FAST)),
        "off track %": 100 * float(np.mean(off)),
        "fast on track %": 100 * float(np.mean((np.array(speeds) > FAST) & ~np.array(off))),
        "turning %": 100 * float(np.mean(np.array(spin) > 1.0)),
        "steps": float(len(speeds)),
    }


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    env = Blind()
    for name, (behaviour, hold) in POLICIES.items():
        seeds = episode_seeds("rollouts", 0, 0, count).tolist()
        rows = [episode(env, behaviour, hold, seed) for seed in seeds]
        shown = (f"{key} {np.mean([row[key] for row in rows]):.1f}" for key in rows[0])
        print(f"{name:12}", ", ".join(shown), flush=True)


if __name__ == "__main__":
    main()
