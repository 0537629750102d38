"""Stage evaluate: C in the genuine simulator, on seeds that nothing else used.

Reads V, M and C; writes scores beside the random policy's, every episode as a row, and recordings
of some episodes and dreams, from which stage report makes videos.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import pandas as pd

from world_models.agent import PARTS, Agent
from world_models.engine.api import Engine, Task
from world_models.engine.settings import open_engine
from world_models.evaluation import recordings, tables, tasks, trials
from world_models.evaluation.matches import Match, batches, trials_of
from world_models.evaluation.parameters import EvaluateParameters
from world_models.evaluation.recordings import Recording
from world_models.evaluation.trials import Played, RandomPlan
from world_models.seeding import episode_seeds
from world_models.stages.command import Context, Input, Outputs, Stage, main
from world_models.storage import atomic

DREAMS = 16
"""Dreams recorded: short ones follow each other in the video, until it is as long as the real."""


def run(
    parameters: EvaluateParameters,
    inputs: Mapping[str, Input],
    outputs: Outputs,
    context: Context,
) -> None:
    """Play, score and record."""
    paths = (inputs[part].path for part in PARTS)
    agent = Agent.open(*paths, environment=context.environment)
    with open_engine(context.engine) as engine:
        played = _play(parameters, agent, engine)
    table = pd.concat([tables.episodes(policy, played[policy]) for policy in ("agent", "random")])
    dreams = tables.episodes("dream", played["dream"], returns=agent.dreams_of_returns)
    with atomic.atomic_folder(outputs.reports) as folder:
        table.to_csv(folder / "episodes.csv", index=False)
        dreams.to_csv(folder / "dreams.csv", index=False)
        for name in ("agent", "dream"):
            shown = _recordings(played[name])
            if name == "agent":
                shown = [replace(one, disturbance=parameters.changed) for one in shown]
            recordings.save(folder / f"{name}.safetensors", shown)
    metrics = _metrics(table, dreams if agent.dreams_of_returns else None)
    outputs.write_metrics(metrics)


def _play(parameters: EvaluateParameters, agent: Agent, engine: Engine) -> dict[str, list[Played]]:
    p, where, theta = parameters, agent.environment, agent.controller.theta
    guess = RandomPlan(where, p.random_policy, p.batch, p.changed)
    played, dreamed, guessed = (
        episode_seeds("test", p.seed, 0, count)
        for count in (p.episodes, p.dream_episodes, p.random_episodes)
    )
    games = {
        "agent": Match(
            f"evaluate {where}",
            tasks.in_reality(agent, p.batch, p.latent, disturbance=p.changed),
            trials_of(theta, played, p.batch, record=p.videos),
        ),
        "dream": Match(
            f"dream {where}",
            tasks.in_dream(agent, p.batch, p.tau, p.ends),
            trials_of(theta, dreamed, p.batch, record=DREAMS),
        ),
        "random": Match(
            f"random {where}",
            Task(trials.setup_random, guess, trials.work_random),
            list(batches(guessed, p.batch)),
        ),
    }
    return {name: match.play(engine) for name, match in games.items()}


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
    inputs=PARTS,
    run=run,
    artifact=False,
)

if __name__ == "__main__":
    main(STAGE)
