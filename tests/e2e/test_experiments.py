"""Experiments at smoke scale, on the smoke pipeline's data and models: a cell of every kind."""

import json
import shutil
from pathlib import Path

import pytest
from clone import Clone

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("spare")]
ROOT = Path(__file__).resolve().parents[2]
NODES = {
    "best": ["evaluate@carracing-best"],
    "controllers": ["evaluate@untrained-vm"],
    "dream-driving": ["evaluate@s1-reality"],
    "joint": ["evaluate@takecover-joint-s1"],
    "robustness": ["evaluate@carracing-friction-20"],
    "rounds": ["evaluate@takecover-rounds-s1-r2", "assess@takecover-rounds-s1-r2"],
    "seeds": ["rollouts@takecover-2", "evaluate@takecover-1"],
    "temperature": ["report@tau-10"],
}
"""Stages to reproduce; DVC reproduces what they need."""
R2 = "carracing-rounds-s1-r2"
SHORTER = {
    "dream-driving": {
        f"experiments/rounds/models/{R2}": "models/carracing",
        f"experiments/rounds/data/{R2}": "data/carracing",
        "models/s1-r24}": "models/s1-r02}",
        "mdnrnn: s1-r24, controller: s1-reality": "mdnrnn: s1-r02, controller: s1-reality",
    },
}
"""What an experiment goes on from, and what it does here: many rounds are long."""


def test_every_experiment_of_this_kind_is_listed():
    assert sorted(NODES) == sorted(p.parent.name for p in ROOT.glob("experiments/*/smoke.yaml"))


@pytest.fixture(scope="module")
def folder(spare, tmp_path_factory) -> Path:
    """The experiments' folder in a clone where a cell of each was run, by one process of DVC."""
    clone = Clone(tmp_path_factory.mktemp("experiments") / "world-models", spare.imports)
    shutil.copytree(spare.folder, clone.folder, symlinks=True)
    for name, changes in SHORTER.items():
        files = [clone.folder / f"experiments/{name}/{file}" for file in ("cells.yaml", "dvc.yaml")]
        texts = [file.read_text() for file in files]
        for old, new in changes.items():
            assert any(old in text for text in texts), old
            texts = [text.replace(old, new) for text in texts]
        for file, text in zip(files, texts, strict=True):
            file.write_text(text)
    nodes = [f"experiments/{n}/dvc.yaml:{node}" for n, found in NODES.items() for node in found]
    # A table has the cells that were evaluated; DVC would first run all others.
    tables = [f"experiments/{name}/dvc.yaml:scores" for name in NODES]
    settings = {"WORLD_MODELS_TRACKING": "off", "WORLD_MODELS_WORKERS": "1"}
    commands = (f"repro --quiet {' '.join(nodes)}", f"repro --single-item {' '.join(tables)}")
    clone.dvc(*commands, **settings)
    return clone.folder / "experiments"


@pytest.mark.parametrize("name", sorted(NODES))
def test_an_experiment_runs_at_smoke_scale(folder, name):
    table = (folder / name / "reports/scores/scores.md").read_text()
    for cell in {node.partition("@")[2] for node in NODES[name] if "rollouts" not in node}:
        agent = json.loads((folder / name / "metrics" / cell / "evaluate.json").read_text())[
            "agent"
        ]
        assert f"| {cell} " in table
        assert agent["n"] == 2
