"""``world-models check``: every parameter, before DVC removes anything to run a stage."""

import itertools
import shlex
import shutil
import tempfile
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path

from world_models.commands.results import experiment
from world_models.errors import ParameterError
from world_models.experiment import check, check_overlay
from world_models.schema import Overlay
from world_models.storage.scratch import find_root

PARAMS = "params.yaml"


def run(arguments: Namespace) -> int:
    """Validate ``params.yaml`` with all profiles, with changes, and experiments' parameters."""
    root = find_root().resolve()
    check(root / PARAMS, root / "configs")
    said = [f"{PARAMS} with all profiles"]
    sweep = list(combinations(arguments.set_param))
    for change in sweep:
        _check_changed(root / PARAMS, change)
    said += [f"{len(sweep)} with -S"] if sweep else []
    for name in arguments.experiments:
        cells = set(overlays(root, experiment(name)))
        for environment, overlay in cells:
            check_overlay(root / PARAMS, environment, overlay)
        said.append(f"{len(cells)} of {name}")
    print(f"parameters are valid: {', '.join(said)}")
    return 0


def combinations(changes: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Every combination of changes, in the words of ``dvc exp run -S``; none of no changes.

    Raises:
        ParameterError: a change is not written ``KEY=VALUE``.
    """
    if not changes:
        return
    from dvc.utils.hydra import get_hydra_sweeps
    from hydra.errors import HydraException

    try:
        sweeps = get_hydra_sweeps({PARAMS: list(changes)})
    except HydraException as error:
        raise ParameterError(f"-S {' -S '.join(changes)}: write KEY=VALUE. {error}") from None
    yield from (tuple(sweep[PARAMS]) for sweep in sweeps)


def _check_changed(params: Path, change: Sequence[str]) -> None:
    """Validate a copy of ``params`` with the changes made, as DVC makes them."""
    from dvc.exceptions import InvalidArgumentError
    from dvc.utils.hydra import apply_overrides

    with tempfile.TemporaryDirectory(prefix="world-models-") as folder:
        copy = Path(shutil.copy(params, folder))
        try:
            apply_overrides(copy, list(change))
            check(copy, copy.parent / "no profiles")
        except InvalidArgumentError as error:
            raise ParameterError(f"With {', '.join(change)}: {error.__cause__}") from None
        except ParameterError as error:
            text = str(error).replace(f"{copy}: ", "")
            raise ParameterError(f"With {', '.join(change)}: {text}") from None


def overlays(root: Path, folder: Path) -> Iterator[tuple[str, Overlay]]:
    """Environment and overlay of each stage of an experiment, as DVC resolves them."""
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        commands = [stage.cmd for stage in repo.stage.load_all(str(folder / "dvc.yaml"))]
    for command in commands:
        options = dict(itertools.pairwise(shlex.split(command)))
        if "--overlay" in options:
            given = Overlay.parse(options["--overlay"])
            yield options["--environment"], Overlay(root / given.path, given.keys)
