"""``world-models check``: every parameter, before DVC removes anything to run a stage."""

import difflib
import itertools
import shlex
import shutil
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path

from world_models.commands.results import experiment
from world_models.errors import ParameterError
from world_models.experiment import check, check_overlay
from world_models.origin.lock import leaves, parse_yaml
from world_models.schema import Overlay
from world_models.storage import temporary
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

    with temporary.folder() as folder:
        copy = Path(shutil.copy(params, folder))
        try:
            apply_overrides(copy, list(change))
            check(copy, copy.parent / "no profiles")
        except InvalidArgumentError as error:
            told = _unknown(params, change) or error.__cause__
            raise ParameterError(f"With {', '.join(change)}: {told}") from None
        except ParameterError as error:
            text = str(error).replace(f"{copy}: ", "")
            raise ParameterError(f"With {', '.join(change)}: {text}") from None


def _unknown(params: Path, change: Sequence[str]) -> str | None:
    """What to say of the first key that ``params`` does not have; None if it has all.

    Hydra would say how to add the key, which no stage takes.
    """
    known = dict(leaves(parse_yaml(params.read_text("utf-8"))))
    for key in (text.partition("=")[0] for text in change):
        if not any(f"{name}.".startswith(f"{key.lstrip('+~')}.") for name in known):
            close = difflib.get_close_matches(key, known, n=1)
            meant = f" Did you mean {close[0]}?" if close else ""
            return f"{params.name} has no {key}.{meant}"
    return None


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
