"""What ``world-models doctor`` finds in the project's folder: parameters, data, models, stores."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from world_models.envs import catalogue
from world_models.errors import UserError
from world_models.storage.artifact import CARD, STAGES, open_artifact

WAIT = 120
"""Seconds after which what was tried counts as hanging."""
PLACES = {
    "rollouts": "data/{}/rollouts",
    "latents": "data/{}/latents",
    "vae": "models/{}/vae",
    "mdnrnn": "models/{}/mdnrnn",
    "controller": "models/{}/controller",
}
REMOTE = """
import sys
from dvc.repo import Repo
repository = Repo()
name = repository.config["core"].get("remote")
if not name:
    sys.exit(print("none: data and models stay on this machine (docs/tutorial.md)"))
remote = repository.cloud.get_remote()
remote.fs.exists(remote.path)
print(f"{name}: {remote.path}")
"""
STORE = """
import sys
from world_models.errors import UserError
from world_models.origin.addresses import without_passwords
from world_models.tracking import reading, store
try:
    client = reading.client()
except UserError as error:
    sys.exit(str(error))
where = without_passwords(store.locate().uri)
if client is None:
    sys.exit(print(f"none yet: the first stage makes {where}"))
print(f"{where}: {len(client.search_experiments())} experiments")
"""


@dataclass(frozen=True)
class Finding:
    """One thing looked at; ``cure`` says how to mend it."""

    what: str
    found: str
    well: bool = True
    cure: str = ""


def probe(what: str, code: str, cure: str = "make setup", *arguments: str) -> Finding:
    """Try in a process of its own: what crashes or hangs there is a finding, not the end."""
    return attempt(what, [sys.executable, "-W", "ignore", "-c", code, *arguments], cure)


def attempt(what: str, command: list[str], cure: str) -> Finding:
    """Run a command; its last line is what was found."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT, check=False)
    except subprocess.TimeoutExpired:
        return Finding(what, f"no answer in {WAIT} s", well=False, cure=cure)
    lines = (done.stderr if done.returncode else done.stdout).strip().splitlines()
    if done.returncode:
        reason = lines[-1] if lines else f"ended with {done.returncode}"
        return Finding(what, reason, well=False, cure=cure)
    return Finding(what, lines[-1] if lines else "starts")


def project(root: Path) -> Iterator[Finding]:
    """Look at a project; of a folder that is none, say only that."""
    if not (root / "params.yaml").is_file():
        yield Finding("project", f"none in {root}: the rest is of a clone of it")
        return
    check = [sys.executable, "-m", "world_models.experiment", str(root / "params.yaml")]
    yield attempt("parameters", check, "mend params.yaml, or git checkout params.yaml")
    for environment in catalogue.names():
        yield _artifacts(root, environment)
    yield probe("DVC remote", REMOTE, "dvc remote list; docs/tutorial.md sets one up")
    yield probe("MLflow store", STORE, "MLFLOW_TRACKING_URI names the store (docs/settings.md)")


def _artifacts(root: Path, environment: str) -> Finding:
    """Which data sets and models of an environment are there, and whether they are whole."""
    what = f"{environment} (data)"
    found = {kind: root / place.format(environment) for kind, place in PLACES.items()}
    there = {kind: path for kind, path in found.items() if (path / CARD).exists()}
    for kind, path in there.items():
        try:
            open_artifact(path, kind, environment, verify=kind not in ("rollouts", "latents"))
        except UserError as error:
            return Finding(what, str(error), well=False, cure=f"dvc checkout {path}, or dvc pull")
    missing = [STAGES[kind] for kind in found if kind not in there]
    listed = ", ".join(there) or "none"
    more = f"; of {', '.join(missing)}: dvc pull, or dvc repro" if missing else ""
    return Finding(what, f"{listed}{more}")
