"""One controller under the fast renderer and the genuine one, on the same seeds: does it matter?

    python -m benchmarks.study_renderers carracing --episodes 100

Plays the trained agent in ``models/``, and prints both scores and the mean of the differences,
episode by episode, with its standard error. The seeds serve no stage.
"""

import argparse
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from world_models.engine.api import Engine
from world_models.engine.settings import EngineSettings, open_engine
from world_models.evaluation import tables
from world_models.evaluation.agent import Agent
from world_models.evaluation.statistics import Score
from world_models.evaluation.trials import Played, Trial
from world_models.progress import progress
from world_models.seeding import episode_seeds
from world_models.storage.artifact import open_artifact

Renderer = Literal["genuine", "fast"]
RENDERERS: tuple[Renderer, ...] = ("genuine", "fast")
SEED, BATCH = 101, 10


def play(engine: Engine, agent: Agent, renderer: Renderer, latent: Any, episodes: int) -> Any:
    """Every episode as a row, in the order of the seeds."""
    seeds = episode_seeds("test", SEED, 0, episodes)
    trials = [
        Trial(agent.controller.theta, seeds[first : first + BATCH])
        for first in range(0, episodes, BATCH)
    ]
    played: dict[int, Played] = {}
    with progress(len(trials), f"{agent.environment}, {renderer}") as bar:
        for index, result in engine.run(agent.in_reality(BATCH, latent, renderer), trials):
            played[index] = result
            bar.advance(1)
    return tables.episodes(renderer, [played[index] for index in range(len(trials))])


def row(name: str, score: Score) -> str:
    """One line of Markdown."""
    return f"| {name} | {score.mean:.1f} ± {score.se:.1f} | {score.sd:.1f} | {score.n} |"


def compare(genuine: pd.DataFrame, fast: pd.DataFrame) -> str:
    """The table."""
    assert (genuine["seed"].to_numpy() == fast["seed"].to_numpy()).all()
    difference = (fast["return"] - genuine["return"]).to_numpy()
    se = difference.std(ddof=1) / len(difference) ** 0.5
    t = difference.mean() / se if se > 0 else np.nan
    last = f"{difference.mean():+.1f} ± {se:.1f} | {difference.std(ddof=1):.1f} | t = {t:.2f}"
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
    parser.add_argument("--models", type=Path, default=Path("models"))
    arguments = parser.parse_args()
    folder = arguments.models / arguments.environment
    agent = Agent.load(
        arguments.environment, *(folder / kind for kind in ("vae", "mdnrnn", "controller"))
    )
    card = open_artifact(folder / "controller", "controller", verify=False)
    latent = "mean" if card.parameters.get("latent") == "mean" else "sample"
    with open_engine(EngineSettings.from_environment()) as engine:
        found = [play(engine, agent, r, latent, arguments.episodes) for r in RENDERERS]
    print(compare(*found))


if __name__ == "__main__":
    main()
