"""What a run's commit gives again, and what it does not: parameters, code, stages upstream."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from world_models.errors import ParameterError
from world_models.origin import changes, git
from world_models.origin.lock import Lock, leaves
from world_models.schema import Overlay
from world_models.tracking.tracker import clean

CODE = ("src", "pyproject.toml")
"""What counts as code. ``dvc.lock`` does not: DVC rewrites it while the pipeline runs."""


def describe_code(
    environment: str,
    stage: str,
    parameters: Mapping[str, Any],
    params: str = "params.yaml",
    overlay: str = "",
    inputs: Sequence[str] = (),
) -> dict[str, str]:
    """Tags: the commit and its repository, where MLflow looks for them; what differs from it.

    A run is clean when its commit alone gives it again: the files under ``src`` are the commit's
    (else ``dirty.code``); the stage's own slice of the file ``params``, with the ``overlay``'s
    changes, has the commit's values (else ``dirty.parameters``); and so has every stage upstream,
    as DVC's lock files say that it ran (else ``dirty.upstream`` names what differs). Neither
    ``dvc.lock`` nor the parameters of a stage that is not upstream make it dirty.

    Args:
        environment: key of the parameters.
        stage: the one that runs.
        parameters: what it was given.
        params: their file, from the working folder.
        overlay: as on the command line.
        inputs: paths of what it reads, from the working folder.
    """
    commit = git.ask("rev-parse", "HEAD")
    if commit is None:
        return {"dirty": "unknown"}
    code = git.changed(CODE)
    own = _committed_slice(environment, stage, params, overlay) != dict(parameters)
    upstream = _upstream(inputs, commit)
    address = git.address()
    branch = git.ask("rev-parse", "--abbrev-ref", "HEAD")
    return {
        "mlflow.source.git.commit": commit,
        **({"mlflow.source.git.repoURL": address} if address else {}),
        **({"mlflow.source.git.branch": branch} if branch and branch != "HEAD" else {}),
        "dirty": str(code or own or bool(upstream)).lower(),
        "dirty.code": str(code).lower(),
        "dirty.parameters": str(own).lower(),
        "dirty.upstream": "; ".join(upstream) or "false",
    }


def differs(environment: str, taken: Mapping[str, str], params: str = "params.yaml") -> str:
    """Which parameters of a pipeline are not the commit's, such as ``evolve.tau=1.3``.

    Args:
        environment: key of the parameters.
        taken: all that a stage and those upstream took, as ``<stage>.<key>``. What the file does
            not have, such as a stage of an experiment, is left out.
        params: their file, from the working folder.

    Returns:
        Names and values; ``nothing`` if all are the commit's.
    """
    try:
        there = dict(leaves(_committed(params)[environment]))
    except (YAMLError, KeyError, TypeError, AttributeError):
        return "unknown"
    known = {clean(key): value for key, value in there.items()}
    other = [k for k in taken if k in known and not _same(taken[k], known[k])]
    return ", ".join(f"{key}={taken[key]}" for key in other) or "nothing"


def _same(taken: str, there: Any) -> bool:
    """Whether a value as text is this one; 1 in the file is 1.0 where a float is asked for."""
    if isinstance(there, int | float) and not isinstance(there, bool):
        with suppress(ValueError):
            return float(taken) == there
    return taken == str(there)


def _upstream(inputs: Sequence[str], commit: str) -> list[str]:
    """What the stages upstream took that the commit does not have."""
    lock = Lock.read(Path())
    unknown = [f"{path}: no stage in dvc.lock made it" for path in inputs if not lock.maker(path)]
    found = [
        f"{entry.target}: {change}"
        for entry in lock.upstream(inputs)
        for change in changes.from_commit(entry, lock, commit)
    ]
    return unknown + found


def _committed_slice(
    environment: str, stage: str, params: str, overlay: str
) -> dict[str, Any] | None:
    try:
        pipeline = _committed(params)[environment]
        if overlay:
            change = Overlay.parse(overlay)
            pipeline = change.apply(pipeline, _committed(str(change.path)))
        return dict(pipeline[stage])
    except (YAMLError, ParameterError, KeyError, TypeError):
        return None


def _committed(path: str) -> dict[str, Any]:
    text = git.show("HEAD", path)
    return dict(YAML(typ="safe", pure=True).load(text)) if text else {}
