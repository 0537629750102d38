"""What ``watch`` and ``dream`` share: the agent, its episodes, and the report of them."""

import json
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np

from world_models.agent import Agent, find
from world_models.engine.api import Task
from world_models.errors import UserError
from world_models.evaluation import tables
from world_models.evaluation.trials import Played, Trial
from world_models.progress import progress

FILMED = 8
"""Episodes that a video shows at most."""


def suffix(video: Path | None) -> None:
    """Refuse a video of unknown kind before anything is played.

    Raises:
        UserError: neither ``.mp4`` nor ``.gif``, or its folder is missing.
    """
    if video is None:
        return
    if video.suffix not in (".mp4", ".gif"):
        raise UserError(f"--video {video}: give a name that ends in .mp4 or .gif.")
    if not video.absolute().parent.is_dir():
        raise UserError(f"--video {video}: the folder {video.parent} does not exist.")


def open_agent(arguments: Namespace) -> Agent:
    """V, M and C from the folder named, else from where they are found, which stderr says.

    Raises:
        InputError: one is missing or damaged; the message says how to get it.
    """
    models: Path | None = arguments.models
    if models is None:
        models = find(arguments.environment)
        print(f"playing the agent in {models}", file=sys.stderr)
    return Agent.load(models, environment=arguments.environment)


def play(arguments: Namespace, agent: Agent, task: Task) -> list[Played]:
    """Play the episodes, seeds S, S + 1, …, in this process."""
    batch: int = task.payload.world.num_envs
    assert task.setup is not None
    arena = task.setup(task.payload)
    seeds = arguments.seed + np.arange(arguments.episodes, dtype=np.int64)
    filmed = FILMED if arguments.video is not None else 0
    played = []
    with progress(len(seeds), f"{arguments.command} {agent.environment}") as bar:
        for start in range(0, len(seeds), batch):
            part = seeds[start : start + batch]
            record = max(0, min(filmed - start, len(part)))
            played.append(task.work(arena, Trial(agent.controller.theta, part, record)))
            bar.advance(len(part))
    arena.world.close()
    return played


def report(
    arguments: Namespace, played: list[Played], *, returns: bool = True, **settings: float
) -> None:
    """Print each episode and, of two or more, the mean with its standard error.

    Args:
        arguments: of the command line.
        played: the episodes.
        returns: False for dreams without returns: the mean is of their lengths.
        settings: for ``--json``.
    """
    table = tables.episodes(arguments.command, played, returns=returns).drop(columns="policy")
    score = tables.summary(table) if len(table) > 1 else None
    measure = "return" if returns else "length"
    if arguments.json:
        content = {"environment": arguments.environment, "measure": measure, **settings}
        content["episodes"] = table.to_dict("records")
        if score is not None:
            content |= {"mean": score.mean, "sd": score.sd, "se": score.se, "n": score.n}
        print(json.dumps(content, indent=2))
        return
    print(table.to_string(index=False, float_format=lambda x: f"{x:.1f}"))
    if score is not None:
        print(f"mean {measure} {score}")
