"""Execution settings of the training of V and M: from the environment, tracked nowhere."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from world_models.errors import UserError


@dataclass(frozen=True)
class DeviceSettings:
    """Where a network is trained; the batch of a step is the same whatever is chosen here.

    Attributes:
        accelerator: Lightning's name of the kind of device; ``auto`` takes a GPU if there is one.
        devices: devices, or processes on a CPU, a node.
        num_nodes: machines.
        strategy: Lightning's name of the way to spread, such as ``ddp_spawn``.
    """

    accelerator: str = "auto"
    devices: int = 1
    num_nodes: int = 1
    strategy: str = "auto"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "DeviceSettings":
        """Read ``WORLD_MODELS_ACCELERATOR`` (default: auto), ``WORLD_MODELS_DEVICES`` (1),
        ``WORLD_MODELS_NODES`` (1) and ``WORLD_MODELS_STRATEGY`` (auto).

        Raises:
            UserError: a number is not one, or is below 1.
        """  # noqa: D205
        return cls(
            accelerator=environment.get("WORLD_MODELS_ACCELERATOR") or "auto",
            devices=_count(environment, "WORLD_MODELS_DEVICES"),
            num_nodes=_count(environment, "WORLD_MODELS_NODES"),
            strategy=environment.get("WORLD_MODELS_STRATEGY") or "auto",
        )


def _count(environment: Mapping[str, str], key: str) -> int:
    text = environment.get(key) or "1"
    if not text.isdecimal() or int(text) < 1:
        raise UserError(f"{key} = {text!r}: give a whole number from 1, or unset it for 1.")
    return int(text)
