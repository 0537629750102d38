"""Stage assess: what V and M know of the world that C lives in.

Held-out episodes of the data say how M predicts what the data's policy does. C does other things,
and a dream that is right about random actions may be wrong about C's. So C plays here, in the
simulator and in M's dream, and M is judged on what happened.

Reads V, M and C; writes metrics, M's risk by age, and survival in both worlds, by which the rounds
of section 5 are compared.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from world_models.agent import PARTS, Agent
from world_models.engine.settings import open_engine
from world_models.evaluation import tasks
from world_models.evaluation.matches import batches
from world_models.evaluation.parameters import AssessParameters
from world_models.evaluation.trials import Trial
from world_models.memory import held_out
from world_models.memory.data import Steps, until_given_up
from world_models.progress import progress
from world_models.seeding import episode_seeds
from world_models.stages.command import Context, Input, Outputs, Stage, main
from world_models.storage import atomic
from world_models.storage.episodes import EpisodeReader, assemble, shard_info, shard_name
from world_models.storage.latents import Latents, LatentsReader, LatentsWriter
from world_models.vision.encoding import encode_episodes, write
from world_models.worlds import collect_agent
from world_models.worlds.collect import Limits
from world_models.worlds.dream_survival import HORIZON, observed

BATCH = 64
"""Frames that V encodes at once."""
DATA, LATENTS = "episodes", "latents"
"""Names of the folders in the scratch."""


def run(
    parameters: AssessParameters,
    inputs: Mapping[str, Input],
    outputs: Outputs,
    context: Context,
) -> None:
    """Let C play in both worlds, and compare."""
    p = parameters
    paths = (inputs[part].path for part in PARTS)
    agent = Agent.open(*paths, environment=context.environment)
    folder = context.scratch.folder / DATA
    with open_engine(context.engine) as engine:
        folder.mkdir(exist_ok=True)
        lengths, died = _dream(p, agent, engine)
        _play(p, agent, engine, folder)
    with EpisodeReader(folder) as reader:
        latents = _encode(agent, reader, context.scratch.folder / LATENTS)
        error = _error(agent, reader, p.frames)
    latents = until_given_up(latents, agent.memory.patience)  # as M was taught
    steps = Steps.of(latents, np.arange(latents.episodes))
    found = held_out.evaluate(agent.memory, steps, p.seed)
    metrics = held_out.metrics(found, agent.memory.end_weight) | {"reconstruction": error}
    metrics |= {"life": float(latents.lengths.mean()), "died": float(latents.terminated.mean())}
    metrics |= {"dreamed_life": float(lengths.mean()), "dreamed_died": float(died.mean())}
    horizon = min(HORIZON, int(max(latents.lengths.max(), lengths.max())))
    survival = {
        "step": np.arange(1, horizon + 1),
        "observed": observed(latents.lengths, latents.terminated, horizon),
        "dreamed": observed(lengths, died, horizon),
    }
    with atomic.atomic_folder(outputs.reports) as draft:
        pd.DataFrame(survival).to_csv(draft / "survival.csv", index=False)
        if found.logits is not None:
            held_out.risk(found, agent.memory.end_weight).to_csv(draft / "risk.csv", index=False)
    outputs.write_metrics(metrics)


def _play(p: AssessParameters, agent: Agent, engine: Any, folder: Path) -> None:
    """C's episodes in the simulator, as a data set in ``folder``."""
    limits = Limits(p.max_steps, None, 1)
    policy = (agent.controller, p.latent, p.renderer, limits, 0.0)
    task = collect_agent.task(agent.parts, *policy)
    seeds = episode_seeds("test", p.seed, 0, p.episodes)
    units = list(batches(seeds, collect_agent.LOCKSTEP))
    infos = {}
    with progress(len(units), f"assess {agent.environment} in reality") as bar:
        for k, shard in engine.run(task, units):
            atomic.write(folder / shard_name(k), shard)
            infos[k] = shard_info(shard_name(k), shard)
            bar.advance(1)
    assemble(folder, [infos[k] for k in range(len(units))])


def _dream(p: AssessParameters, agent: Agent, engine: Any) -> tuple[Any, Any]:
    """Lengths, int64 (n,), and which terminated, bool (n,), of C's dreams."""
    task = tasks.in_dream(agent, p.dreams, p.tau, p.ends)
    units = [Trial(agent.controller.theta, episode_seeds("test", p.seed, 0, p.dreams))]
    ((_, played),) = engine.run(task, units)
    return played.outcomes.lengths, played.outcomes.terminated


def _error(agent: Agent, reader: EpisodeReader, count: int) -> float:
    """Mean squared error of a frame, as in V's loss, over frames spread over the episodes."""
    frames = reader.spread(range(len(reader)), count)
    decoded = agent.decode(agent.encode(frames))
    errors = (frames.astype(np.float32) - decoded) / 255
    return float(np.square(errors).sum((1, 2, 3)).mean())


def _encode(agent: Agent, reader: EpisodeReader, folder: Path) -> Latents:
    """All episodes' latents, by way of files as in stage encode: frames are never all in memory."""
    folder.mkdir(exist_ok=True)
    with LatentsWriter(folder) as writer:
        for encoded in encode_episodes(agent.vision, reader, BATCH, torch.get_num_threads()):
            write(encoded, writer)
    return LatentsReader(folder).load()


STAGE = Stage(
    name="assess",
    description="Judge V and M on what happens when C acts.",
    schema=AssessParameters,
    inputs=PARTS,
    run=run,
    artifact=False,
)

if __name__ == "__main__":
    main(STAGE)
