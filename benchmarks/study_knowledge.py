"""What C can know of CarRacing: how much of the truth is in V's z and M's h, for a linear readout.

C is linear, so what no linear readout of its features gives, it cannot act on. An agent drives;
then V and M see its frames and actions again, and a ridge regression on some episodes tells the
truth of others: where the car is on the road, how fast it is, how the road bends ahead.

    python -m benchmarks.study_knowledge --of released/carracing/vae released/carracing/mdnrnn
"""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from world_models.agent import Agent
from world_models.envs import catalogue
from world_models.envs.carracing.genuine import car_racing
from world_models.memory.model import Memory
from world_models.seeding import episode_seeds, stream
from world_models.vision.model import Vision

Floats = NDArray[np.float64]
TILES = ((0, 2), (2, 4), (4, 6), (6, 8), (8, 10), (10, 13))
"""Stretches of road ahead, in tiles from the car; some ten tiles are in the picture."""
TRUTHS = ("offset", "heading", "speed", "turning", *(f"bend {a}-{b}" for a, b in TILES))
START, EVERY = 32, 4
"""Steps until the picture has zoomed in, and between two looks at the truth."""
HELD, PUSHED, PUSH = 20, 0.3, 0.6
"""A share of the time C's outputs are pushed by so much, for so many steps: perfect driving
alone would show one speed only for each bend."""
RIDGE = 1e-3
ASTRAY = 1.0
"""Moments off the road, or at more than so many radians to it, are left out: few and far, they
would be all that a squared error sees."""


class Drive(NamedTuple):
    """An episode."""

    frames: NDArray[np.uint8]
    """(T + 1, 64, 64, 3)."""
    actions: NDArray[np.float32]
    """(T, 3)."""
    truths: Floats
    """(looks, 10), at steps START, START + EVERY, …; columns as in TRUTHS."""


def drive(agent: Agent, seed: int) -> Drive:
    """Let the agent drive one episode, pushed now and then."""
    simulator = catalogue.create("carracing", catalogue.FAST)
    frame, _ = simulator.reset(seed=seed)
    noise, squash = stream(seed, "push"), agent.specification.actions.squash
    memory, (weight,), (bias,) = agent.memory.start(1), agent.policy.weights, agent.policy.biases
    frames, actions, truths = [frame], [], []
    push, ended = np.zeros(3), False
    while not ended:
        if len(actions) % HELD == 0:
            push = PUSH * noise.standard_normal(3) * (noise.random() < PUSHED)
        z = agent.encode(frame)[None]
        seen = np.hstack([z, *map(memory.read, agent.memory.seen(agent.controller.spec.features))])
        action = squash((seen @ weight[0] + bias[0] + push).astype(np.float32))
        agent.memory.step(memory, z, action, np.array([not actions]))
        frame, _, terminated, truncated, _ = simulator.step(action[0])
        frames.append(frame)
        actions.append(action[0])
        if len(actions) >= START and len(actions) % EVERY == 0:
            truths.append(truth(simulator.unwrapped))
        ended = terminated or truncated
    simulator.close()
    return Drive(np.array(frames), np.array(actions), np.array(truths))


def truth(simulator: Any) -> list[float]:
    """Offset from the road's middle, angle to it, speed, yaw rate, and bends ahead in radians."""
    game = simulator.game
    road = np.array([(x, y) for _, _, x, y in game.track])
    hull = game.car.hull
    place = np.array(hull.position)
    at = int(np.argmin(((road - place) ** 2).sum(axis=1)))

    def course(tile: int) -> float:
        x, y = road[(tile + 1) % len(road)] - road[(tile - 1) % len(road)]
        return float(np.arctan2(y, x))

    here = course(at)
    x, y = place - road[at]
    return [
        -np.sin(here) * x + np.cos(here) * y,
        _turned(hull.angle + np.pi / 2 - here),
        float(np.hypot(*hull.linearVelocity)),
        hull.angularVelocity,
        *(_turned(course(at + b) - course(at + a)) for a, b in TILES),
    ]


def _turned(angle: float) -> float:
    return float((angle + np.pi) % (2 * np.pi) - np.pi)


def features(vision: Vision, memory: Memory, seen: Drive) -> Floats:
    """[z, h] at the looks, float64 (looks, Z + H)."""
    z = np.concatenate(
        [vision.encode(seen.frames[i : i + 64])[0] for i in range(0, len(seen.frames), 64)]
    )
    state = memory.start(1)
    h = [state.read("h")[0].copy()]
    for t, action in enumerate(seen.actions):
        memory.step(state, z[t : t + 1], action[None], np.array([t == 0]))
        h.append(state.read("h")[0].copy())
    looks = START + EVERY * np.arange(len(seen.truths))
    return np.hstack([z[looks], np.array(h)[looks]]).astype(np.float64)


def explained(x: Floats, y: Floats, held_out: NDArray[np.bool_]) -> Floats:
    """R² of each column of y from a linear readout of x, on the rows held out."""
    readout = make_pipeline(StandardScaler(), Ridge(RIDGE * (~held_out).sum()))
    readout.fit(x[~held_out], y[~held_out])
    predicted = readout.predict(x[held_out])
    return np.asarray(r2_score(y[held_out], predicted, multioutput="raw_values"))


def main() -> None:
    """Print a table: a row for z alone and for [z, h] of each V and M."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--of", nargs=2, type=Path, action="append", required=True, metavar=("V", "M")
    )
    parser.add_argument("--driver", type=Path, default=Path("released/carracing"))
    parser.add_argument("--episodes", type=int, default=32, help="half of them are held out")
    parser.add_argument("--seed", type=int, default=902)
    a = parser.parse_args()
    agent = Agent.load(a.driver, environment="carracing")
    drives = [drive(agent, int(s)) for s in episode_seeds("validation", a.seed, 0, a.episodes)]
    truths = np.concatenate([d.truths for d in drives])
    number = np.repeat(np.arange(len(drives)), [len(d.truths) for d in drives])
    driving = (np.abs(truths[:, 0]) < car_racing.TRACK_WIDTH) & (np.abs(truths[:, 1]) < ASTRAY)
    truths, held_out, rows = truths[driving], number[driving] % 2 == 0, {}
    for v, m in a.of:
        vision, memory = Vision.load(v, "carracing"), Memory.load(m, "carracing")
        seen = np.concatenate([features(vision, memory, d) for d in drives])[driving]
        for name, part in (("z", seen[:, : vision.z_size]), ("z, h", seen)):
            rows[f"{name} of {v}, {m}"] = explained(part, truths, held_out)
    table = pd.DataFrame.from_dict(rows, orient="index", columns=list(TRUTHS))
    print(f"R² on {held_out.sum()} moments of {-(-len(drives) // 2)} episodes held out\n")
    print(table.to_markdown(floatfmt=".2f"))


if __name__ == "__main__":
    main()
