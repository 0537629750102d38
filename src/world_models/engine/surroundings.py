"""What the surroundings of a command set for other programs: undone, or refused with the cure."""

import io
import os
import resource
import sys
from contextlib import suppress

from world_models.engine import cores
from world_models.errors import UserError


def settle() -> None:
    """Make this process fit for work; every command begins with it.

    Raises:
        UserError: a variable keeps our kernels from being compiled.
    """
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        raise UserError(
            "NUMBA_DISABLE_JIT is set: the simulators' kernels would run as plain Python, or not "
            "at all. Unset it."
        )
    os.environ.pop("MPLBACKEND", None)  # for windows, which we never open; a wrong one is fatal
    cores.unpin()
    _allow_open_files()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal may have ASCII alone
            stream.reconfigure(errors="replace")


def _allow_open_files() -> None:
    """Open as many files as the system lets us: a data set has one for each shard."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # macOS has a lower limit than it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
