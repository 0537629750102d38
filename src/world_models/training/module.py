"""Gradient steps, validation, progress: what the trainings of V and M share, for Lightning."""

import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from world_models.errors import UserError
from world_models.progress import Advance, progress

Row = dict[str, float]
"""Of the history: step, learning rate, losses of training and validation."""
B = TypeVar("B", bound=tuple[Any, ...])


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
        name: of the stage, for the progress bar.
        parts: names of the losses.
        network: what is trained.
        history: a row for each validation.
    """

    name: str
    parts: tuple[str, ...]

    def __init__(self, network: nn.Module, plan: Plan, held_out: list[B]) -> None:
        super().__init__()
        self.network, self.plan, self._held_out = network, plan, held_out
        self.history: list[Row] = []
        self._open = ExitStack()
        self._bar: Advance | None = None
        self._losses: Callable[[B], Any]

    def open_losses(self) -> AbstractContextManager[Callable[[B], Any]]:
        """The losses of a batch as a function, for the block; it may use threads of its own.

        It gives a named tuple of means over the batch, scalars, in the order of :attr:`parts`. Its
        ``total`` is minimised.
        """
        raise NotImplementedError

    def batches(self, start: int, rank: int, world: int) -> Iterator[B]:
        """The batches from step ``start`` on: of each, a device's share (``rank`` of ``world``)."""
        raise NotImplementedError

    def note(self, row: Row) -> str:
        """What the progress bar says of a row."""
        raise NotImplementedError

    def weights(self) -> list[Tensor]:
        """What Adam changes."""
        return list(self.network.parameters())

    def untrained(self) -> Row:
        """The row of a network that takes no step: held-out losses alone."""
        self._reset()
        with self.open_losses() as losses, torch.no_grad():
            self._losses = losses
            for index, batch in enumerate(self._held_out):
                self.validation_step(batch, index)
        nothing = torch.full_like(self._since, math.nan)
        return {"step": 0.0, "learning_rate": 0.0, **self._named(nothing)}

    def setup(self, stage: str) -> None:
        """In the process that trains; what stood here before, several processes would share."""
        ignore_advice()
        self._reset()

    def train_dataloader(self) -> "DataLoader[B]":
        """The batches still to come, read in the process that uses them: 2 % of a step on a CPU."""
        t = self.trainer
        return _loader(_Stream(self.batches(t.global_step, t.global_rank, t.world_size)))

    def val_dataloader(self) -> "DataLoader[B]":
        """All held-out batches, in each process, so that no number has to be exchanged."""
        return _loader(self._held_out)

    def on_fit_start(self) -> None:
        """On the device, and in the process that trains: threads are started here."""
        self._losses = self._open.enter_context(self.open_losses())

    def on_train_start(self) -> None:
        """Show progress, in the process of the first device."""
        if self.trainer.is_global_zero:
            bar = progress(self.plan.steps, self.name, self.trainer.global_step)
            self._bar = self._open.enter_context(bar)

    def teardown(self, stage: str = "fit") -> None:
        """Close the progress bar, and end the threads."""
        self._bar = None
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
        """Let Lightning validate after the last step, too; then the step counts as done."""
        self.trainer.should_stop = self.trainer.global_step == self.plan.steps
        if not is_validated(self.trainer):
            self._advance()

    def validation_step(self, batch: B, _index: int) -> None:
        """Add up the losses of held-out batches, by their number of rows."""
        rows = len(batch[0])
        self._validated += _as_double(self._losses(batch)) * rows
        self._rows += rows

    def on_validation_epoch_end(self) -> None:
        """Add a row to the history.

        Raises:
            UserError: a loss is not finite any more.
        """
        step = self.trainer.global_step
        training = self._since / (step - int(self.history[-1]["step"] if self.history else 0))
        curves = {"learning_rate": self.plan.learning_rate(step - 1), **self._named(training)}
        if not math.isfinite(sum(curves.values())):
            raise UserError(
                f"The training of {self.name} diverged before step {step}: a loss is infinite or "
                f"no number. Lower {self.name}.learning_rate or {self.name}.gradient_clip, and run "
                "again: it begins anew."
            )
        self.history.append({"step": step, **curves})
        self._reset()
        if self.logger is not None:
            self.logger.log_metrics(curves, step)

    def _named(self, training: Tensor) -> Row:
        """Losses by name, of training and of the held-out rows so far."""
        found = {"training": training, "validation": self._validated / self._rows}
        return {
            f"{name}_{part}": loss
            for name, losses in found.items()
            for part, loss in zip(self.parts, losses.tolist(), strict=True)
        }

    def on_validation_end(self) -> None:
        """The step counts as done once the checkpoint is saved."""
        self._advance()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Beside the network, optimizer, schedule and counters that Lightning saves."""
        checkpoint |= {"history": self.history, "since": self._since}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """What :meth:`on_save_checkpoint` added."""
        self.history, self._since = checkpoint["history"], checkpoint["since"]

    def _advance(self) -> None:
        if self._bar is not None:
            self._bar.advance(1, self.note(self.history[-1]) if self.history else "")

    def _reset(self) -> None:
        """Losses summed over training steps since the last row, and over validated rows."""
        self._since, self._validated = torch.zeros((2, len(self.parts)), dtype=torch.float64)
        self._rows = 0


def _as_double(losses: Iterable[Tensor]) -> Tensor:
    return torch.stack([part.detach().cpu().double() for part in losses])


def is_validated(trainer: pl.Trainer) -> bool:
    """Whether the validation loop follows this step."""
    step = trainer.global_step
    return step % int(trainer.val_check_interval) == 0 or step == trainer.max_steps


class _Stream(IterableDataset[B]):
    def __init__(self, batches: Iterator[B]) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[B]:
        return self._batches


def _loader(batches: Any) -> "DataLoader[Any]":
    return DataLoader(batches, batch_size=None, pin_memory=torch.cuda.is_available())


def ignore_advice() -> None:
    """Lightning gives advice to those who wrote the training, and we have considered it."""
    for message in (
        ".*does not have many workers.*",  # batches are cheap and made in order
        ".*LeafSpec.*",  # its use of torch's pytrees, deprecated from torch 2.13 on
        ".*available but not used.*",
    ):
        warnings.filterwarnings("ignore", message=message)
