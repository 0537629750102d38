"""M's training: its losses, learning rate and batches, for the harness that V and M share."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from world_models.devices import DeviceSettings
from world_models.formulations import Choice, choose
from world_models.memory.cells import State
from world_models.memory.data import Batch, Steps, Tracks, Windows
from world_models.memory.dropout import mask
from world_models.memory.loss import Losses
from world_models.memory.network import MDNRNN
from world_models.memory.objective import objective
from world_models.memory.parameters import MDNRNNParameters
from world_models.memory.sizes import Sizes
from world_models.seeding import stream, torch_seed
from world_models.training.fit import Log, fit
from world_models.training.module import Plan, Row, Training


def learning_rate(parameters: MDNRNNParameters, step: int) -> float:
    """Adam's rate at gradient step ``step``, from 0."""
    first, last = parameters.learning_rate, parameters.final_learning_rate
    done = step / max(parameters.steps - 1, 1)
    if parameters.schedule == "constant":
        return first
    if parameters.schedule == "exponential":
        return float(first * (last / first) ** done)
    return float(last + 0.5 * (first - last) * (1 + np.cos(np.pi * done)))


def build(sizes: Sizes, seed: int) -> MDNRNN:
    """M with weights drawn from ``seed``; torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(seed, "weights"))
        return MDNRNN(sizes)


class MemoryTraining(Training[Batch]):
    """Gradient steps on M."""

    name = "mdnrnn"
    parts = ("nll", "restart", "reward")

    def __init__(
        self,
        network: MDNRNN,
        parameters: MDNRNNParameters,
        choice: Choice,
        training: Steps,
        held_out: Steps,
    ) -> None:
        p = parameters
        plan = Plan(p.steps, p.validate_every, p.gradient_clip, partial(learning_rate, p))
        shape = {"length": p.sequence_length, "batch_size": p.batch_size, "seed": p.seed}
        super().__init__(network, plan, [Windows(held_out, **shape).spread()])
        self._windows = (Tracks if p.stateful else Windows)(training, **shape)
        self._choice, self._settings = choice, p
        self._carried: State | None = None

    @contextmanager
    def open_losses(self) -> Iterator[Callable[[Batch], Losses]]:
        """The losses of a batch of sequences; those that go on take up the last one's memory."""
        assert isinstance(self.network, MDNRNN)
        with objective(self.network, self._choice, self._settings.restart_weight) as model:

            def losses(batch: Batch) -> Losses:
                found, after = model(batch, self._carried if batch.follows else None)
                if batch.follows is not None:
                    self._carried = after
                return found

            yield losses

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Beside the rest the memory that the next batch takes up.

        A process knows only that of its own device. So where there are several, a training that
        was interrupted goes on with an empty memory.
        """
        super().on_save_checkpoint(checkpoint)
        alone = self.trainer.world_size == 1
        checkpoint["carried"] = self._carried if alone else None

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """What :meth:`on_save_checkpoint` added."""
        super().on_load_checkpoint(checkpoint)
        self._carried = checkpoint["carried"]

    def batches(self, start: int, rank: int, world: int) -> Iterator[Batch]:
        """Random sequences, each step's from its number alone: a device's share of each batch."""
        for step in range(start, self.plan.steps):
            batch = self._windows.batch(step, rank, world)
            yield batch._replace(mask=self._mask(step, slice(rank, None, world)))

    def _mask(self, step: int, share: slice) -> Tensor | None:
        """One device's share of a batch's dropout."""
        p = self._settings
        if not p.dropout:
            return None
        whole = mask(stream(p.seed, "dropout", step), p.dropout, p.batch_size, p.hidden_size)
        return torch.from_numpy(np.ascontiguousarray(whole[share]))

    def note(self, row: Row) -> str:
        """The held-out likelihood."""
        return f"held out: NLL {row['validation_nll']:.3f}"


def train(
    network: MDNRNN,
    parameters: MDNRNNParameters,
    training: Steps,
    held_out: Steps,
    folder: Path,
    devices: DeviceSettings,
    log: Log | None = None,
) -> list[Row]:
    """Train M for ``parameters.steps`` gradient steps, from where an interrupted run was.

    Args:
        network: M; it is trained, and on the CPU at the end.
        parameters: of the stage.
        training: the steps to learn from.
        held_out: the steps to validate on.
        folder: the scratch's; see :func:`world_models.training.fit.fit`.
        devices: where to train; the batch of a step is the same on any number of them.
        log: gets each row of the history.

    Returns:
        The history: a row for each validation.
    """
    choice = training_choice(network.sizes, devices)
    module = MemoryTraining(network, parameters, choice, training, held_out)
    return fit(module, folder, devices, log)


def training_choice(sizes: Sizes, devices: DeviceSettings) -> Choice:
    """Device, formulation and precision of the training."""
    return choose("M", sizes._asdict(), devices.device)
