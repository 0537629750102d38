"""How the processes of a training find each other, whatever starts programs on this machine.

Lightning looks for schedulers and launchers in the environment (SLURM, torchrun, LSF, MPI) and
then believes that they start a process for each device. Here a stage is started once on each
machine, and starts its own: those variables, inherited or set for somebody else, mean nothing.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from lightning_fabric.plugins.environments.lightning import (
    LightningEnvironment,
    find_free_network_port,
)
from pytorch_lightning.utilities import rank_zero_only

from world_models.devices import NAMED, DeviceSettings

LAUNCHERS = ("RANK", "LOCAL_RANK", "GROUP_RANK", "WORLD_SIZE", "STANDALONE_PORT")
"""Variables by which a launcher tells a process which of many it is; torchrun has more."""
PREFIXES = ("TORCHELASTIC_", "SLURM_PROCID", "JSM_NAMESPACE_RANK")


class Launch(LightningEnvironment):
    """Processes that this one starts, on this machine or on each of several."""

    def __init__(
        self, devices: DeviceSettings, environment: Mapping[str, str] = os.environ
    ) -> None:
        super().__init__()
        self._address, self._node = "127.0.0.1", 0
        if devices.num_nodes > 1:
            self._address, self._main_port, self._node = meeting(environment)

    @property
    def creates_processes_externally(self) -> bool:
        """Never: a stage is started once."""
        return False

    @property
    def main_address(self) -> str:
        """Where the processes meet."""
        return self._address

    @property
    def main_port(self) -> int:
        """A port there; a free one where all are on this machine."""
        if self._main_port == -1:
            self._main_port = find_free_network_port()
        return self._main_port

    def node_rank(self) -> int:
        """Which machine this is, from 0."""
        return self._node


def meeting(environment: Mapping[str, str]) -> tuple[str, int, int]:
    """Where several machines meet: address and port of the first one, and which this one is.

    What was set by hand goes before what srun says. That the variables are there is looked at by
    :meth:`DeviceSettings.from_environment`.
    """
    if all(environment.get(name) for name in NAMED):
        address, door, node = (environment[name] for name in NAMED)
        return address, int(door), int(node)
    # "node[5-9],gpu1" means node5 and more; the port follows from the job, so that all know it.
    first = re.split(r"[ ,]", re.sub(r"\[(\d+)[^]]*\]", r"\1", environment["SLURM_JOB_NODELIST"]))
    port = 15_000 + int(environment["SLURM_JOB_ID"]) % 10_000
    return first[0], port, int(environment["SLURM_NODEID"])


@contextmanager
def without_launcher() -> Iterator[None]:
    """Hide what launchers say for the block, from torch and from processes that it starts."""
    hidden = {name: os.environ[name] for name in os.environ if _of_a_launcher(name)}
    said = vars(rank_zero_only)  # Lightning took this from the same variables when it was loaded
    rank = said["rank"]
    try:
        for name in hidden:
            del os.environ[name]
        said["rank"] = 0
        yield
    finally:
        os.environ |= hidden
        said["rank"] = rank


def _of_a_launcher(name: str) -> bool:
    return name in LAUNCHERS or name.startswith(PREFIXES)
