"""Experiments at smoke scale, on the smoke pipeline's data and models: a cell of every kind."""

import json
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("experiments")]
ROOT = Path(__file__).resolve().parents[2]
NODES = {
    "best": ["evaluate@carracing-best"],
    "controllers": ["evaluate@untrained-vm"],
    "robustness": ["evaluate@carracing-friction-20", "evaluate@takecover-noise-10"],
    "rounds": ["evaluate@takecover-rounds-s1-r2", "assess@takecover-rounds-s1-r2"],
    "seeds": ["rollouts@takecover-2", "evaluate@takecover-1"],
    "temperature": ["report@tau-10"],
}
"""Stages to reproduce; DVC reproduces what they need."""
LAST = "experiments/rounds/models/carracing-rounds-s1-r4"
"""What the best agent goes on from: here the smoke pipeline's, for three rounds are long."""


def test_every_experiment_of_this_kind_is_listed():
    assert sorted(NODES) == sorted(p.parent.name for p in ROOT.glob("experiments/*/smoke.yaml"))


@pytest.mark.parametrize("name", sorted(NODES))
def test_an_experiment_runs_at_smoke_scale(spare, name):
    folder = f"experiments/{name}"
    nodes = [f"{folder}/dvc.yaml:{node}" for node in NODES[name]]
    if name == "best":
        cells = spare.folder / folder / "cells.yaml"
        assert LAST in cells.read_text()
        cells.write_text(cells.read_text().replace(LAST, "models/carracing"))
    settings = {"WORLD_MODELS_TRACKING": "off", "WORLD_MODELS_WORKERS": "1"}
    spare.run("dvc", "repro", "--quiet", *nodes, **settings)
    # Its table has the cells that were evaluated; DVC would first run all others.
    spare.run("dvc", "repro", "--single-item", f"{folder}/dvc.yaml:scores")
    table = (spare.folder / folder / "reports/scores/scores.md").read_text()
    for cell in {node.partition("@")[2] for node in NODES[name] if "rollouts" not in node}:
        path = spare.folder / folder / "metrics" / cell / "evaluate.json"
        agent = json.loads(path.read_text())["agent"]
        assert f"| {cell} " in table
        assert agent["n"] == 2
