"""CarRacing with V, M and C in the loop, on all cores: the rate at which evolution lives.

Peers: Gymnasium's physics with no pictures (the bound), and a loop over one genuine environment
with plain batch-1 networks, as one writes it first.
"""

import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gymnasium.envs.box2d import car_racing

from world_models.controller.policy import ControllerSpec, count, policies
from world_models.engine import cores
from world_models.engine.api import Engine, Task
from world_models.engine.processes import ProcessEngine
from world_models.engine.settings import EngineSettings
from world_models.envs.carracing.simulator import CarRacing
from world_models.envs.carracing.specification import SPECIFICATION
from world_models.memory.model import Initial, Memory
from world_models.memory.network import MDNRNN
from world_models.memory.sizes import Sizes
from world_models.vision.model import Vision
from world_models.vision.network import PAPER_CHANNELS, VAE
from world_models.worlds import arena
from world_models.worlds.arena import ArenaPlan, Bout
from world_models.worlds.build import RealityPlan

SPEC = ControllerSpec("zh", 32 + 256, 0, 3, SPECIFICATION.bias)
SQUASH = SPECIFICATION.actions.squash
BATCH, STEPS, ROUNDS = 32, 250, 4


def networks() -> tuple[VAE, MDNRNN]:
    """The paper's V and M, untrained: speed does not depend on weights."""
    torch.manual_seed(0)
    return VAE(32, PAPER_CHANNELS), MDNRNN(Sizes(32, 3, 256, 5, False, False, False))


def actions(steps: int, seed: int) -> np.ndarray:
    """Gentle driving, float32 (steps, 3): nobody leaves the field."""
    rng = np.random.default_rng(seed)
    a = np.zeros((steps, 3), np.float32)
    a[:, 0] = 0.2 * np.sin(np.arange(steps) / 15 + rng.uniform(0, 6))
    a[:, 1] = 0.15
    return a


class Blind(car_racing.CarRacing):
    """Gymnasium's own class and physics, with no picture drawn."""

    def _render(self, mode: str) -> np.ndarray:
        return _BLANK


_BLANK = np.zeros((96, 96, 3), np.uint8)


def physics(state: None, seed: int) -> tuple[int, float]:
    """Eight episodes of Gymnasium's physics alone."""
    env, plan = Blind(), actions(STEPS, seed)
    start = time.process_time()
    for episode in range(8):
        env.reset(seed=8 * seed + episode)
        for action in plan:
            env.step(action)
    return 8 * STEPS, time.process_time() - start


@torch.no_grad()
def plain(state: None, seed: int) -> tuple[int, float]:
    """One genuine environment, textbook networks, a step at a time."""
    env, (vae, _) = CarRacing("genuine"), networks()
    vae.eval()
    cell = torch.nn.LSTMCell(35, 256)
    act = policies(SPEC, np.zeros(count(SPEC)), SQUASH)
    steps = STEPS // 2
    start = time.process_time()
    frame, _ = env.reset(seed=seed)
    h = c = torch.zeros(1, 256)
    for action in actions(steps, seed):
        image = torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 255
        mu, logvar = vae.encode(image)
        z = mu + torch.exp(logvar / 2) * torch.randn_like(mu)
        act(torch.cat([z, h], dim=1).numpy())
        h, c = cell(torch.cat([z, torch.from_numpy(action)[None]], dim=1), (h, c))
        frame, *_ = env.step(action)
    return steps, time.process_time() - start


def setup(plan: ArenaPlan) -> Any:
    """An arena that has played a little: compiled code is loaded, buffers are warm."""
    state = arena.setup(plan)
    arena.work(state, bout(0, 3))
    return state


def ours(state: Any, seed: int) -> tuple[int, float]:
    """One bout, as evolution plays it."""
    unit = bout(seed, STEPS)
    start = time.process_time()
    outcomes = arena.work(state, unit)
    return int(outcomes.lengths.sum()), time.process_time() - start


def bout(seed: int, steps: int, batch: int = BATCH) -> Bout:
    """Candidates near 0 on a shared seed: all drive for all steps."""
    theta = np.random.default_rng(seed).normal(0, 0.01, (batch, count(SPEC)))
    theta[:, -2] = -0.9  # the gas's bias: some 0.14, as in actions()
    return Bout(theta.astype(np.float32), np.full(batch, 1000 + seed), None, steps)


def arena_plan(batch: int = BATCH) -> ArenaPlan:
    """CarRacing, drawn fast, with V, M and C, ``batch`` episodes in lockstep."""
    vae, rnn = networks()
    first = np.zeros((1, 32), np.float32)
    weights = Memory(rnn, Initial(first, first)).payload()
    world = RealityPlan("carracing", "fast", batch, "zh", "sample", Vision(vae).payload(), weights)
    return ArenaPlan(world, SPEC, SQUASH)


def memory(state: Any, unit: int) -> float:
    """Peak resident memory of this process, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def rate(engine: Engine, task: Task, seed: int) -> float:
    """Steps a second of all workers together, each with one unit of its own.

    Seconds are each worker's own CPU time (its one thread never waits), so that what else runs on
    the machine counts only by the caches and the units that it takes.
    """
    units = [seed * 100 + worker for worker in range(engine.workers)]
    return sum(steps / seconds for _, (steps, seconds) in engine.run(task, units))


def measure() -> list[dict[str, object]]:
    """Three ratios, and the memory of a worker; some two minutes."""
    plan = arena_plan()
    tasks = {name: Task(None, None, work) for name, work in PEERS.items()}
    tasks["ours"] = Task(setup, plan, ours)
    timeout = EngineSettings.from_environment({}).timeout
    rates: dict[str, list[float]] = {name: [] for name in [*tasks, "alone"]}
    with ProcessEngine(1, timeout) as one, ProcessEngine(cores.usable(), timeout) as all_cores:
        for seed in range(ROUNDS + 1):  # round 0 warms up
            for name, task in tasks.items():
                rates[name].append(rate(all_cores, task, seed))
            rates["alone"].append(rate(one, tasks["ours"], seed))
        size = max(value for _, value in all_cores.run(Task(setup, plan, memory), range(1)))
    medians = {name: statistics.median(values[1:]) for name, values in rates.items()}
    count = cores.usable()
    return [
        line("CarRacing with V, M, C / physics alone", medians["ours"], medians["physics"], 0.3),
        line("CarRacing with V, M, C / plain loop", medians["ours"], medians["plain"], 20.0),
        line("a core: all at work / one alone", medians["ours"] / count, medians["alone"], 0.85),
        line("memory of a worker / stated bound", size, 1000.0, 1.0, unit="MB", most=True),
    ]


PEERS: dict[str, Callable[[Any, int], tuple[int, float]]] = {"physics": physics, "plain": plain}


def line(
    name: str,
    ours: float,
    peer: float,
    target: float,
    *,
    unit: str = "steps/s",
    most: bool = False,
) -> dict[str, object]:
    """A line of the table; ``most``: the ratio shall not exceed the target."""
    ratio = ours / peer
    met = ratio <= target if most else ratio >= target
    return {
        "name": f"evolution: {name}",
        "ours": ours,
        "peer": peer,
        "unit": unit,
        "ratio": ratio,
        "target": target,
        "met": met,
    }
