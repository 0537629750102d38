"""One run of the smoke DAG in a temporary clone, for all tests that look at its outcome."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

import smoke

ROOT = Path(__file__).resolve().parents[2]
HOOK = Path(__file__).parent / "import_hook.py"


@dataclass(frozen=True)
class Clone:
    """A clone of the project, and how to run commands in it."""

    folder: Path
    imports: Path

    def run(self, *command: str, check: bool = True, **variables: str) -> str:
        """Run ``python -m …``; returns what it printed, both streams."""
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=self.folder,
            env=self.environment(**variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, done.stdout[-4000:]
        return done.stdout

    def dvc(self, *lines: str) -> str:
        """Run DVC's commands one after another in one process, which loads DVC once."""
        return self.run("e2e_dvc", *lines, PYTHONPATH=f"src:{HOOK.parent}")

    def environment(self, **variables: str) -> dict[str, str]:
        """The environment of a user's shell in the clone."""
        hidden = ("DVC_", "MLFLOW_", "WORLD_MODELS_", "OMP_")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {**kept, "PATH": path, "PYTHONPATH": "src", **variables}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Experiments after the other tests of this folder, before the many short unit tests.

    By then another worker has reproduced the smoke DAG that they go on from. Workers take groups in
    this order with ``--no-loadscope-reorder``.
    """
    unit, experiments = ROOT / "tests/unit", Path(__file__).parent / "test_experiments.py"
    items.sort(key=lambda item: 2 if unit in item.path.parents else item.path == experiments)


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory) -> Clone:
    """The smoke DAG, reproduced once for the whole session."""
    return reproduced(tmp_path_factory, "pipeline")


@pytest.fixture(scope="session")
def spare(tmp_path_factory) -> Clone:
    """A copy of :func:`pipeline`'s clone, for tests that another worker runs meanwhile."""
    return reproduced(tmp_path_factory, "spare")


def reproduced(tmp_path_factory, name: str) -> Clone:
    """One of two equal clones; the worker that asks first makes both, the others wait for it."""
    base = tmp_path_factory.getbasetemp()
    folder = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    first, second = (Clone(folder / n, folder / "imports") for n in ("pipeline", "spare"))
    with FileLock(folder / "pipeline.lock"):
        if not second.folder.exists():
            reproduce(first)
            shutil.copytree(first.folder, folder / "copying", symlinks=True)
            (folder / "copying").rename(second.folder)
    return {"pipeline": first, "spare": second}[name]


def reproduce(clone: Clone) -> None:
    """Clone the project, apply the smoke profile and run all stages."""
    clone.imports.mkdir()
    smoke.clone(clone.folder)
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.com"]
    clone.run("world_models.cli", "profile", "smoke")
    subprocess.run([*git, "add", "-A"], cwd=clone.folder, check=True)
    commit = [*git, "commit", "-q", "--allow-empty", "-m", "Apply the smoke profile"]
    subprocess.run(commit, cwd=clone.folder, check=True)
    # Stages run with PYTHONPATH=src, so each of their processes loads this at its start.
    shutil.copy(HOOK, clone.folder / "src/sitecustomize.py")
    clone.run("dvc", "repro", IMPORTS_FOLDER=str(clone.imports))
    (clone.folder / "src/sitecustomize.py").unlink()
