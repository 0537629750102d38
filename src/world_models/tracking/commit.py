"""Where a run comes from: code, parameters, DVC's digests, and the process that made it."""

import os
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import yaml
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from world_models.errors import ParameterError
from world_models.schema import Overlay

CODE = ("src", "pyproject.toml")
"""What counts as code. ``dvc.lock`` does not: DVC rewrites it while the pipeline runs."""


def describe_code(
    environment: str,
    stage: str,
    parameters: Mapping[str, Any],
    params: str = "params.yaml",
    overlay: str = "",
) -> dict[str, str]:
    """Tags: the commit and its repository, where MLflow looks for them; what differs from it.

    ``dirty`` is true if ``dirty.code`` or ``dirty.parameters`` is.

    A run is clean when its commit alone gives it again: the files under ``src`` are the commit's,
    and the stage's own slice of the file ``params``, with the ``overlay``'s changes, has the
    commit's values. Neither ``dvc.lock`` nor another stage's parameters make it dirty.
    """
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return {"dirty": "unknown"}
    code = _changed_code()
    committed = _committed_slice(environment, stage, params, overlay)
    parameters_changed = committed != dict(parameters)
    address = _git("config", "--get", "remote.origin.url")
    branch = _git("rev-parse", "--abbrev-ref", "HEAD")
    return {
        "mlflow.source.git.commit": commit,
        **({"mlflow.source.git.repoURL": address} if address else {}),
        **({"mlflow.source.git.branch": branch} if branch and branch != "HEAD" else {}),
        "dirty": str(code or parameters_changed).lower(),
        "dirty.code": str(code).lower(),
        "dirty.parameters": str(parameters_changed).lower(),
    }


def _git(*arguments: str, **environment: str) -> str | None:
    command = ["git", *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, env=os.environ | environment
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _changed_code() -> bool:
    # An index of our own: DVC's copies for experiments carry flags that hide changes, and the
    # user's index is not ours to refresh.
    top = _git("rev-parse", "--show-toplevel")
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        _git("read-tree", "HEAD", **index)
        paths = [f":(top){name}" for name in CODE]
        status = _git("status", "--porcelain", "--untracked-files=all", "--", *paths, **index)
    return top is None or bool(status)


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
    text = _git("show", f"HEAD:./{path}")
    return dict(YAML(typ="safe", pure=True).load(text)) if text else {}


def dvc_digest(lock: Path, path: Path) -> str | None:
    """DVC's digest of an output, from ``dvc.lock``: an MD5, with ``.dir`` for a folder."""
    try:
        # libyaml's parser: ruamel's takes over a second for our ``dvc.lock``
        stages = yaml.load(lock.read_bytes(), Loader=yaml.CSafeLoader)["stages"].values()
        name = path.resolve().relative_to(lock.parent.resolve()).as_posix()
        outputs = (out for stage in stages for out in stage.get("outs", ()))
        return next((str(out["md5"]) for out in outputs if out["path"] == name), None)
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return None


def process_identity(pid: int) -> str:
    """``host pid start``: another process that gets the same number later starts later."""
    return f"{socket.gethostname()} {pid} {psutil.Process(pid).create_time():.2f}"


def is_gone(identity: str) -> bool:
    """Whether that process has ended. False for other hosts, which cannot be seen from here."""
    try:
        host, pid, _ = identity.rsplit(" ", 2)
        if host != socket.gethostname():
            return False
        ended = psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE
        return ended or process_identity(int(pid)) != identity
    except psutil.NoSuchProcess:
        return True
    except (ValueError, psutil.Error):
        return False
