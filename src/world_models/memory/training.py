"""M's training with Lightning: a budget in steps, and a resume that changes no bit."""

import io
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from filelock import FileLock
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from world_models.devices import DeviceSettings
from world_models.formulations import Choice, choose
from world_models.memory.data import Batch, Steps, Windows
from world_models.memory.loss import Losses
from world_models.memory.network import MDNRNN, Sizes
from world_models.memory.objective import Objective, objective
from world_models.memory.parameters import MDNRNNParameters
from world_models.seeding import torch_seed
from world_models.storage.scratch import Scratch

CHECKPOINT = "training.pt"
"""Name in the scratch."""
SAVE_EVERY = 20.0
"""Seconds of work that an interruption may cost."""
PARTS = ("nll", "restart", "reward")

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


class Training(pl.LightningModule):
    """Gradient steps on M; Lightning moves batches to devices and averages gradients."""

    def __init__(
        self, network: MDNRNN, parameters: MDNRNNParameters, progress: Progress, choice: Choice
    ) -> None:
        super().__init__()
        self.network, self.parameters_, self.progress = network, parameters, progress
        self._choice = choice
        self._objective: Objective | None = None
        self._open = ExitStack()

    def teardown(self, stage: str) -> None:
        """The threads end."""
        self._objective = None
        self._open.close()

    def losses(self, batch: Batch) -> Losses:
        """The losses of a batch of sequences that begin with an empty memory."""
        if self._objective is None:  # in the process that trains: threads are started here
            weight = self.parameters_.restart_weight
            opened = objective(self.network, self._choice, weight)
            self._objective = self._open.enter_context(opened)
        return self._objective(batch)

    def training_step(self, batch: Batch, _index: int) -> Tensor:
        """Loss to minimise."""
        found = self.losses(batch)
        self.progress.sums += torch.stack([x.detach().cpu().double() for x in found])
        return found.total

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam in one pass over the weights, with its state where this is a resume."""
        rate = self.parameters_.learning_rate
        optimizer = torch.optim.Adam(self.network.parameters(), lr=rate, fused=True)
        if self.progress.optimizer is not None:
            optimizer.load_state_dict(self.progress.optimizer)
        return optimizer

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip gradients element by element (the authors') and set this step's rate."""
        torch.nn.utils.clip_grad_value_(self.network.parameters(), self.parameters_.gradient_clip)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(self.parameters_, self.progress.step)

    @torch.no_grad()
    def validate(self, batch: Batch) -> Losses:
        """The same losses on held-out sequences."""
        self.network.eval()
        found = self.losses(self.transfer_batch_to_device(batch, self.device, 0))
        self.network.train()
        return found


class Sequences(IterableDataset[Batch]):
    """The batches from a step on; each device takes its share."""

    def __init__(self, windows: Windows, start: int, stop: int) -> None:
        self._windows, self._range = windows, range(start, stop)

    def __iter__(self) -> Iterator[Batch]:
        """Yield a share of each step's batch."""
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        rank = torch.distributed.get_rank() if distributed else 0
        size = torch.distributed.get_world_size() if distributed else 1
        for step in self._range:
            yield self._windows.batch(step, rank, size)


class SequenceData(pl.LightningDataModule):
    """Batches for Lightning; a batch is made in the process that uses it, in some milliseconds."""

    def __init__(self, windows: Windows, start: int, stop: int) -> None:
        super().__init__()
        self._dataset = Sequences(windows, start, stop)

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
        if due or time.monotonic() - self._saved > SAVE_EVERY:
            save(self._folder, pl_module.network, progress, trainer.optimizers[0])
            self._saved = time.monotonic()
        if self._report is not None:
            self._report(progress.step, progress.history[-1] if progress.history else {})

    def _add_row(self, module: Training, progress: Progress) -> None:
        before = int(progress.history[-1]["step"]) if progress.history else 0
        mean = progress.sums / (progress.step - before)
        found = [float(x) for x in module.validate(self._held_out)]
        rate = learning_rate(module.parameters_, progress.step - 1)
        row: Row = {"step": progress.step, "learning_rate": rate}
        row |= {f"training_{k}": float(v) for k, v in zip(PARTS, mean, strict=True)}
        row |= {f"validation_{k}": v for k, v in zip(PARTS, found, strict=True)}
        progress.history.append(row)
        progress.sums.zero_()


def _scratch(folder: Path) -> Scratch:
    """The stage's scratch, which its process has locked, from a process that trains for it."""
    return Scratch(folder, FileLock(folder.with_name(f"{folder.name}.unused")))


def save(
    folder: Path, network: MDNRNN, progress: Progress, optimizer: torch.optim.Optimizer
) -> None:
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


def restore(folder: Path, network: MDNRNN) -> Progress:
    """Load the checkpoint into ``network``, or say that training is at its start."""
    data = _scratch(folder).load(CHECKPOINT)
    if data is None:
        return Progress(0, [], torch.zeros(len(PARTS), dtype=torch.float64), None)
    content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    network.load_state_dict(content["network"])
    return Progress(content["step"], content["history"], content["sums"], content["optimizer"])


def steps_done(folder: Path) -> int:
    """Gradient steps that the checkpoint in the scratch ``folder`` has behind it."""
    data = _scratch(folder).load(CHECKPOINT)
    return 0 if data is None else int(torch.load(io.BytesIO(data), weights_only=True)["step"])


def train(
    sizes: Sizes,
    parameters: MDNRNNParameters,
    training: Steps,
    held_out: Steps,
    folder: Path,
    devices: DeviceSettings,
    report: Report | None = None,
) -> tuple[MDNRNN, list[Row]]:
    """Train M for ``parameters.steps`` gradient steps, from where an interrupted run was.

    Args:
        sizes: M's shape.
        parameters: of the stage.
        training: the steps to learn from.
        held_out: the steps to validate on.
        folder: the scratch's; checkpoints go there, and through it the result comes back.
        devices: where to train; the batch of a step is the same on any number of them.
        report: told after each step, in the process of the first device. It must be picklable where
            the strategy starts processes.

    Returns:
        M on the CPU, and the history: a row for each validation.
    """
    choice = training_choice(sizes, devices)
    network = build(sizes, parameters.seed)
    progress = restore(folder, network)
    if progress.step < parameters.steps:
        cut = {"length": parameters.sequence_length, "seed": parameters.seed}
        windows = Windows(training, batch_size=parameters.batch_size, **cut)
        fixed = Windows(held_out, batch_size=parameters.batch_size, **cut).spread()
        recorder = Recorder(folder, fixed, report)
        trainer = _trainer(parameters.steps - progress.step, devices, folder, recorder)
        data = SequenceData(windows, progress.step, parameters.steps)
        _fit(trainer, Training(network, parameters, progress, choice), data)
    network = build(sizes, parameters.seed)  # what trained may lie on another device
    progress = restore(folder, network)
    assert progress.step == parameters.steps, progress.step
    return network, progress.history


def training_choice(sizes: Sizes, devices: DeviceSettings) -> Choice:
    """Device, formulation and precision of the training."""
    return choose("M", sizes._asdict(), devices.device)


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
            callbacks=[recorder],
            max_epochs=-1,
            default_root_dir=folder,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            limit_val_batches=0,
        )


def _fit(trainer: pl.Trainer, module: Training, data: SequenceData) -> None:
    # Lightning's data loader draws from torch's global generator; nothing of ours does.
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        # Batches are cheap and made in order: workers would only cost memory.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # Lightning on torch's future
        trainer.fit(module, datamodule=data)
