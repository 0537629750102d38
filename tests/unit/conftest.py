"""An untrained agent of TakeCover with small V, M and C, as artifacts: quick, but all real."""

from pathlib import Path

import numpy as np
import pytest
import torch

from world_models.controller.model import Controller
from world_models.controller.policy import ControllerSpec, count
from world_models.memory import model as memory_model
from world_models.memory.network import MDNRNN
from world_models.memory.sizes import Sizes
from world_models.storage import artifact, tensors
from world_models.vision import model as vision_codec
from world_models.vision.network import PAPER_CHANNELS, VAE


def _create(folder: Path, kind: str, details: dict[str, object], *upstream: str):
    """An artifact made from those of the kinds ``upstream`` beside it."""
    return artifact.create(
        folder,
        kind=kind,
        environment="takecover",
        stage=artifact.STAGES[kind],
        parameters={"latent": "mean", "seed": 1},
        metrics={"loss": 1.5},
        details=details,
        upstream=[artifact.open_artifact(folder.parent / one, one) for one in upstream],
    )


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(1)
    random = np.random.default_rng(1)
    with _create(folder / "vae", "vae", {"z_size": 4}) as draft:
        arrays = vision_codec.state_arrays(VAE(4, PAPER_CHANNELS))
        tensors.save(draft / vision_codec.WEIGHTS, arrays)
    sizes = Sizes(4, 1, 8, 2, restart=True, reward_head=False, end_head=False)
    with _create(folder / "mdnrnn", "mdnrnn", sizes._asdict(), "vae") as draft:
        tensors.save(draft / memory_model.WEIGHTS, memory_model.state_arrays(MDNRNN(sizes)))
        first = {name: random.normal(size=(3, 4)).astype(np.float32) for name in ("mu", "logvar")}
        tensors.save(draft / memory_model.INITIAL, first)
    spec = ControllerSpec("zch", 20, 0, 1, bias=False)
    theta = random.normal(size=count(spec)).astype(np.float32)
    controller = Controller(spec, theta)
    details = controller.payload()[1]
    with _create(folder / "controller", "controller", details, "vae", "mdnrnn") as draft:
        controller.save(draft)
    return folder
