"""The stage on a small dream: real engine, real scratch, bytes compared."""

import hashlib
import json

import numpy as np
import pandas as pd
import pytest
import torch

from world_models.controller.model import Controller
from world_models.engine.settings import EngineSettings
from world_models.errors import InputError, Interrupted
from world_models.evolution.parameters import EvolveParameters
from world_models.memory.model import state_arrays
from world_models.memory.network import MDNRNN, Sizes
from world_models.stages import evolve
from world_models.stages.command import Context, Input, Outputs
from world_models.storage import artifact, tensors
from world_models.storage.scratch import Scratch
from world_models.tracking.run import Tracker
from world_models.vision.network import VAE

Z = 6
PARAMETERS = EvolveParameters(
    world="dream",
    renderer=None,
    latent=None,
    tau=1.0,
    features="zch",
    hidden=0,
    variant="separable",
    population=6,
    rollouts=2,
    generations=5,
    sigma=0.5,
    max_steps=30,
    patience=None,
    batch=4,
    validate_every=2,
    validation_episodes=6,
    seed=3,
)


def save(folder, kind, stage, details, files):
    card = {"kind": kind, "environment": "takecover", "stage": stage}
    values = {"parameters": {}, "metrics": {}, "details": details}
    with artifact.create(folder, **card, **values) as temporary:
        for name, arrays in files.items():
            tensors.save(temporary / name, arrays)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    vae = {name: value.numpy() for name, value in VAE(Z).state_dict().items()}
    save(folder / "vae", "vae", "vae", {"z_size": Z}, {"weights.safetensors": vae})
    for name, z in {"mdnrnn": Z, "other": Z + 1}.items():
        sizes = Sizes(z, 1, 8, 5, restart=True, reward_head=False, end_head=False)
        network = MDNRNN(sizes)
        with torch.no_grad():
            network.restart.weight.mul_(20)  # dies now and then: a dream that depends on C
            network.restart.bias.fill_(-6)
        first = np.random.default_rng(0).normal(size=(4, z)).astype(np.float32)
        files = {
            "weights.safetensors": state_arrays(network),
            "initial.safetensors": {"mu": first, "logvar": np.zeros_like(first)},
        }
        save(folder / name, "mdnrnn", "mdnrnn", sizes._asdict(), files)
    return folder


class StopAt(Tracker):
    """Reports nothing; interrupts the stage when a generation is done."""

    def __init__(self, generation=None):
        super().__init__(None, None)
        self.generation = generation

    def log_metrics(self, metrics, step=0):
        if step == self.generation:
            raise Interrupted


def run(models, out, *, workers=1, mdnrnn="mdnrnn", tracker=None, parameters=PARAMETERS):
    folders = {"vae": models / "vae", "mdnrnn": models / mdnrnn}
    kinds = {kind: artifact.open_artifact(path, kind) for kind, path in folders.items()}
    inputs = {kind: Input(folders[kind], card) for kind, card in kinds.items()}
    outputs = Outputs(out / "controller", out / "evolve.json", out / "reports")
    settings = EngineSettings(workers, None, 300.0)
    with Scratch.open(out, "evolve", "takecover", "0" * 64) as scratch:
        context = Context("takecover", tracker or StopAt(), settings, scratch)
        evolve.run(parameters, inputs, outputs, context)


def digests(out):
    files = [p for p in sorted(out.rglob("*")) if p.is_file() and ".scratch" not in p.parts]
    return {str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def straight(models, tmp_path_factory):
    out = tmp_path_factory.mktemp("straight")
    run(models, out)
    return out


def test_writes_the_validated_mean_its_history_and_its_metrics(straight):
    metrics = json.loads((straight / "evolve.json").read_text())
    table = pd.read_csv(straight / "reports" / "history.csv")
    assert table["generation"].tolist() == [1, 2, 3, 4, 5]
    validated = table["validation"].dropna()
    assert validated.index.tolist() == [1, 3, 4]
    assert metrics["validation"] == pytest.approx(validated.max())
    assert metrics["steps"] == table["steps"].iloc[-1]
    controller = Controller.load(straight / "controller", "takecover")
    assert controller.theta.shape == (Z + 8 + 8,)
    assert controller.theta.any()
    card = artifact.open_artifact(straight / "controller", "controller")
    assert card.metrics == metrics
    assert set(card.lineage) == {"vae", "mdnrnn"}


@pytest.mark.parametrize("generation", [1, 4])
def test_interrupted_and_resumed_it_makes_the_same_bytes(models, straight, tmp_path, generation):
    with pytest.raises(Interrupted):
        run(models, tmp_path, tracker=StopAt(generation))
    assert digests(tmp_path) == {}
    resumed = StopAt(generation)  # would interrupt again if that generation were done again
    run(models, tmp_path, tracker=resumed)
    assert digests(tmp_path) == digests(straight)


def test_the_number_of_workers_changes_no_byte(models, straight, tmp_path):
    run(models, tmp_path, workers=2)
    assert digests(tmp_path) == digests(straight)


def test_another_seed_makes_another_controller(models, straight, tmp_path):
    run(models, tmp_path, parameters=PARAMETERS.model_copy(update={"seed": 4}))
    assert digests(tmp_path) != digests(straight)


def test_models_of_different_sizes_are_refused(models, tmp_path):
    with pytest.raises(InputError, match="M was trained on z of size 7"):
        run(models, tmp_path, mdnrnn="other")
    assert digests(tmp_path) == {}
