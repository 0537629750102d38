"""Which evolution learns CarRacing from the fewest steps: settings side by side, equal budgets.

    python -m benchmarks.study_evolution --vae models/carracing/vae \
        --mdnrnn models/carracing/mdnrnn --steps 500000 --seeds 3 --out reports/study

Each setting changes one thing of ``BASE``. Steps of training episodes count, validation does not.
Every run (a setting and a seed) is one unit on a core of its own; its curve is stored as soon as
it is done, and a run that stands in the CSV is not repeated.
"""

import argparse
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from world_models.controller.policy import ControllerSpec, count
from world_models.engine.api import Task
from world_models.engine.settings import EngineSettings, open_engine
from world_models.envs.carracing.specification import SPECIFICATION
from world_models.evolution.cma_es import CMAES
from world_models.evolution.parameters import Variant
from world_models.memory.model import Memory
from world_models.seeding import episode_seeds, stream
from world_models.vision.model import Vision
from world_models.worlds import arena
from world_models.worlds.arena import Arena, ArenaPlan, Bout
from world_models.worlds.build import Payload, RealityPlan

BATCH, VALIDATION, POINTS = 64, 16, 6
"""Episodes in lockstep; episodes of a validation; validations along a run."""


@dataclass(frozen=True)
class Setting:
    """What may matter."""

    variant: Variant = "separable"
    population: int = 32
    rollouts: int = 2
    sigma: float = 0.1
    patience: int | None = 60
    max_steps: int = 1000
    features: Literal["z", "zh"] = "zh"
    hidden: int = 0
    latent: Literal["sample", "mean"] = "mean"


BASE = Setting()
SETTINGS = {
    "base": BASE,
    "full": replace(BASE, variant="full"),
    "passive": replace(BASE, variant="separable-passive"),
    "vd": replace(BASE, variant="vd"),
    "vkd": replace(BASE, variant="vkd"),
    "population 16": replace(BASE, population=16),
    "population 64": replace(BASE, population=64),
    "rollouts 1": replace(BASE, rollouts=1),
    "rollouts 4": replace(BASE, rollouts=4),
    "sigma 0.03": replace(BASE, sigma=0.03),
    "sigma 0.3": replace(BASE, sigma=0.3),
    "sigma 0.5": replace(BASE, sigma=0.5),
    "patience 30": replace(BASE, patience=30),
    "patience none": replace(BASE, patience=None),
    "400 steps": replace(BASE, max_steps=400),
    "z": replace(BASE, features="z"),
    "z, hidden 40": replace(BASE, features="z", hidden=40),
    "sampled z": replace(BASE, latent="sample"),
}


@dataclass(frozen=True)
class Models:
    """V and M, as they travel to a worker."""

    vae: Payload
    mdnrnn: Payload


@dataclass(frozen=True)
class Run:
    """A unit of work."""

    name: str
    setting: Setting
    seed: int
    steps: int


def run(models: Models, unit: Run) -> list[dict[str, Any]]:
    """One evolution on one core; a row for each validation."""
    s = unit.setting
    inputs = Memory.from_arrays(*models.mdnrnn).feature_size(s.features)
    spec = ControllerSpec(s.features, inputs, s.hidden, 3, SPECIFICATION.bias)
    world = RealityPlan("carracing", "fast", BATCH, s.features, s.latent, models.vae, models.mdnrnn)
    state = arena.setup(ArenaPlan(world, spec, SPECIFICATION.actions.squash))
    strategy = CMAES(
        np.zeros(count(spec)),
        sigma=s.sigma,
        population=s.population,
        variant=s.variant,
        random=stream(unit.seed, "evolution"),
    )
    rows, steps, generation = [], 0, 0
    while steps < unit.steps:
        steps += train(state, strategy, unit, generation)
        generation += 1
        if steps >= unit.steps * (len(rows) + 1) / POINTS:
            score, sd = validate(state, strategy, unit.seed)
            row = {"name": unit.name, "seed": unit.seed, "steps": steps, "generation": generation}
            rows.append(row | {"score": score, "sd": sd, "sigma_now": strategy.sigma} | asdict(s))
    state.world.close()
    return rows


