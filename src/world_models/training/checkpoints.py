"""Checkpoints of a training, in the stage's scratch."""

import io
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from filelock import FileLock
from pytorch_lightning.plugins.io import TorchCheckpointIO

from world_models.storage.scratch import Scratch
from world_models.training.module import is_validated

CHECKPOINT = "training.pt"
"""Name in the scratch."""
SAVE_EVERY = 30.0
"""Seconds of work that an interruption may cost."""


class ScratchIO(TorchCheckpointIO):
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


class Saving(pl.Callback):
    """Save at each validation, and every :data:`SAVE_EVERY` seconds between them.

    Lightning's ``ModelCheckpoint`` would also save a step that is about to be validated; a training
    that goes on from there leaves that validation out.
    """

    def __init__(self) -> None:
        self._saved = time.monotonic()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Save if it is time; a step that is about to be validated is saved after that."""
        late = time.monotonic() - self._saved > SAVE_EVERY
        if trainer.strategy.broadcast(late) and not is_validated(trainer):
            self._save(trainer)

    def on_validation_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Save."""
        self._save(trainer)

    def on_exception(self, _trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        """End the module's threads, which Lightning does at a good end only."""
        module.teardown("fit")

    def _save(self, trainer: pl.Trainer) -> None:
        trainer.save_checkpoint(CHECKPOINT)
        self._saved = time.monotonic()


def _scratch(folder: Path) -> Scratch:
    """The stage's scratch, which its process has locked, from a process that trains for it."""
    return Scratch(folder, FileLock(folder.with_name(f"{folder.name}.unused")))


def load(folder: Path) -> dict[str, Any] | None:
    """Lightning's checkpoint in the scratch ``folder``, None without one."""
    data = _scratch(folder).load(CHECKPOINT)
    return None if data is None else torch.load(io.BytesIO(data), "cpu", weights_only=True)
