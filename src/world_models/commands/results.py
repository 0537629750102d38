"""``world-models results``: the README's table, or an experiment's."""

from argparse import Namespace
from pathlib import Path

from world_models.errors import UserError
from world_models.reports import results
from world_models.storage.scratch import find_root


def run(arguments: Namespace) -> int:
    """Print the table, or write it into a file between its markers."""
    if arguments.experiment is None:
        table = results.table(arguments.metrics)
    else:
        table = results.cells(experiment(arguments.experiment) / "metrics")
    if arguments.write is None:
        print(table)
    else:
        results.write(arguments.write, table)
    return 0


def experiment(name: str) -> Path:
    """The folder of an experiment.

    Raises:
        UserError: there is none of that name.
    """
    folder = find_root() / "experiments" / name
    if not (folder / "dvc.yaml").exists():
        known = sorted(path.parent.name for path in folder.parent.glob("*/dvc.yaml"))
        raise UserError(f"There is no experiment {name!r}. Known: {', '.join(known)}.")
    return folder
