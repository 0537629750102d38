"""Stage assess by its own command line: a small real agent in both of its worlds."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from world_models.schema import read_yaml

pytestmark = pytest.mark.xdist_group("assess")  # its agent plays once, on one worker
ROOT = Path(__file__).resolve().parents[3]
VALUES = {
    "episodes": 10,
    "max_steps": 400,
    "latent": "sample",
    "renderer": "fast",
    "dreams": 6,
    "tau": 1.0,
    "frames": 50,
    "ends": "threshold",
    "seed": 9,
}


def assess(models: Path, folder: Path, workers: int) -> dict:
    parameters = read_yaml(ROOT / "params.yaml")
    parameters["takecover"]["assess"] = VALUES
    with (folder / "params.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump(parameters, file)
    command = [sys.executable, "-m", "world_models.stages.assess", "--environment", "takecover"]
    for name in ("vae", "mdnrnn", "controller"):
        command += [f"--{name}", str(models / name)]
    command += ["--metrics", str(folder / "assess.json"), "--reports", str(folder / "reports")]
    settings = {"WORLD_MODELS_WORKERS": str(workers), "WORLD_MODELS_TRACKING": "off"}
    subprocess.run(command, check=True, cwd=folder, env=os.environ | settings)
    return json.loads((folder / "assess.json").read_text())


@pytest.fixture(scope="module")
def made(models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("assess")
    return folder, assess(models, folder, 1)


def test_two_workers_give_the_same_figures(models, made, tmp_path):
    assert assess(models, tmp_path, 2) == made[1]


def test_survival_in_both_worlds_falls_from_one(made):
    folder, metrics = made
    survival = pd.read_csv(folder / "reports" / "survival.csv")
    for world in ("observed", "dreamed"):
        assert (np.diff(survival[world]) <= 0).all()
        assert 0 <= survival[world].iloc[-1] <= survival[world].iloc[0] <= 1
    assert survival["observed"].sum() == pytest.approx(metrics["life"], rel=0.1)


def test_m_is_judged_on_what_c_did(made):
    folder, metrics = made
    assert {"nll", "nll_marginal", "reconstruction", "dreamed_life"} <= metrics.keys()
    risk = pd.read_csv(folder / "reports" / "risk.csv")
    assert risk["steps"].sum() <= 10 * 400
    assert (risk["observed"] * risk["steps"]).sum() == pytest.approx(metrics["died"] * 10)
