"""One run of the smoke DAG in a temporary clone, for all tests that look at its outcome."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from clone import HOOK, Clone
from filelock import FileLock

import smoke

ROOT = Path(__file__).resolve().parents[2]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those of the spare clone after the others of this folder, before the many short unit tests.

    By then another worker has reproduced the smoke DAG, and nobody waits for it. Workers take
    groups in this order with ``--no-loadscope-reorder``.
    """

    def place(item: pytest.Item) -> int:
        group = item.get_closest_marker("xdist_group")
        spare = group is not None and group.args == ("spare",)
        return 2 if ROOT / "tests/unit" in item.path.parents else int(spare)

    items.sort(key=place)


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory) -> Clone:
    """The smoke DAG, reproduced once for the whole session."""
    return reproduced(tmp_path_factory, "pipeline")


@pytest.fixture(scope="session")
def spare(tmp_path_factory) -> Clone:
    """A copy of :func:`pipeline`'s clone, to be copied by tests that another worker runs."""
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
