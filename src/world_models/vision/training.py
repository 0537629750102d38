"""V's training with Lightning: a budget in steps, and a resume that changes no bit."""

import io
import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from filelock import FileLock
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from world_models.devices import DeviceSettings
from world_models.formulations import Choice, choose
from world_models.storage.scratch import Scratch
from world_models.vision import formulation
from world_models.vision.data import Batch, FrameStream, as_batch, share
from world_models.vision.loss import VAELoss, vae_loss
from world_models.vision.network import VAE, as_images
from world_models.vision.parameters import VAEParameters

CHECKPOINT = "training.pt"
"""Name in the scratch."""
SAVE_EVERY = 30.0
"""Seconds of work that an interruption may cost."""
PARTS = ("loss", "reconstruction", "kl")

Row = dict[str, float]
Report = Callable[[int, Row], None]
"""Told how many steps are done and the latest row of the history."""


@dataclass
class Progress:
    """Where training is; all of it is in the checkpoint."""

    step: int
    """Gradient steps done."""
    history: list[Row]
    """A row for each validation: step, learning rate, losses of training and validation."""
    sums: Tensor
    """Losses of :data:`PARTS`, summed over the steps since the last row, float64 (3,)."""
    optimizer: dict[str, Any] | None
    """Adam's state, None at the start."""


def learning_rate(parameters: VAEParameters, step: int) -> float:
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


class Training(pl.LightningModule):
    """Gradient steps on V; Lightning moves batches to devices and averages gradients."""

    def __init__(
        self,
        network: VAE,
        parameters: VAEParameters,
        progress: Progress,
        choice: Choice,
    ) -> None:
        super().__init__()
        self.network, self.parameters_, self.progress = network, parameters, progress
        self._choice = choice
        self._model: formulation.Training | None = None
        self._open = ExitStack()

    def setup(self, stage: str) -> None:
        """In the process that trains: threads are started here."""
        opened = formulation.open_training(self.network, self._choice)
        self._model = self._open.enter_context(opened)

    def teardown(self, stage: str) -> None:
        """The threads end."""
        self._open.close()

    def losses(self, batch: Batch) -> VAELoss:
        """V's losses on a batch."""
        assert self._model is not None
        found = self._model(batch.frames, batch.noise)
        return vae_loss(as_images(batch.frames), *found, self.parameters_.kl_tolerance)

    def training_step(self, batch: Batch, _index: int) -> Tensor:
        """Loss to minimise."""
        found = self.losses(batch)
        self.progress.sums += torch.stack([part.detach().cpu().double() for part in found])
        return found.total

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam in one pass over the weights, with its state where this is a resume."""
        rate = self.parameters_.learning_rate
        self._weights = [in_memory_order(weight) for weight in self.network.parameters()]
        optimizer = torch.optim.Adam(self._weights, lr=rate, fused=True)
        if self.progress.optimizer is not None:
            optimizer.load_state_dict(self.progress.optimizer)
        return optimizer

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip gradients element by element, if so asked, hand them over, set this step's rate."""
        if self.parameters_.gradient_clip is not None:
            limit = self.parameters_.gradient_clip
            torch.nn.utils.clip_grad_value_(self.network.parameters(), limit)
        for view, weight in zip(self._weights, self.network.parameters(), strict=True):
            assert weight.grad is not None
            view.grad = in_memory_order(weight.grad)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(self.parameters_, self.progress.step)

    def optimizer_zero_grad(self, *_: Any) -> None:
        """The gradients are the network's; the optimizer holds views of them."""
        self.network.zero_grad()

    @torch.no_grad()
    def validate(self, batch: Batch) -> list[float]:
        """Means of :data:`PARTS` over held-out frames, in batches of the training's size."""
        sums = torch.zeros(len(PARTS), dtype=torch.float64)
        size = self.parameters_.batch_size
        for first in range(0, len(batch.frames), size):
            part = Batch(*(tensor[first : first + size].to(self.device) for tensor in batch))
            found = torch.stack([value.cpu().double() for value in self.losses(part)])
            sums += found * len(part.frames)
        return (sums / len(batch.frames)).tolist()


class _Batches(IterableDataset[Batch]):
    """The batches from a step on; each device takes its share."""

    def __init__(self, frames: FrameStream, parameters: VAEParameters, start: int) -> None:
        self._frames, self._parameters, self._start = frames, parameters, start

    def __iter__(self) -> Iterator[Batch]:
        """Yield a share of each step's batch."""
        p = self._parameters
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        rank = torch.distributed.get_rank() if distributed else 0
        world = torch.distributed.get_world_size() if distributed else 1
        rows = share(p.batch_size, rank, world)
        batches = self._frames.batches(p.batch_size, self._start, p.steps)
        for step, frames in enumerate(batches, self._start):
            noise = self._frames.noise(step, p.batch_size, p.z_size)
            yield as_batch(frames[rows], noise[rows])


class FrameData(pl.LightningDataModule):
    """Batches for Lightning, read in the process that uses them: 2 % of a step on a CPU."""

    def __init__(self, frames: FrameStream, parameters: VAEParameters, start: int) -> None:
        super().__init__()
        self._dataset = _Batches(frames, parameters, start)

    def train_dataloader(self) -> DataLoader[Batch]:
        """The batches still to come."""
        return DataLoader(self._dataset, batch_size=None, pin_memory=torch.cuda.is_available())


