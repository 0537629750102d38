"""One harness on Lightning for the training of V and M.

A budget in gradient steps, a validation loop, curves for MLflow, and checkpoints in the stage's
scratch: a training that was interrupted ends in the same bits as one that was not.
"""

import io
import logging
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import pytorch_lightning as pl
import torch
from filelock import FileLock
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from world_models.devices import DeviceSettings
from world_models.errors import UserError
from world_models.progress import Advance, progress
from world_models.storage.scratch import Scratch

for name in ("pytorch_lightning", "lightning_fabric"):  # here, for processes that Lightning starts
    logging.getLogger(name).setLevel(logging.ERROR)

CHECKPOINT = "training.pt"
"""Name in the scratch."""
SAVE_EVERY = 30.0
"""Seconds of work that an interruption may cost."""

Row = dict[str, float]
"""Of the history: step, learning rate, losses of training and validation."""
Log = Callable[[Mapping[str, float], int], None]
"""Takes the numbers of a step; a ``Tracker``'s ``log_metrics`` is one."""
B = TypeVar("B", bound=tuple[Any, ...])
Batches = Callable[[int, int, int], Iterator[B]]
"""The batches from a step on; of each, the share of a rank among so many devices. Picklable."""


@dataclass(frozen=True)
class Plan:
    """How long to train, and how.

    Attributes:
        steps: gradient steps.
        validate_every: steps between two validations; the last step is always validated.
        gradient_clip: bound of each element of the gradient; None for none.
        learning_rate: Adam's rate at a gradient step, from 0.
    """

    steps: int
    validate_every: int
    gradient_clip: float | None
    learning_rate: Callable[[int], float]


