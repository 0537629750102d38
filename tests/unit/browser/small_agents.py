"""Agents in textbook formulations whose weights are exactly float16, trained or drawn."""

from pathlib import Path

import numpy as np
import torch

from world_models.agent import Agent
from world_models.controller.model import Controller
from world_models.controller.policy import ControllerSpec, count
from world_models.formulations import Choice
from world_models.memory.model import Initial, Memory
from world_models.memory.network import MDNRNN
from world_models.memory.sizes import Sizes
from world_models.vision.model import Vision
from world_models.vision.network import VAE

ROOT = Path(__file__).resolve().parents[3]
TEXTBOOK = Choice("cpu", "textbook", "float32")
ASSETS = ROOT / "src/world_models/browser/page"


def released(environment: str, monkeypatch) -> Agent:
    """A released agent: float16 made float32."""
    monkeypatch.setenv("WORLD_MODELS_FORMULATION", "textbook")
    return Agent.load(ROOT / "released" / environment, environment=environment)


def drawn(environment: str, sizes: Sizes, features: str, hidden: int, channels=(8, 12, 20)):
    """An untrained one."""
    torch.manual_seed(3)
    random = np.random.default_rng(3)
    vae, mdnrnn = VAE(sizes.z_size, channels), MDNRNN(sizes)
    with torch.no_grad():
        for parameter in (*vae.parameters(), *mdnrnn.parameters()):
            # Biases too are drawn: a forgotten one would go unseen at 0.
            parameter.copy_((parameter + 0.1 * torch.randn_like(parameter)).half().float())
        for name in ("restart", "end"):  # rare, so that dreams last
            if getattr(mdnrnn, name) is not None:
                getattr(mdnrnn, name).bias -= 4
    mu, logvar = (half(random.normal(size=(5, sizes.z_size))) for _ in range(2))
    memory = Memory(mdnrnn, Initial(mu, logvar), TEXTBOOK, end_weight=10.0)
    inputs = memory.feature_size(features)
    spec = ControllerSpec(features, inputs, hidden, sizes.action_size, bias=bool(hidden))
    theta = half(random.normal(size=count(spec)) * 0.3)
    vision = Vision(vae, wish="textbook")
    return Agent(environment, vision, memory, Controller(spec, theta), "mean")


def half(array) -> np.ndarray:
    """Rounded to float16, as float32."""
    return np.asarray(array).astype(np.float16).astype(np.float32)