class Recorder(pl.Callback):
    """Counts steps, validates, and saves, all by our own count, so that a resume fits in."""

    def __init__(self, folder: Path, held_out: Batch, report: Report | None) -> None:
        self._folder, self._held_out, self._report = folder, held_out, report
        self._saved = time.monotonic()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        """After a gradient step."""
        assert isinstance(pl_module, Training)
        progress, parameters = pl_module.progress, pl_module.parameters_
        progress.step += 1
        last = progress.step == parameters.steps
        due = last or progress.step % parameters.validate_every == 0
        if due:
            self._add_row(pl_module, progress)
        if not trainer.is_global_zero:
            return
        if last or time.monotonic() - self._saved > SAVE_EVERY:
            save(self._folder, pl_module.network, progress, trainer.optimizers[0])
            self._saved = time.monotonic()
        if self._report is not None:
            self._report(progress.step, progress.history[-1] if due else {})

    def _add_row(self, module: Training, progress: Progress) -> None:
        before = int(progress.history[-1]["step"]) if progress.history else 0
        mean = (progress.sums / (progress.step - before)).tolist()
        found = module.validate(self._held_out)
        rate = learning_rate(module.parameters_, progress.step - 1)
        row: Row = {"step": progress.step, "learning_rate": rate}
        row |= {f"training_{k}": v for k, v in zip(PARTS, mean, strict=True)}
        row |= {f"validation_{k}": v for k, v in zip(PARTS, found, strict=True)}
        progress.history.append(row)
        progress.sums.zero_()


def _scratch(folder: Path) -> Scratch:
    """The stage's scratch, which its process has locked, from a process that trains for it."""
    return Scratch(folder, FileLock(folder.with_name(f"{folder.name}.unused")))


def save(folder: Path, network: VAE, progress: Progress, optimizer: torch.optim.Optimizer) -> None:
    """Write a checkpoint to the scratch ``folder``."""
    content = {
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": progress.step,
        "history": progress.history,
        "sums": progress.sums,
    }
    data = io.BytesIO()
    torch.save(content, data)
    _scratch(folder).save(CHECKPOINT, data.getvalue())


def restore(folder: Path, network: VAE) -> Progress:
    """Load the checkpoint into ``network``, or say that training is at its start."""
    data = _scratch(folder).load(CHECKPOINT)
    if data is None:
        return Progress(0, [], torch.zeros(len(PARTS), dtype=torch.float64), None)
    content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    network.load_state_dict(content["network"])
    return Progress(content["step"], content["history"], content["sums"], content["optimizer"])


def steps_done(folder: Path) -> int:
    """Gradient steps that an interrupted run left in the scratch ``folder``; 0 without one."""
    data = _scratch(folder).load(CHECKPOINT)
    return 0 if data is None else int(torch.load(io.BytesIO(data), weights_only=True)["step"])


def train(
    parameters: VAEParameters,
    frames: FrameStream,
    held_out: Batch,
    folder: Path,
    devices: DeviceSettings,
    report: Report | None = None,
) -> tuple[VAE, list[Row]]:
    """Train V for ``parameters.steps`` gradient steps, from where an interrupted run was.

    Args:
        parameters: of the stage.
        frames: to learn from.
        held_out: to validate on.
        folder: the scratch's; checkpoints go there, and through it the result comes back.
        devices: where to train; the batch of a step is the same on any number of them.
        report: told after each step, in the process of the first device. It must be picklable where
            the strategy starts processes.

    Returns:
        V on the CPU, and the history: a row for each validation.
    """
    share(parameters.batch_size, 0, devices.devices * devices.num_nodes)
    network = _untrained(parameters).channels_last()
    progress = restore(folder, network)
    if progress.step < parameters.steps:
        recorder = Recorder(folder, held_out, report)
        trainer = _trainer(parameters.steps - progress.step, devices, folder, recorder)
        module = Training(network, parameters, progress, training_choice(parameters, devices))
        _fit(trainer, module, FrameData(frames, parameters, progress.step))
        network = _untrained(parameters)
        progress = restore(folder, network)
    assert progress.step == parameters.steps, progress.step
    return network, progress.history


def _untrained(parameters: VAEParameters) -> VAE:
    return VAE(parameters.z_size, parameters.channels, parameters.seed)


def training_choice(parameters: VAEParameters, devices: DeviceSettings) -> Choice:
    """Device and formulation of the training.

    Raises:
        UserError: the device that is asked for is not there, or the formulation does not fit.
    """
    shapes = {"z_size": parameters.z_size, "channels": parameters.channels}
    return choose("V", shapes, devices.device)


def _trainer(steps: int, devices: DeviceSettings, folder: Path, recorder: Recorder) -> pl.Trainer:
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as "GPU available but not used"
        return pl.Trainer(
            accelerator=devices.device,
            devices=devices.devices,
            num_nodes=devices.num_nodes,
            strategy=devices.strategy,
            max_steps=steps,
            max_epochs=-1,
            callbacks=[recorder],
            default_root_dir=folder,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            limit_val_batches=0,
        )


def _fit(trainer: pl.Trainer, module: Training, data: FrameData) -> None:
    with warnings.catch_warnings():
        # Batches are cheap and made in order: workers would only cost memory.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        # Lightning's own use of torch's pytrees, deprecated from torch 2.13 on
        warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
        trainer.fit(module, datamodule=data)
