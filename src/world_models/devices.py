"""The device that V and M run on: execution settings from the environment, and what it can do.

Which device computes changes the last bits of a result, so it stands in the artifact's card and in
the fingerprint of the state that a stage resumes from.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch

from world_models.errors import UserError

Device = Literal["cpu", "cuda", "mps"]
"""torch's names of the kinds of device that are supported."""
DEVICES: tuple[Device, ...] = ("cpu", "cuda", "mps")
ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")
"""What ``WORLD_MODELS_ACCELERATOR`` may be."""
STRATEGIES = ("auto", "ddp", "ddp_spawn")
"""What ``WORLD_MODELS_STRATEGY`` may be. Lightning has others, which cut the weights in pieces; an
accelerated formulation needs them whole."""
NAMED = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK")
SRUN = ("SLURM_JOB_NODELIST", "SLURM_JOB_ID", "SLURM_NODEID")
"""Variables that say where several machines meet, and which one this is: by hand, and srun's."""


@dataclass(frozen=True)
class DeviceSettings:
    """Where V and M are trained, and where frames are encoded.

    The batch of a gradient step is the same on any number of devices.

    Attributes:
        accelerator: one of :data:`ACCELERATORS`.
        devices: number of devices on each machine; on a CPU, of processes.
        num_nodes: number of machines.
        strategy: how to spread over devices, one of :data:`STRATEGIES`.
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
            UserError: accelerator or strategy is unknown, a number is not one or is below 1, or
                nothing says where the other machines are.
        """  # noqa: D205
        found = cls(
            accelerator=_one_of(ACCELERATORS, environment, "WORLD_MODELS_ACCELERATOR"),
            devices=_count(environment, "WORLD_MODELS_DEVICES"),
            num_nodes=_count(environment, "WORLD_MODELS_NODES"),
            strategy=_one_of(STRATEGIES, environment, "WORLD_MODELS_STRATEGY"),
        )
        if found.num_nodes > 1:
            _check_meeting(found.num_nodes, environment)
        return found

    @property
    def device(self) -> Device:
        """The kind of device that :attr:`accelerator` means on this machine.

        ``auto`` takes a CUDA GPU if there is one, else the CPU. Apple's GPU (``mps``) has to be
        asked for: nobody has measured this project on one.

        Raises:
            UserError: the device that is asked for is not there.
        """
        if self.accelerator == "auto":
            return "cuda" if is_available("cuda") else "cpu"
        wanted = ("cuda", "mps") if self.accelerator == "gpu" else (self.accelerator,)
        for device in DEVICES:
            if device in wanted and is_available(device):
                return device
        found = ", ".join(device for device in DEVICES if is_available(device))
        raise UserError(
            f"WORLD_MODELS_ACCELERATOR = {self.accelerator!r}: torch {torch.__version__} finds no "
            f"such device on this machine. It finds {found}."
        )


def is_available(device: Device) -> bool:
    """Whether torch can compute on this kind of device here."""
    if device == "cuda":
        return torch.cuda.is_available()
    return device == "cpu" or torch.backends.mps.is_available()


def cpu_multiplies_bfloat16() -> bool:
    """Whether the CPU itself multiplies matrices in bfloat16: by AMX or AVX-512 BF16.

    Without such units bfloat16 is slower than float32.
    """
    amx = getattr(torch.cpu, "_is_amx_tile_supported", bool)()
    return bool(amx or getattr(torch.cpu, "_is_avx512_bf16_supported", bool)())


def _check_meeting(nodes: int, environment: Mapping[str, str]) -> None:
    for names in (NAMED, SRUN):
        numbers = [environment.get(name, "") for name in names[1:]]
        if environment.get(names[0]) and all(text.isdecimal() for text in numbers):
            return
    raise UserError(
        f"WORLD_MODELS_NODES = {nodes}: nothing says where the other machines are. Start the stage "
        "on each of them with `srun --ntasks-per-node=1`, or set MASTER_ADDR, MASTER_PORT and "
        "NODE_RANK (from 0) there; or unset it for one machine."
    )


def _one_of(known: tuple[str, ...], environment: Mapping[str, str], key: str) -> str:
    text = environment.get(key) or "auto"
    if text not in known:
        raise UserError(f"{key} = {text!r}: give one of {', '.join(known)}, or unset it for auto.")
    return text


def _count(environment: Mapping[str, str], key: str) -> int:
    text = environment.get(key) or "1"
    if not text.isdecimal() or int(text) < 1:
        raise UserError(f"{key} = {text!r}: give a whole number from 1, or unset it for 1.")
    return int(text)
