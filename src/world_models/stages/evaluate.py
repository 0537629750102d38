"""Stage evaluate: C in the genuine simulator, on seeds that nothing else used.

Reads V, M and C; writes scores beside the random policy's, every episode as a row, and recordings
of some episodes and dreams, from which stage report makes videos.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from world_models.agent import Agent
from world_models.engine.api import Engine, Task
from world_models.engine.settings import open_engine
from world_models.evaluation import recordings, tables, tasks, trials
from world_models.evaluation.parameters import EvaluateParameters
from world_models.evaluation.recordings import Recording
from world_models.evaluation.trials import Played, RandomPlan, Trial
from world_models.progress import progress
from world_models.seeding import episode_seeds
from world_models.stages.command import Context, Input, Outputs, Stage, main
from world_models.storage import atomic

Seeds = NDArray[np.int64]
DREAMS = 16
"""Dreams recorded: short ones follow each other in the video, until it is as long as the real."""


def run(
    parameters: EvaluateParameters,
    inputs: Mapping[str, Input],
    outputs: Outputs,
    context: Context,
) -> None:
    """Play, score and record."""
    paths = (inputs[kind].path for kind in ("vae", "mdnrnn", "controller"))
    agent = Agent.open(*paths, environment=context.environment)
    with open_engine(context.engine) as engine:
        played = _play(parameters, agent, engine)
    table = pd.concat([tables.episodes(policy, played[policy]) for policy in ("agent", "random")])
    dreams = tables.episodes("dream", played["dream"])
    with atomic.atomic_folder(outputs.reports) as folder:
        table.to_csv(folder / "episodes.csv", index=False)
        dreams.to_csv(folder / "dreams.csv", index=False)
        for name in ("agent", "dream"):
            shown = _recordings(played[name])
            if name == "agent":
                shown = [replace(one, disturbance=parameters.changed) for one in shown]
            recordings.save(folder / f"{name}.safetensors", shown)
    metrics = _metrics(table, dreams if agent.memory.predicts else None)
    outputs.write_metrics(metrics)


@dataclass(frozen=True)
class Match:
    """A set of episodes that one policy plays."""

    title: str
    task: Task
    units: list[Any]

    def play(self, engine: Engine) -> list[Played]:
        """All units, in order."""
        results: dict[int, Any] = {}
        with progress(len(self.units), self.title) as bar:
            for index, result in engine.run(self.task, self.units):
                results[index] = result
                bar.advance(1)
        return [results[index] for index in range(len(self.units))]


def _play(parameters: EvaluateParameters, agent: Agent, engine: Engine) -> dict[str, list[Played]]:
    p, where = parameters, agent.environment
    guess = RandomPlan(where, p.random_policy, p.batch, p.changed)
    random_seeds = list(_batches(p, p.random_episodes))
    matches = {
        "agent": Match(
            f"evaluate {where}",
            tasks.in_reality(agent, p.batch, p.latent, disturbance=p.changed),
            _trials(p, agent, p.episodes, record=p.videos),
        ),
        "dream": Match(
            f"dream {where}",
            tasks.in_dream(agent, p.batch, p.tau, p.ends),
            _trials(p, agent, p.dream_episodes, record=DREAMS),
        ),
        "random": Match(
            f"random {where}", Task(trials.setup_random, guess, trials.work_random), random_seeds
        ),
    }
    return {name: match.play(engine) for name, match in matches.items()}


def _batches(parameters: EvaluateParameters, episodes: int) -> Iterator[Seeds]:
    seeds = episode_seeds("test", parameters.seed, 0, episodes)
    for start in range(0, episodes, parameters.batch):
        yield seeds[start : start + parameters.batch]


def _trials(
    parameters: EvaluateParameters, agent: Agent, episodes: int, record: int
) -> list[Trial]:
    theta, units = agent.controller.theta, []
    for seeds in _batches(parameters, episodes):
        units.append(Trial(theta, seeds, record=max(0, min(record, len(seeds)))))
        record -= len(seeds)
    return units


def _recordings(played: list[Played]) -> list[Recording]:
    return [recording for unit in played for recording in unit.recordings]


def _metrics(table: pd.DataFrame, dreams: pd.DataFrame | None) -> dict[str, Any]:
    parts: dict[str, pd.DataFrame] = {str(name): part for name, part in table.groupby("policy")}
    if dreams is not None and len(dreams) > 1:
        parts["dream"] = dreams
    return {
        name: asdict(tables.summary(part)) | tables.figures(part) for name, part in parts.items()
    }


STAGE = Stage(
    name="evaluate",
    description="Score C in the genuine simulator, beside the random policy.",
    schema=EvaluateParameters,
    inputs=("vae", "mdnrnn", "controller"),
    run=run,
    artifact=False,
)

if __name__ == "__main__":
    main(STAGE)
