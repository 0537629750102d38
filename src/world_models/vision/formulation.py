"""V for gradient steps, in the formulation that was chosen: the textbook network or a faster one.

Accelerated formulations are imported when they are chosen: without the folder ``fast`` this module
works all the same.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from world_models.formulations import TEXTBOOK, Choice
from world_models.vision.network import VAE, as_images


class Training(Protocol):
    """V for gradient steps."""

    def __call__(self, frames: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruct frames through z = mu + exp(logvar / 2) · noise; differentiable.

        Args:
            frames: uint8 (n, 64, 64, 3), 0–255.
            noise: N(0, 1), float32 (n, Z).

        Returns:
            The reconstruction (n, 3, 64, 64) in 0–1, mu and logvar (n, Z), float32.
        """


@contextmanager
def open_training(network: VAE, choice: Choice) -> Iterator[Training]:
    """Open V for training in this process; ``network`` is on the choice's device.

    Its weights are read at every call, and gradients flow into them.
    """
    weights = network.channels_last().weights
    if choice.formulation == TEXTBOOK:
        yield partial(_textbook, network)
    else:
        from world_models.fast.vision import training

        with training.open_training(choice.formulation, weights, torch.get_num_threads()) as model:
            yield model


def _textbook(network: VAE, frames: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    found: tuple[Tensor, Tensor, Tensor] = network(as_images(frames), noise)
    return found
