"""Starts ViZDoom's game so that it leaves nothing behind: no files, no orphaned process.

The game is a process of its own that writes ``_vizdoom/`` and ``_vizdoom.ini`` where it stands,
ignores SIGTERM and outlives a killed parent. So each game gets a folder of its own, and where
Linux offers it a launcher that has the kernel end the game with us.
"""

import os
import shutil
import tempfile
from pathlib import Path

_SCRIPT = """#!/bin/sh
cd "{folder}" || exit 1
exec {guard} "{game}" "$@"
"""
# A session of its own: Ctrl-C on the terminal reaches us alone, and we close the game in order.
_GUARD = "setsid setpriv --pdeathsig KILL --"


def prepare(game: Path) -> tuple[Path, Path]:
    """Make a folder for one game, with a launcher in it.

    Args:
        game: ViZDoom's executable.

    Returns:
        The folder, and what to execute: the launcher, or ``game`` itself where scripts cannot run.
    """
    folder = Path(tempfile.mkdtemp(prefix="world-models-vizdoom-"))
    launcher = folder / "launch"
    guarded = shutil.which("setsid") and shutil.which("setpriv")
    guard = _GUARD if guarded else ""
    launcher.write_text(_SCRIPT.format(folder=folder, guard=guard, game=game))
    launcher.chmod(0o700)
    # False on a file system mounted noexec, as /tmp sometimes is.
    runs = os.name == "posix" and os.access(launcher, os.X_OK)
    return folder, launcher if runs else game
