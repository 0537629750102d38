"""The paper's scale: what a generation of CarRacing costs, and how far more workers speed it up.

    python -m benchmarks.study_scaling

Measures on this machine how long a unit of work takes (a bout of episodes in lockstep, V, M and C
in the loop), how much that varies, what the driver spends on a unit, and what CMA-ES spends on a
generation. Then plays generations of the paper's size on 1 to 64 workers: the driver hands units
out one after the other, each to whoever is free first; a generation ends with its last unit.
"""

import statistics
import time
from dataclasses import dataclass
from heapq import heapify, heapreplace

import numpy as np

from benchmarks.evolution import SPEC, arena_plan, bout
from world_models.controller.policy import count
from world_models.engine.api import Task
from world_models.engine.processes import ProcessEngine
from world_models.evolution.cma_es import CMAES
from world_models.evolution.parameters import Variant
from world_models.seeding import stream
from world_models.worlds import arena
from world_models.worlds.arena import Bout

POPULATION, ROLLOUTS, STEPS, GENERATIONS = 64, 16, 1000, 1800
"""The paper's: candidates, episodes of each, steps of an episode at most, generations."""
WORKERS = (1, 2, 4, 8, 16, 32, 64)
BATCHES = (16, 32, 64)
DASK = 0.020
"""Seconds that a unit costs the driver of a Dask cluster, as measured over loopback."""
SAMPLE = 200
"""Steps of the bouts that are timed."""
ROUNDS, PLAYED = 6, 20
"""Bouts timed for each batch size; generations simulated."""


@dataclass(frozen=True)
class Unit:
    """What a unit costs a worker."""

    batch: int
    """Episodes."""
    seconds: float
    """Of one core, for episodes of ``STEPS`` steps."""
    spread: float
    """Standard deviation of it, as a share."""


def timed_bout(state: arena.Arena, unit: Bout) -> float:
    """CPU seconds a step and episode."""
    start = time.process_time()
    outcomes = arena.work(state, unit)
    return (time.process_time() - start) / int(outcomes.lengths.sum())


def measure_unit(batch: int) -> Unit:
    """Time bouts of ``batch`` episodes in one worker."""
    task = Task(arena.setup, arena_plan(batch), timed_bout)
    bouts = [bout(seed, SAMPLE, batch) for seed in range(ROUNDS + 1)]
    with ProcessEngine(1, 3600) as engine:
        costs = [cost for _, cost in engine.run(task, bouts)][1:]  # the first warms up
    mean = statistics.mean(costs)
    return Unit(batch, mean * batch * STEPS, statistics.stdev(costs) / mean)


def measure_driver(batch: int) -> float:
    """Seconds that the driver spends on a unit of ``batch`` episodes that is no work."""
    task = Task(None, 0, _nothing)
    units = [bout(seed, SAMPLE, batch // ROLLOUTS) for seed in range(400)]
    with ProcessEngine(1, 3600) as engine:
        list(engine.run(task, units[:10]))
        start = time.perf_counter()
        list(engine.run(task, units))
        return (time.perf_counter() - start) / len(units)


def _nothing(_state: int, unit: Bout) -> int:
    return len(unit.seeds)


def measure_cma(variant: Variant) -> float:
    """Seconds of a generation's ask and tell."""
    strategy = CMAES(
        np.zeros(count(SPEC)),
        sigma=0.1,
        population=POPULATION,
        variant=variant,
        random=stream(1, "evolution"),
    )
    rng, start, rounds = np.random.default_rng(0), time.perf_counter(), 30
    for _ in range(rounds):
        strategy.ask()
        strategy.tell(rng.random(POPULATION))
    return (time.perf_counter() - start) / rounds


def generation(seconds: np.ndarray, workers: int, driver: float) -> float:
    """Seconds until the last unit is done.

    Args:
        seconds: of each unit on a worker, in the order they are handed out.
        workers: how many there are.
        driver: seconds that the driver spends to hand one out and take its result.
    """
    free = [0.0] * min(workers, len(seconds))
    heapify(free)
    driver_free = 0.0
    for work in seconds:
        driver_free = max(driver_free, free[0]) + driver
        heapreplace(free, driver_free + work)
    return max(free)


def table(unit: Unit, driver: float, cma: float) -> list[str]:
    """Rows of Markdown, one for each number of workers."""
    rng = np.random.default_rng(0)
    units = POPULATION * ROLLOUTS // unit.batch
    rows = []
    for workers in WORKERS:
        spans = []
        for _ in range(PLAYED):
            seconds = unit.seconds * (1 + unit.spread * rng.standard_normal(units).clip(-2, 2))
            spans.append(generation(seconds, workers, driver) + cma)
        span = statistics.mean(spans)
        alone = units * (unit.seconds + driver) + cma
        days = GENERATIONS * span / 86400
        rows.append(
            f"| {unit.batch} | {workers} | {POPULATION * ROLLOUTS * STEPS / span:,.0f} "
            f"| {alone / span:.1f} | {alone / span / workers:.0%} | {days:.2f} |"
        )
    return rows


def main() -> None:
    """Measure, simulate, print."""
    cma = {variant: measure_cma(variant) for variant in ("full", "separable")}
    print({name: f"{1000 * seconds:.1f} ms a generation" for name, seconds in cma.items()})
    head = "| batch | workers | steps/s | speed-up | efficiency | days for 1,800 generations |"
    for name, of_engine in (("processes", measure_driver), ("Dask", lambda _batch: DASK)):
        print(f"\n{name}\n\n{head}\n|{'---|' * 6}")
        for batch in BATCHES:
            unit, driver = measure_unit(batch), of_engine(batch)
            print("\n".join(table(unit, driver, cma["full"])), flush=True)
            what = f"{unit.seconds:.1f} s ± {unit.spread:.0%}, driver {1000 * driver:.2f} ms"
            print(f"<!-- a unit of {batch}: {what} -->", flush=True)


if __name__ == "__main__":
    main()
