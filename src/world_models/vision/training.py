"""V's training: its losses, learning rate and batches, for the harness that V and M share."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from world_models.devices import DeviceSettings
from world_models.formulations import Choice, choose
from world_models.training.fit import Log, fit
from world_models.training.module import Plan, Row, Training
from world_models.vision import formulation
from world_models.vision.data import Batch, FrameStream, as_batch, share
from world_models.vision.loss import VAELoss, vae_loss
from world_models.vision.network import VAE, as_images
from world_models.vision.parameters import TrainingParameters, VAEParameters


def learning_rate(parameters: TrainingParameters, step: int) -> float:
    """Adam's rate at gradient step ``step``, from 0."""
    warmup, peak = parameters.warmup_steps, parameters.learning_rate
    if step < warmup:
        return peak * (step + 1) / warmup
    if parameters.schedule == "constant":
        return peak
    done = (step - warmup) / max(parameters.steps - warmup, 1)
    return peak * 0.5 * (1 + math.cos(math.pi * done))


def in_memory_order(weight: Tensor) -> Tensor:
    """A view of a channels-last weight, or of its gradient, in the order of memory; a leaf.

    Adam's fused kernel copies tensors of any other order back and forth, which takes it twice the
    time.
    """
    return (weight.permute(0, 2, 3, 1) if weight.dim() == 4 else weight).detach()


class VisionTraining(Training[Batch]):
    """Gradient steps on V."""

    name = "vae"
    parts = ("loss", "reconstruction", "kl")

    def __init__(
        self,
        network: VAE,
        parameters: VAEParameters,
        choice: Choice,
        data: FrameStream,
        fixed: Batch,
    ) -> None:
        p, size = parameters, parameters.batch_size
        plan = Plan(p.steps, p.validate_every, p.gradient_clip, partial(learning_rate, p))
        parts = [slice(first, first + size) for first in range(0, len(fixed.frames), size)]
        held_out = [Batch(fixed.frames[part], fixed.noise[part]) for part in parts]
        super().__init__(network, plan, held_out)
        self._vae, self._choice, self._frames = parameters, choice, data

    @contextmanager
    def open_losses(self) -> Iterator[Callable[[Batch], VAELoss]]:
        """V's losses on a batch."""
        assert isinstance(self.network, VAE)
        p = self._vae
        with formulation.open_training(self.network, self._choice) as model:

            def losses(batch: Batch) -> VAELoss:
                found = model(batch.frames, batch.noise)
                return vae_loss(as_images(batch.frames), *found, p.kl_tolerance, p.sharpness)

            yield losses

    def batches(self, start: int, rank: int, world: int) -> Iterator[Batch]:
        """Random frames with the noise that z is drawn with: a device's share of each batch."""
        p, frames = self._vae, self._frames
        rows = share(p.batch_size, rank, world)
        for step, found in enumerate(frames.batches(p.batch_size, start, p.steps), start):
            yield as_batch(found[rows], frames.noise(step, p.batch_size, p.z_size)[rows])

    def note(self, row: Row) -> str:
        """The two parts of the held-out loss."""
        error, kl = row["validation_reconstruction"], row["validation_kl"]
        return f"held out: squared error {error:.1f}, KL {kl:.1f}"

    def weights(self) -> list[Tensor]:
        """Views of V's weights, as Adam reads them fastest."""
        self._views = [in_memory_order(weight) for weight in self.network.parameters()]
        return self._views

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Hand the gradients over to Adam's views."""
        for view, weight in zip(self._views, self.network.parameters(), strict=True):
            assert weight.grad is not None
            view.grad = in_memory_order(weight.grad)

    def optimizer_zero_grad(self, *_: Any) -> None:
        """The gradients are the network's; the optimizer holds views of them."""
        self.network.zero_grad()


def train(
    network: VAE,
    parameters: VAEParameters,
    frames: FrameStream,
    held_out: Batch,
    folder: Path,
    devices: DeviceSettings,
    log: Log | None = None,
) -> list[Row]:
    """Train V for ``parameters.steps`` gradient steps, from where an interrupted run was.

    Args:
        network: V, its weights in channels-last order; it is trained, and on the CPU at the end.
        parameters: of the stage.
        frames: to learn from.
        held_out: to validate on.
        folder: the scratch's; see :func:`world_models.training.fit.fit`.
        devices: where to train; the batch of a step is the same on any number of them.
        log: gets each row of the history.

    Returns:
        The history: a row for each validation.
    """
    share(parameters.batch_size, 0, devices.devices * devices.num_nodes)
    choice = training_choice(parameters, devices)
    training = VisionTraining(network, parameters, choice, frames, held_out)
    return fit(training, folder, devices, log)


def training_choice(parameters: VAEParameters, devices: DeviceSettings) -> Choice:
    """Device and formulation of the training.

    Raises:
        UserError: the device that is asked for is not there, or the formulation does not fit.
    """
    shapes = {"z_size": parameters.z_size, "channels": parameters.channels}
    return choose("V", shapes, devices.device)