class Training(pl.LightningModule, Generic[B]):
    """Gradient steps on a network. Lightning moves batches to devices and averages gradients.

    Attributes:
        parts: names of the losses.
        network: what is trained.
        history: a row for each validation.
    """

    parts: tuple[str, ...]

    def __init__(self, network: nn.Module, plan: Plan) -> None:
        super().__init__()
        self.network, self.plan = network, plan
        self.history: list[Row] = []
        self._open = ExitStack()
        self._losses: Callable[[B], Any]
        self._since: Tensor
        self._held_out: Tensor

    def open_losses(self) -> AbstractContextManager[Callable[[B], Any]]:
        """The losses of a batch as a function, for the block; it may use threads of its own.

        It gives a named tuple of means over the batch, scalars, in the order of :attr:`parts`. Its
        ``total`` is minimised.
        """
        raise NotImplementedError

    def note(self, row: Row) -> str:
        """What the progress bar says of a row."""
        raise NotImplementedError

    def weights(self) -> list[Tensor]:
        """What Adam changes."""
        return list(self.network.parameters())

    def setup(self, stage: str) -> None:
        """In the process that trains; what stood here before, several processes would share."""
        _ignore_advice()
        self._since = self._zero()  # losses of training since the last row, summed over steps
        self._held_out, self._weight = self._zero(), 0

    def on_fit_start(self) -> None:
        """On the device, and in the process that trains: threads are started here."""
        self._losses = self._open.enter_context(self.open_losses())

    def teardown(self, stage: str = "fit") -> None:
        """The threads end."""
        self._open.close()

    def configure_optimizers(self) -> Any:
        """Adam in one pass over the weights. Its rate is the plan's: a factor of 1."""
        optimizer = torch.optim.Adam(self.weights(), lr=1.0, fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self.plan.learning_rate)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]

    def training_step(self, batch: B, _index: int) -> Tensor:
        """Loss to minimise."""
        found = self._losses(batch)
        self._since += _as_double(found)
        total: Tensor = found.total
        return total

    def on_train_batch_end(self, *_: Any) -> None:
        """Let Lightning validate after the last step, too."""
        self.trainer.should_stop = self.trainer.global_step == self.plan.steps

    def validation_step(self, batch: B, _index: int) -> None:
        """Add up the losses of held-out batches, by their number of rows."""
        rows = len(batch[0])
        self._held_out += _as_double(self._losses(batch)) * rows
        self._weight += rows

    def on_validation_epoch_end(self) -> None:
        """Add a row to the history."""
        step = self.trainer.global_step
        training = self._since / (step - int(self.history[-1]["step"] if self.history else 0))
        held_out = self._held_out / self._weight
        curves = {"learning_rate": self.plan.learning_rate(step - 1)}
        curves |= _named("training", self.parts, training)
        curves |= _named("validation", self.parts, held_out)
        self.history.append({"step": step, **curves})
        self._since, self._held_out, self._weight = self._zero(), self._zero(), 0
        assert self.logger is not None
        self.logger.log_metrics(curves, step)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Beside the network, optimizer, schedule and counters that Lightning saves."""
        checkpoint |= {"history": self.history, "since": self._since}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """What :meth:`on_save_checkpoint` added."""
        self.history, self._since = checkpoint["history"], checkpoint["since"]

    def _zero(self) -> Tensor:
        return torch.zeros(len(self.parts), dtype=torch.float64)


def _as_double(losses: Iterable[Tensor]) -> Tensor:
    return torch.stack([part.detach().cpu().double() for part in losses])


def _named(prefix: str, parts: Sequence[str], values: Tensor) -> Row:
    return {f"{prefix}_{part}": value for part, value in zip(parts, values.tolist(), strict=True)}


class _FromStep(IterableDataset[B]):
    def __init__(self, batches: Batches[B], *place: int) -> None:
        self._batches, self._place = batches, place

    def __iter__(self) -> Iterator[B]:
        return self._batches(*self._place)


class Data(pl.LightningDataModule, Generic[B]):
    """Batches for Lightning, read in the process that uses them: 2 % of a step on a CPU.

    Each process validates on all of the held-out batches, so that no number has to be exchanged.
    """

    def __init__(self, batches: Batches[B], held_out: list[B]) -> None:
        super().__init__()
        self._batches, self._held_out = batches, held_out

    def train_dataloader(self) -> "DataLoader[B]":
        """The batches still to come."""
        t = self.trainer
        assert t is not None
        return _loader(_FromStep(self._batches, t.global_step, t.global_rank, t.world_size))

    def val_dataloader(self) -> "DataLoader[B]":
        """The held-out batches."""
        return _loader(self._held_out)


def _loader(batches: Any) -> "DataLoader[Any]":
    return DataLoader(batches, batch_size=None, pin_memory=torch.cuda.is_available())


class _Checkpoints(TorchCheckpointIO):
    """Checkpoints go to the scratch: with a checksum, and the one before as a fall-back."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Save; other paths than the checkpoint's are Lightning's own files between processes."""
        if Path(path).name != CHECKPOINT:
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        data = io.BytesIO()
        torch.save(checkpoint, data)
        _scratch(self._folder).save(CHECKPOINT, data.getvalue())

    def load_checkpoint(self, path: Any, *options: Any, **named: Any) -> dict[str, Any]:
        """Load what :meth:`save_checkpoint` saved."""
        if Path(path).name != CHECKPOINT:
            return super().load_checkpoint(path, *options, **named)
        checkpoint = load(self._folder)
        assert checkpoint is not None
        return checkpoint


def _is_validated(trainer: pl.Trainer) -> bool:
    """Whether the validation loop follows this step."""
    step = trainer.global_step
    return step % int(trainer.val_check_interval) == 0 or step == trainer.max_steps


class _Saving(pl.Callback):
    """Save at each validation, and in time between them."""

    def __init__(self) -> None:
        self._saved = time.monotonic()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Save if it is time; a step that is about to be validated is saved after that."""
        late = time.monotonic() - self._saved > SAVE_EVERY
        if trainer.strategy.broadcast(late) and not _is_validated(trainer):
            self._save(trainer)

    def on_validation_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Save."""
        self._save(trainer)

    def _save(self, trainer: pl.Trainer) -> None:
        trainer.save_checkpoint(CHECKPOINT)
        self._saved = time.monotonic()


