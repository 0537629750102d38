"""The folder ``fast`` holds accelerations and nothing else: without it all runs, on the textbook.

A copy of the source loses it. Then V is trained and encodes, M is trained and dreams, and C evolves
in reality.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from world_models.schema import read_yaml

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow

TINY = {
    "rollouts": {"episodes": 3, "max_steps": 30, "shard_episodes": 2},
    "vae": {"steps": 2, "batch_size": 4, "validation_frames": 16, "validate_every": 2},
    "mdnrnn": {
        "steps": 2,
        "batch_size": 2,
        "sequence_length": 8,
        "validate_every": 2,
        "hidden_size": 16,
        "reward_head": True,
        "end_head": True,
    },
    "evolve": {"population": 4, "generations": 1, "max_steps": 10, "validation_episodes": 1},
}
INPUTS = {
    "rollouts": (),
    "vae": ("rollouts",),
    "encode": ("rollouts", "vae"),
    "mdnrnn": ("latents",),
    "evolve": ("vae", "mdnrnn"),
}
MADE = {"encode": "latents"}
SETTINGS = {"WORLD_MODELS_WORKERS": "1", "WORLD_MODELS_TRACKING": "off"}
STAGES = """
import importlib, json, sys
from world_models.stages.command import main
for stage, words in json.loads(sys.argv[1]).items():
    main(importlib.import_module(f"world_models.stages.{stage}").STAGE, words)
"""
DREAM = """
import gymnasium, numpy
made = {"checkpoint": "mdnrnn", "vae": "vae", "render_mode": "rgb_array"}
dreams = gymnasium.make_vec("world_models:WorldModels/Dream-v0", num_envs=3, **made)
seen, _ = dreams.reset(seed=1)
for _ in range(4):
    seen, rewards, *_ = dreams.step(dreams.action_space.sample())
assert numpy.isfinite(seen).all() and numpy.isfinite(rewards).all()
assert dreams.render()[0].shape == (64, 64, 3)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The source without ``fast``, and parameters for a run of seconds."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("fast"))
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    parameters = read_yaml(ROOT / "params.yaml")
    for stage, values in TINY.items():
        parameters["carracing"][stage] |= values
    with (tmp_path / "params.yaml").open("w") as file:
        YAML(typ="safe").dump(parameters, file)
    return tmp_path


def python(project: Path, *arguments: str) -> None:
    hidden = ("DVC_", "MLFLOW_", "WORLD_MODELS_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=project,
        env={**kept, "PYTHONPATH": "src", **SETTINGS},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]


def words(stage: str) -> list[str]:
    """The arguments of a stage's command line."""
    out = MADE.get(stage, stage)
    inputs = [word for kind in INPUTS[stage] for word in (f"--{kind}", kind)]
    outs = ["--out", out, "--metrics", f"{out}.json", "--reports", f"reports/{stage}"]
    return ["--environment", "carracing", *inputs, *outs]


def test_everything_runs_without_fast(project: Path) -> None:
    assert not (project / "src/world_models/fast").exists()
    python(project, "-c", STAGES, json.dumps({stage: words(stage) for stage in INPUTS}))
    for made in ("vae", "latents", "mdnrnn"):
        details = json.loads((project / made / "card.json").read_text())["details"]
        assert (details["formulation"], details["precision"]) == ("textbook", "float32"), made
    assert json.loads((project / "evolve/card.json").read_text())["kind"] == "controller"
    python(project, "-c", DREAM)
