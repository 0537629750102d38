"""From a network and its batches to a trained network: Lightning's trainer, set up for V and M."""

import logging
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from world_models.devices import DeviceSettings
from world_models.errors import UserError
from world_models.training.checkpoints import CHECKPOINT, Saving, ScratchIO, load
from world_models.training.launch import Launch, without_launcher
from world_models.training.module import Row, Training, ignore_advice

for name in ("pytorch_lightning", "lightning_fabric"):  # here, for processes that Lightning starts
    logging.getLogger(name).setLevel(logging.ERROR)

Log = Callable[[Mapping[str, float], int], None]
"""Takes the numbers of a step; a ``Tracker``'s ``log_metrics`` is one."""


class _ToTracker(Logger):
    """Lightning's logger: passes numbers on."""

    name, version = "tracker", ""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self._log(metrics, step or 0)

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        pass  # the stage's parameters are recorded already


def fit(
    training: Training[Any], folder: Path, devices: DeviceSettings, log: Log | None = None
) -> list[Row]:
    """Train to the end of the plan, from where an interrupted run was.

    A plan without steps leaves the weights as they are: the paper compares C with an untrained V
    and M.

    Args:
        training: V or M; its network has the trained weights afterwards, on the CPU.
        folder: the scratch's, for checkpoints.
        devices: where to train. The batch of a step is the same on any number of devices.
        log: gets each row of the history, in the process of the first device. It must be picklable
            where there are several devices.

    Returns:
        The history.

    Raises:
        UserError: the strategy cannot be used.
    """
    if not training.plan.steps:
        return [training.untrained()]
    checkpoint = load(folder)
    if checkpoint is None or checkpoint["global_step"] < training.plan.steps:
        _fit(training, folder, devices, log, CHECKPOINT if checkpoint else None)
        checkpoint = load(folder)  # processes of Lightning's may have trained
        assert checkpoint is not None
    training.cpu().load_state_dict(checkpoint["state_dict"])
    return list(checkpoint["history"])


def _fit(
    training: Training[Any],
    folder: Path,
    devices: DeviceSettings,
    log: Log | None,
    checkpoint: str | None,
) -> None:
    # Lightning's data loader draws from torch's global generator; nothing of ours does.
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]), without_launcher():
        ignore_advice()
        trainer = pl.Trainer(
            accelerator=devices.device,
            devices=devices.devices,
            num_nodes=devices.num_nodes,
            strategy=strategy(devices),
            max_steps=training.plan.steps,
            max_epochs=-1,
            val_check_interval=training.plan.validate_every,
            check_val_every_n_epoch=None,
            num_sanity_val_steps=0,
            gradient_clip_val=training.plan.gradient_clip,
            gradient_clip_algorithm="value",
            logger=_ToTracker(log) if log else False,
            callbacks=[Saving()],
            plugins=[ScratchIO(folder), Launch(devices)],
            default_root_dir=folder,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        trainer.fit(training, ckpt_path=checkpoint, weights_only=True)


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