def train(state: Arena, strategy: CMAES, unit: Run, generation: int) -> int:
    """One generation; the steps it took."""
    s = unit.setting
    seeds = episode_seeds("training", unit.seed, generation * s.rollouts, s.rollouts)
    theta = strategy.ask().astype(np.float32)
    share = BATCH // s.rollouts
    outcomes = [
        arena.work(state, Bout(part, np.tile(seeds, len(part)), s.patience, s.max_steps))
        for part in np.split(theta, range(share, len(theta), share))
    ]
    returns = np.concatenate([o.returns for o in outcomes])
    strategy.tell(returns.reshape(-1, s.rollouts).mean(axis=1))
    return sum(int(o.lengths.sum()) for o in outcomes)


def validate(state: Arena, strategy: CMAES, seed: int) -> tuple[float, float]:
    """Mean and SD of the mean's returns over whole episodes."""
    seeds = episode_seeds("validation", seed, 0, VALIDATION)
    outcomes = arena.work(state, Bout(strategy.mean[None].astype(np.float32), seeds))
    return float(outcomes.returns.mean()), float(outcomes.returns.std(ddof=1))


def figure(table: pd.DataFrame) -> Figure:
    """Score against steps, a line a setting, averaged over seeds."""
    picture = Figure(figsize=(9, 6), layout="constrained")
    axes = picture.subplots()
    for name, part in table.groupby("name", sort=False):
        points = part.groupby(part.groupby("seed").cumcount())[["steps", "score"]].mean()
        axes.plot(points["steps"], points["score"], "o-", label=str(name), markersize=3)
    axes.set_xlabel("environment steps of training")
    axes.set_ylabel(f"return of the mean, {VALIDATION} episodes")
    axes.legend(fontsize="small")
    return picture


def units(names: list[str], seeds: int, steps: int, known: pd.DataFrame) -> Iterator[Run]:
    """Runs that are still to be made, seed by seed, so that a cut study is balanced."""
    done = set(zip(known["name"], known["seed"], strict=True)) if len(known) else set()
    for seed in range(1, seeds + 1):
        for name in names:
            if (name, seed) not in done:
                yield Run(name, SETTINGS[name], seed, steps)


def main() -> None:
    """Run what is missing, then print a summary."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("settings", nargs="*", choices=[[], *SETTINGS], help="default: all")
    parser.add_argument("--vae", type=Path, required=True)
    parser.add_argument("--mdnrnn", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=500_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True)
    a = parser.parse_args()
    models = Models(
        Vision.load(a.vae, "carracing").payload(), Memory.load(a.mdnrnn, "carracing").payload()
    )
    a.out.mkdir(parents=True, exist_ok=True)
    path = a.out / "study.csv"
    table = pd.read_csv(path) if path.exists() else pd.DataFrame()
    todo = list(units(a.settings or list(SETTINGS), a.seeds, a.steps, table))
    with open_engine(EngineSettings.from_environment()) as engine:
        for index, rows in engine.run(Task(None, models, run), todo):
            table = pd.concat([table, pd.DataFrame(rows)], ignore_index=True)
            table.to_csv(path, index=False)
            scores = ", ".join(f"{row['score']:.0f}" for row in rows)
            print(f"{todo[index].name}, seed {todo[index].seed}: {scores}", flush=True)
    figure(table).savefig(a.out / "study.png", dpi=110)
    last = table.groupby(["name", "seed"], sort=False).last().groupby("name", sort=False)["score"]
    print(last.agg(["mean", "std", "count"]).sort_values("mean", ascending=False).to_string())


if __name__ == "__main__":
    from benchmarks import study_evolution  # workers find functions by the module's own name

    study_evolution.main()
