"""``world-models gallery``: pictures of what V, M and C know."""

import sys
from argparse import Namespace
from pathlib import Path

import numpy as np

from world_models.commands.playing import open_agent
from world_models.errors import UserError
from world_models.evaluation import tasks
from world_models.evaluation.trials import Trial
from world_models.reports import gallery
from world_models.reports.style import plain_style, save
from world_models.storage import atomic
from world_models.storage.scratch import find_root

LEAST = 20
"""Steps that an episode must have to be worth a picture."""


def run(arguments: Namespace) -> int:
    """Let the agent play once, and draw."""
    agent = open_agent(arguments)
    task = tasks.in_reality(agent, 1, agent.latent)
    assert task.setup is not None
    arena = task.setup(task.payload)
    played = task.work(arena, Trial(agent.controller.theta, np.array([arguments.seed]), 1))
    arena.world.close()
    (recording,) = played.recordings
    steps = len(recording.actions)
    if steps < LEAST:
        raise UserError(
            f"The episode with seed {arguments.seed} ended after {steps} steps, too few to draw: "
            "give another --seed."
        )
    print(f"an episode of {steps} steps, return {played.outcomes.returns[0]:.1f}", file=sys.stderr)
    out: Path = arguments.out or find_root() / "reports" / agent.environment / "gallery"
    with plain_style():
        for name, figure in gallery.pictures(gallery.Played.of(agent, recording)).items():
            with atomic.atomic_file(out / f"{name}.png") as path:
                save(figure, path)
            print(out / f"{name}.png")
    return 0
