"""One controller under the fast renderer and the genuine one, on the same seeds: does it matter?

    python -m benchmarks.study_renderers carracing --episodes 100

Plays the trained agent in ``models/``, and prints both scores and the mean of the differences,
episode by episode, with its standard error. The seeds serve no stage.
"""

import argparse
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from world_models.agent import Agent
from world_models.commands.playing import open_agent
from world_models.engine.api import Engine, Task
from world_models.engine.settings import EngineSettings, open_engine
from world_models.evaluation import tables
from world_models.evaluation.matches import Match
from world_models.evaluation.statistics import Score, score
from world_models.evaluation.tasks import in_reality
from world_models.evaluation.trials import Trial
from world_models.seeding import episode_seeds

Renderer = Literal["genuine", "fast"]
RENDERERS: tuple[Renderer, ...] = ("genuine", "fast")
SEED, BATCH = 101, 10


def play(engine: Engine, agent: Agent, renderer: Renderer, task: Task, count: int) -> pd.DataFrame:
    """Every episode as a row, in the order of the seeds."""
    seeds = episode_seeds("test", SEED, 0, count)
    parts = np.split(seeds, range(BATCH, count, BATCH))
    trials = [Trial(agent.controller.theta, part) for part in parts]
    match = Match(f"{agent.environment}, {renderer}", task, trials)
    return tables.episodes(renderer, match.play(engine))


def row(name: str, score: Score) -> str:
    """One line of Markdown."""
    return f"| {name} | {score.mean:.1f} ± {score.se:.1f} | {score.sd:.1f} | {score.n} |"


def compare(genuine: pd.DataFrame, fast: pd.DataFrame) -> str:
    """The table."""
    assert (genuine["seed"].to_numpy() == fast["seed"].to_numpy()).all()
    difference = score((fast["return"] - genuine["return"]).to_numpy(), fast["length"].to_numpy())
    t = difference.mean / difference.se if difference.se > 0 else np.nan
    last = f"{difference.mean:+.1f} ± {difference.se:.1f} | {difference.sd:.1f} | t = {t:.2f}"
    lines = [
        "| frames | mean ± SE | SD | n |",
        "|---|---|---|---|",
        row("genuine", tables.summary(genuine)),
        row("fast", tables.summary(fast)),
        f"| fast − genuine, by episode | {last} |",
    ]
    return "\n".join(lines)


def main() -> None:
    """Play and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.study_renderers")
    parser.add_argument("environment", choices=["carracing", "takecover"])
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--models", type=Path, help="holds a folder for each environment")
    arguments = parser.parse_args()
    agent = open_agent(arguments)
    with open_engine(EngineSettings.from_environment()) as engine:
        found = [
            play(engine, agent, r, in_reality(agent, BATCH, agent.latent, r), arguments.episodes)
            for r in RENDERERS
        ]
    print(compare(*found))


if __name__ == "__main__":
    main()
