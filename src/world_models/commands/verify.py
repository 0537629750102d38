"""``world-models verify``: a released agent scored anew, beside what is published of it."""

import json
import math
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from world_models.agent import RELEASED, Agent
from world_models.engine.settings import EngineSettings, open_engine
from world_models.errors import UserError
from world_models.evaluation import published, tables, tasks
from world_models.evaluation.matches import Match, trials_of
from world_models.evaluation.published import LIMIT, Deviation, Published
from world_models.evaluation.statistics import Score
from world_models.seeding import LARGEST
from world_models.storage.scratch import find_root


def run(arguments: Namespace) -> int:
    """Play, compare, and say so: 0 if chance explains the difference, else 1."""
    name = arguments.environment
    folder = arguments.models or find_root() / RELEASED / name
    said = published.read(folder, name)
    agent = Agent.load(folder, environment=name)
    table = _play(arguments, agent, said)
    measured, before = tables.summary(table), said.score()
    deviation = Deviation.between(before, measured)
    if arguments.json:
        print(json.dumps(_content(arguments, table, before, measured, deviation), indent=2))
    else:
        print(_table(before, measured))
        print(f"\n{_verdict(deviation)}")
    return 0 if deviation.agrees else 1


def _play(arguments: Namespace, agent: Agent, said: Published) -> pd.DataFrame:
    """Every episode as a row, played as the published ones were, on all workers.

    Raises:
        UserError: there are not so many seeds.
    """
    first, episodes = arguments.first_seed, arguments.episodes
    if first + episodes - 1 > LARGEST:
        raise UserError(
            f"{episodes} episodes from seed {first} need seeds above {LARGEST}, the largest "
            "that simulators take. Give a smaller --first-seed."
        )
    seeds = first + np.arange(episodes, dtype=np.int64)
    task = tasks.in_reality(agent, said.batch, said.latent)
    units = trials_of(agent.controller.theta, seeds, said.batch)
    with open_engine(EngineSettings.from_environment()) as engine:
        played = Match(f"verify {agent.environment}", task, units).play(engine)
    return tables.episodes("agent", played)


def _table(before: Score, measured: Score) -> str:
    rows = [
        {
            "episodes": label,
            "mean ± SE": f"{score.mean:.1f} ± {score.se:.1f}",
            "SD": f"{score.sd:.1f}",
            "n": str(score.n),
            "steps": f"{score.length:.0f}",
        }
        for label, score in (("published", before), ("played now", measured))
    ]
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)


def _verdict(deviation: Deviation) -> str:
    by = f"{deviation.difference:+.1f} ± {deviation.se:.1f}"
    within = "within" if deviation.agrees else "MORE than"
    return (
        f"difference {by}, {abs(deviation.in_errors):.1f} times its standard error: {within} "
        f"the {LIMIT:g} that chance explains."
    )


def _content(
    arguments: Namespace,
    table: pd.DataFrame,
    before: Score,
    measured: Score,
    deviation: Deviation,
) -> Mapping[str, Any]:
    in_errors = deviation.in_errors
    return {
        "environment": arguments.environment,
        "first_seed": arguments.first_seed,
        "published": asdict(before),
        "measured": asdict(measured),
        "difference": deviation.difference,
        "se": deviation.se,
        "in_errors": in_errors if math.isfinite(in_errors) else None,
        "agrees": deviation.agrees,
        "episodes": table.drop(columns="policy").to_dict("records"),
    }
