"""``world-models results``: the README's table, or an experiment's."""

from argparse import Namespace
from pathlib import Path

import pandas as pd

from world_models.errors import UserError
from world_models.reports import cells, costs, results
from world_models.storage import atomic
from world_models.storage.scratch import find_root


def run(arguments: Namespace) -> int:
    """Print the table, or write it into a file between its markers; draw an experiment's."""
    if arguments.experiment is None:
        if arguments.costs:
            raise UserError("--costs is of an experiment: world-models results NAME --costs.")
        table = results.table(arguments.metrics)
    else:
        folder = experiment(arguments.experiment)
        if arguments.costs:
            _write_costs(folder)
        if arguments.draw is not None:
            cells.write(folder, arguments.draw)
        table = cells.table(cells.load(folder), cells.published(folder))
    if arguments.write is None:
        print(table)
    else:
        results.write(arguments.write, table, arguments.experiment)
    return 0


def _write_costs(folder: Path) -> None:
    from world_models.tracking.costs import core_hours  # MLflow takes a second to load

    owners = {costs.owner(models) for models in costs.chain(folder).values()}
    found = core_hours({folder.name, *owners})
    rows = [(*key, f"{hours:.3f}") for key, hours in found.items()]
    text = pd.DataFrame(rows, columns=["cell", "stage", "core_hours"]).to_csv(index=False)
    atomic.write(folder / costs.FILE, text.encode())


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