class _Bar(pl.Callback):
    """Show progress, in the process of the first device."""

    def __init__(self, name: str) -> None:
        self._name, self._note, self._open = name, "", ExitStack()
        self._bar: Advance | None = None

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Begin where the training does."""
        if trainer.is_global_zero:
            bar = progress(trainer.max_steps, self._name, trainer.global_step)
            self._bar = self._open.enter_context(bar)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Count a step; one that is about to be validated counts after that."""
        if self._bar is not None and not _is_validated(trainer):
            self._bar.advance(1, self._note)

    def on_validation_end(self, _trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Count the step, and say what was found."""
        assert isinstance(module, Training)
        self._note = module.note(module.history[-1])
        if self._bar is not None:
            self._bar.advance(1, self._note)

    def on_train_end(self, *_: Any) -> None:
        """Close the bar."""
        self._bar = None
        self._open.close()

    def on_exception(self, _trainer: pl.Trainer, module: Any, *_: Any) -> None:
        """Close the bar, and end the threads, which Lightning does at a good end only."""
        self._open.close()
        module.teardown()


class _ToTracker(Logger):
    """Lightning's logger: passes numbers on."""

    name, version = "tracker", ""

    def __init__(self, log: Log | None) -> None:
        super().__init__()
        self._log = log

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Pass on."""
        if self._log is not None:
            self._log(metrics, step or 0)

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """The stage's parameters are recorded already."""


def _scratch(folder: Path) -> Scratch:
    """The stage's scratch, which its process has locked, from a process that trains for it."""
    return Scratch(folder, FileLock(folder.with_name(f"{folder.name}.unused")))


def load(folder: Path) -> dict[str, Any] | None:
    """Lightning's checkpoint in the scratch ``folder``, None without one."""
    data = _scratch(folder).load(CHECKPOINT)
    return None if data is None else torch.load(io.BytesIO(data), "cpu", weights_only=True)


def restore(folder: Path, network: nn.Module) -> list[Row]:
    """Load the trained weights into ``network``; returns the history."""
    checkpoint = load(folder)
    assert checkpoint is not None
    prefix = "network."
    weights = {k.removeprefix(prefix): v for k, v in checkpoint["state_dict"].items()}
    network.load_state_dict(weights)
    return list(checkpoint["history"])


def fit(
    training: Training[B],
    data: Data[B],
    folder: Path,
    devices: DeviceSettings,
    name: str,
    log: Log | None = None,
) -> None:
    """Train to the end of the plan, from where an interrupted run was; :func:`restore` has the end.

    Args:
        training: V or M.
        data: to train and validate on. The batch of a step is the same on any number of devices.
        folder: the scratch's; checkpoints go there, and through it the result comes back.
        devices: where to train.
        name: what the progress bar says.
        log: gets each row of the history, in the process of the first device. It must be picklable
            where there are several devices.

    Raises:
        UserError: the strategy cannot be used.
    """
    checkpoint = load(folder)
    if checkpoint is not None and checkpoint["global_step"] == training.plan.steps:
        return
    # Lightning's data loader draws from torch's global generator; nothing of ours does.
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        _ignore_advice()
        trainer = _trainer(training.plan, folder, devices, name, log)
        trainer.fit(training, data, ckpt_path=CHECKPOINT if checkpoint else None, weights_only=True)


def _trainer(
    plan: Plan, folder: Path, devices: DeviceSettings, name: str, log: Log | None
) -> pl.Trainer:
    return pl.Trainer(
        accelerator=devices.device,
        devices=devices.devices,
        num_nodes=devices.num_nodes,
        strategy=strategy(devices),
        max_steps=plan.steps,
        max_epochs=-1,
        val_check_interval=plan.validate_every,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        gradient_clip_val=plan.gradient_clip,
        gradient_clip_algorithm="value",
        logger=_ToTracker(log),
        callbacks=[_Saving(), _Bar(name)],
        plugins=[_Checkpoints(folder)],
        default_root_dir=folder,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


def strategy(devices: DeviceSettings) -> str:
    """Lightning's name of the way to spread over devices: ``ddp_spawn`` if there are several.

    Raises:
        UserError: another one is asked for, which would start the whole stage again on each device.
    """
    if devices.strategy not in ("auto", "ddp_spawn"):
        raise UserError(
            f"WORLD_MODELS_STRATEGY = {devices.strategy!r}: V and M train with 'ddp_spawn', the "
            "default for several devices. Unset it."
        )
    return "auto" if devices.devices * devices.num_nodes == 1 else "ddp_spawn"


def _ignore_advice() -> None:
    """Lightning gives advice to those who wrote the training, and we have considered it."""
    for message in (
        ".*does not have many workers.*",  # batches are cheap and made in order
        ".*LeafSpec.*",  # its use of torch's pytrees, deprecated from torch 2.13 on
        ".*available but not used.*",
    ):
        warnings.filterwarnings("ignore", message=message)
