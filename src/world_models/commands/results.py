"""``world-models results``: the README's table, or an experiment's."""

from argparse import Namespace
from pathlib import Path

from world_models.errors import UserError
from world_models.reports import cells, results
from world_models.storage.scratch import find_root


def run(arguments: Namespace) -> int:
    """Print the table, or write it into a file between its markers; draw an experiment's."""
    if arguments.experiment is None:
        table = results.table(arguments.metrics)
    else:
        folder = experiment(arguments.experiment)
        if arguments.draw is not None:
            cells.write(folder, arguments.draw)
        table = cells.table(cells.load(folder), cells.published(folder))
    if arguments.write is None:
        print(table)
    else:
        results.write(arguments.write, table, arguments.experiment)
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
