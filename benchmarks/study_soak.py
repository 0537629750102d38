"""Whether anything grows: memory, open files, threads, temporary files; and whether speed stays.

Run it as ``python benchmarks/study_soak.py``: half a million steps of each world by its random
policy, then 2,000 generations of a small dream on the engine's own worker processes.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import torch

from world_models.controller.policy import ControllerSpec, count
from world_models.engine.processes import ProcessEngine
from world_models.envs import catalogue
from world_models.envs.policies import make_policy
from world_models.evolution.cma_es import CMAES
from world_models.memory.model import Initial, Memory
from world_models.memory.network import MDNRNN
from world_models.memory.sizes import Sizes
from world_models.seeding import stream
from world_models.worlds.arena import ArenaPlan
from world_models.worlds.build import DreamPlan
from world_models.worlds.fitness import Fitness, Rules

WORLDS = ("carracing", "takecover")
LOOKS = 10


def steps_of(environment: str, steps: int, every: int) -> Iterator[int]:
    """Play episodes; yields the number of steps so far, now and then."""
    about = catalogue.specification(environment)
    world = catalogue.create(environment, catalogue.FAST)
    done = episode = 0
    while done < steps:
        policy = make_policy("uniform", about, stream(episode, "soak"), (1, 10))
        world.reset(seed=episode)
        ended, episode = False, episode + 1
        while not ended and done < steps:
            _, _, terminated, truncated, _ = world.step(policy())
            ended, done = terminated or truncated, done + 1
            if done % every == 0:
                yield done
    world.close()


def generations(total: int, every: int) -> Iterator[int]:
    """Evolve C in a small dream; yields the number of generations so far, now and then."""
    torch.manual_seed(0)
    network = MDNRNN(Sizes(8, 1, 16, 5, restart=True, reward_head=False, end_head=False))
    first = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
    memory = Memory(network, Initial(first, np.zeros_like(first)))
    spec = ControllerSpec("zch", memory.feature_size("zch"), 0, 1, bias=False)
    plan = ArenaPlan(DreamPlan(16, "zch", 1.0, 100, memory.payload()), spec, np.tanh)
    with ProcessEngine(2, 300.0) as engine:
        fitness = Fitness(engine, plan, Rules(1, 4, 1, None, 16, 40, None, 4))
        optimiser = CMAES(
            np.zeros(count(spec)),
            sigma=0.1,
            population=8,
            variant="separable",
            random=stream(1, "evolution"),
        )
        for number in range(total):
            candidates = optimiser.ask()
            optimiser.tell(fitness(number, candidates, None).fitness)
            if (number + 1) % every == 0:
                yield number + 1


def watch(name: str, counts: Iterator[int], temporary: Path) -> pd.DataFrame:
    """A row at each look: what this process and its children hold, and the speed since the last."""
    rows, before, start = [], 0, time.perf_counter()
    for done in counts:
        now = time.perf_counter()
        every = [psutil.Process(), *psutil.Process().children(recursive=True)]
        rows.append(
            {
                "what": name,
                "done": done,
                "memory MB": round(sum(p.memory_info().rss for p in every) / 1e6),
                "open files": sum(p.num_fds() for p in every),
                "threads": sum(p.num_threads() for p in every),
                "temporary files": sum(path.is_file() for path in temporary.rglob("*")),
                "shared memory": len(list(Path("/dev/shm").iterdir())),
                "per second": round((done - before) / (now - start)),
            }
        )
        before, start = done, time.perf_counter()
    return pd.DataFrame(rows)


def main() -> None:
    """Print a table of all looks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=500_000)
    parser.add_argument("--generations", type=int, default=2_000)
    a = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        tempfile.tempdir = name
        every = a.steps // LOOKS
        soaks: dict[str, Callable[[], Iterator[int]]] = {
            world: lambda world=world: steps_of(world, a.steps, every) for world in WORLDS
        }
        soaks["generations"] = lambda: generations(a.generations, a.generations // LOOKS)
        for what, begin in soaks.items():
            print(watch(what, begin(), Path(name)).to_markdown(index=False), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
