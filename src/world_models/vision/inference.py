"""V without gradients, in the formulation that was chosen: the textbook network or a faster one.

Accelerated formulations are imported when they are chosen: without the folder ``fast`` this module
works all the same.
"""

from typing import Protocol

from torch import Tensor

from world_models.formulations import TEXTBOOK, Choice
from world_models.vision.network import VAE, as_images

DIFFERENCES = {"float32": 1e-5, "bfloat16": 0.05}
"""How far (mu, logvar) of a formulation are at most from the textbook's, by precision.

Both are root mean squares over frames and dimensions: of the difference of mu, in sigmas of the
posterior that z is drawn from; of the difference of logvar, in nats. So latents that were encoded
on one device differ from those that an agent sees on another by less than their own noise.
Measured on a V after 400 gradient steps: 8e-7 and 0.009.
"""


class Inference(Protocol):
    """V without gradients."""

    def encode(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Frames uint8 (n, 64, 64, 3), 0–255, to (mu, logvar), float32 (n, Z) each."""

    def decode(self, z: Tensor) -> Tensor:
        """Map z float32 (n, Z) to images float32 (n, 3, 64, 64) in 0–1."""


class Textbook:
    """The network itself, on frames."""

    def __init__(self, network: VAE) -> None:
        self._network = network
        self.decode = network.decode

    def encode(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """As :meth:`Inference.encode`."""
        return self._network.encode(as_images(frames))


def open_inference(network: VAE, choice: Choice) -> Inference:
    """Make ``network`` ready for inference; from here on its weights must not change."""
    network.eval().requires_grad_(requires_grad=False).to(choice.device)
    weights = network.channels_last().weights
    if choice.formulation == TEXTBOOK:
        return Textbook(network)
    from world_models.fast.vision import inference

    return inference.open_inference(choice.formulation, weights)
