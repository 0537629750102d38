"""What an edit makes stale, as DVC says it, in a clone whose ``dvc.lock`` is in step."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from dvc.repo import Repo

import smoke
from world_models.experiment import Pipeline
from world_models.schema import read_yaml

pytestmark = pytest.mark.xdist_group("staleness")  # its copy is made once, on one worker
ROOT = Path(__file__).resolve().parents[2]
SOURCE = "src/world_models/"
STORED = f"{SOURCE}stages/dependencies.yaml"
BOTH = ("carracing", "takecover")
EVERY = frozenset(Pipeline.model_fields)
SIMULATE = frozenset({"rollouts", "evolve", "evaluate", "report"})
SEE = frozenset({"vae", "encode", "evolve", "evaluate", "report"})
PREDICT = frozenset({"mdnrnn", "evolve", "evaluate"})
EDITS = {
    "errors.py": (frozenset(), ()),
    "progress.py": (frozenset(), ()),
    "cli.py": (frozenset(), ()),
    "commands/results.py": (frozenset(), ()),
    "tracking/run.py": (frozenset(), ()),
    "engine/processes.py": (frozenset(), ()),
    "engine/cluster.py": (frozenset(), ()),
    "storage/scratch.py": (frozenset(), ()),
    "stages/command.py": (frozenset(), ()),
    "reports/vae.py": (frozenset({"report"}), BOTH),
    "reports/evolve.py": (frozenset({"report"}), BOTH),
    "evaluation/tables.py": (frozenset({"evaluate"}), BOTH),
    "evolution/loop.py": (frozenset({"evolve"}), BOTH),
    "vision/network.py": (SEE, BOTH),
    "vision/training.py": (frozenset({"vae"}), BOTH),
    "fast/vision/kernels.py": (SEE, BOTH),
    "memory/network.py": (PREDICT, BOTH),
    "memory/training.py": (frozenset({"mdnrnn"}), BOTH),
    "controller/model.py": (frozenset({"evolve", "evaluate"}), BOTH),
    "worlds/collect_agent.py": (frozenset(), ()),
    "envs/takecover/simulator.py": (SIMULATE, ("takecover",)),
    "envs/carracing/track.py": (SIMULATE, ("carracing",)),
    "storage/atomic.py": (EVERY, BOTH),
}
"""A file that gets a comment: the stages that are stale then, and of which environments."""


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """A clone with outputs that stand for real ones, and DVC told that they are up to date."""
    folder = tmp_path_factory.mktemp("staleness") / "clone"
    smoke.clone(folder)
    for stage in read_yaml(folder / "dvc.yaml")["stages"].values():
        outs = [*stage["do"]["outs"], *(next(iter(m)) for m in stage["do"].get("metrics", []))]
        for environment in BOTH:
            for out in (folder / out.replace("${key}", environment) for out in outs):
                path = out if out.suffix else out / "content"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("{}")
    commit = [sys.executable, "-m", "dvc", "commit", "--force", "--quiet", *nodes(EVERY, BOTH)]
    kept = {k: v for k, v in os.environ.items() if not k.startswith("DVC_")}
    subprocess.run(commit, cwd=folder, env=kept, check=True)
    assert stale(folder) == {}
    return folder


@pytest.fixture(scope="module")
def changes(clone) -> dict[str, set[str]]:
    """For each dependency that DVC finds changed after all edits at once, the stale stages."""
    for name in EDITS:
        comment(clone / SOURCE / name)
    value = read_yaml(clone / "params.yaml")["carracing"]["evolve"]["generations"]
    replace(clone / "params.yaml", f"generations: {value}", f"generations: {value + 1}")
    vizdoom = read_yaml(clone / STORED)["versions"]["takecover"]["rollouts"]["vizdoom"]
    replace(clone / STORED, f"vizdoom: {vizdoom}", f"vizdoom: {vizdoom}.1")
    return stale(clone)


def comment(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    path.write_text(f"# a comment\n{text}", encoding="utf-8")


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text, old
    path.write_text(text.replace(old, new), encoding="utf-8")


def stale(folder: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    with Repo(str(folder)) as repo:
        for name, entries in repo.status().items():
            if "experiments" in name:  # paths from the working folder; theirs have no lock here
                continue
            (changed,) = (entry["changed deps"] for entry in entries if "changed deps" in entry)
            for path in changed:
                short = path.rpartition(SOURCE)[2]
                found.setdefault(Path(short).as_posix(), set()).add(name.rpartition(":")[2])
    return found


def nodes(stages: frozenset[str], environments: tuple[str, ...]) -> set[str]:
    return {f"{stage}@{environment}" for stage in stages for environment in environments}


@pytest.mark.parametrize("name", EDITS)
def test_a_comment_makes_stale_only_what_the_file_can_change(changes, name):
    path = Path(name)
    found = {node for p in (path, *path.parents[:-1]) for node in changes.get(p.as_posix(), ())}
    assert found == nodes(*EDITS[name])


def test_parameters_and_versions_are_of_the_stages_that_use_them(changes):
    (params,) = (nodes_ for path, nodes_ in changes.items() if path.endswith("params.yaml"))
    assert params >= {"evolve@carracing"}
    assert {node.partition("@")[0] for node in params} == {"evolve"}
    assert changes["stages/dependencies.yaml"] == nodes(SIMULATE, ("takecover",))
