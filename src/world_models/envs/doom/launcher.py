"""Starts ViZDoom's game so that it leaves nothing behind: no files, no orphaned process.

The game is a process of its own that writes ``_vizdoom/`` and ``_vizdoom.ini`` where it stands,
ignores SIGTERM and outlives a killed parent. So each game gets a folder of its own, and where
Linux offers it a launcher that has the kernel end the game with us.
"""

import json
import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil

from world_models.errors import EnvironmentMissingError

_SCRIPT = """#!/bin/sh
cd "{folder}" || exit 1
exec {guard} "{game}" "$@"
"""
# A session of its own: Ctrl-C on the terminal reaches us alone, and we close the game in order.
_GUARD = "setsid setpriv --pdeathsig KILL --"
_ABSENT = "not found"  # ldd's words
_PREFIX = "world-models-vizdoom-"
_OWNER = "owner.json"
_SHARED = Path("/dev/shm")


@cache
def check(game: Path) -> None:
    """See whether the game can start at all: where it cannot, ViZDoom ends this whole process.

    Raises:
        EnvironmentMissingError: the executable, or a system library that it needs, is missing.
    """
    faults = "" if os.access(game, os.X_OK) else f"{game} cannot be executed"
    if not faults and (ldd := shutil.which("ldd")):
        found = subprocess.run([ldd, game], capture_output=True, text=True, check=False)
        faults = ", ".join(
            line.split("=>")[0].strip() for line in found.stdout.splitlines() if _ABSENT in line
        )
    if faults:
        raise EnvironmentMissingError(
            f"ViZDoom is installed, but its game cannot start; it lacks: {faults}. Install these "
            "system libraries, or ViZDoom anew: pip install --force-reinstall vizdoom"
        )


def prepare(game: Path) -> tuple[Path, Path]:
    """Make a folder for one game, with a launcher in it.

    Args:
        game: ViZDoom's executable.

    Returns:
        The folder, and what to execute: the launcher, or ``game`` itself where scripts cannot run.
    """
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    launcher = folder / "launch"
    guarded = shutil.which("setsid") and shutil.which("setpriv")
    guard = _GUARD if guarded else ""
    launcher.write_text(_SCRIPT.format(folder=folder, guard=guard, game=game))
    launcher.chmod(0o700)
    # False on a file system mounted noexec, as /tmp sometimes is.
    runs = os.name == "posix" and os.access(launcher, os.X_OK)
    return folder, launcher if runs else game


def claim(folder: Path, instance: str) -> None:
    """Note whose folder this is: another process removes it after this one was killed.

    Args:
        folder: of the game.
        instance: ViZDoom's own name of the game, part of its shared memory's names.
    """
    owner = {"host": socket.gethostname(), "process": os.getpid(), "instance": instance}
    (folder / _OWNER).write_text(json.dumps(owner))


@cache
def _sweep() -> None:
    """Once a process: remove what killed processes left, files and shared memory."""
    for note in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_OWNER}"):
        with suppress(OSError, ValueError):  # somebody else's, or swept by another just now
            owner = json.loads(note.read_text())
            if owner["host"] != socket.gethostname() or psutil.pid_exists(owner["process"]):
                continue
            for memory in _SHARED.glob(f"ViZDoom*{owner['instance']}"):
                memory.unlink(missing_ok=True)
            shutil.rmtree(note.parent, ignore_errors=True)
