"""``world-models data import``: episodes that others collected, for V and M to learn from."""

import shlex
from argparse import Namespace

from world_models.errors import UserError
from world_models.exchange import store
from world_models.exchange.minari_import import open_source
from world_models.reports.readme.write import write_readme


def run(arguments: Namespace) -> int:
    """Write the data set, and say what it holds."""
    a = arguments
    if a.out.exists():
        raise UserError(f"{a.out} exists. Name another folder, or move that one away.")
    source = open_source(a.name, a.environment, a.key, a.root)
    card = store.store(source, a.out, a.environment, a.shard_episodes)
    write_readme(a.out)
    m, given = card.metrics, shlex.quote(str(a.out))
    print(
        f"{a.out}: {m['episodes']:,} episodes, {m['frames']:,} frames, mean return "
        f"{m['return_mean']:.4g}. Next: python -m world_models.stages.vae --rollouts {given} …"
    )
    return 0
