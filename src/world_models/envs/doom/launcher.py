"""Starts ViZDoom's game so that it leaves nothing behind: no files, no orphaned process.

The game is a process of its own that writes ``_vizdoom/`` and ``_vizdoom.ini`` where it stands,
ignores SIGTERM and outlives a killed parent. So each game gets a folder of its own, and where
Linux offers it a launcher that has the kernel end the game with us.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

from world_models.errors import EnvironmentMissingError
from world_models.storage import owned, temporary
from world_models.storage.owned import Owned

_SCRIPT = """#!/bin/sh
cd "{folder}" || exit 1
echo "$*" > {arguments}
{run}
"""
_PLAIN = 'exec "{game}" "$@"'
# A session of its own: Ctrl-C on the terminal reaches us alone, and we close the game in order.
_GUARDED = 'exec setsid setpriv --pdeathsig KILL -- /bin/sh ./watch "$@"'
# ViZDoom ends this whole process (SIGSEGV) when it hears that its game has ended at its start. So
# this process stays in the game's place until we, who then do not wait any longer, have ended.
# Each side writes its own file before it looks for the other's, so that one of them sees both.
_WATCH = """setpriv --pdeathsig KILL -- "{game}" "$@"
status=$?
echo $status > {ended}
[ -e {started} ] && exit $status
exec sleep 2147483647
"""
_ABSENT = "not found"  # ldd's words
_KIND = "vizdoom"
_ARGUMENTS, _STARTED, _ENDED = "arguments", "started", "ended"
_MEMORY = re.compile(r"ViZDoom(SM|MQCtr|MQDoom)[A-Za-z0-9]{1,64}", re.ASCII)
_OLD = 3600.0
"""Seconds after which a game has long opened its memory."""
_INSTANCE = re.compile(r"\+viz_instance_id ([A-Za-z0-9]{1,64})(?:\s|$)", re.ASCII)
SHARED = Path("/dev/shm")
NEED = 1 << 20
"""Bytes of shared memory to be free before a game starts. A game's file says 11 MB, but what it
fills are 60 kB, or 350 kB with the large screen."""


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


def check_shared(shared: Path = SHARED) -> None:
    """See whether a game finds room to talk to us: without, the kernel ends it or us (SIGBUS).

    Raises:
        EnvironmentMissingError: the system's shared memory is missing, closed or full.
    """
    if sys.platform != "linux":
        return  # elsewhere it is no folder
    if not os.access(shared, os.W_OK | os.X_OK):
        raise EnvironmentMissingError(
            f"ViZDoom's game needs shared memory, and {shared} is missing or may not be written. "
            f"Mount it: mount -t tmpfs -o size=1g tmpfs {shared}"
        )
    found = os.statvfs(shared)
    free = found.f_bavail * found.f_frsize
    if free < NEED:
        raise EnvironmentMissingError(
            f"ViZDoom's game needs {NEED >> 10} KB of shared memory, and {shared} has "
            f"{free >> 10} KB free. In a container, start that with more "
            "(docker run --shm-size=1g …); else remove what fills it, or enlarge it: "
            f"mount -o remount,size=1g {shared}"
        )


def prepare(game: Path) -> tuple[Owned, Path]:
    """Make a folder for one game, with a launcher in it; sweep those of killed processes.

    Args:
        game: ViZDoom's executable.

    Returns:
        The folder, and what to execute: the launcher, or ``game`` itself where scripts cannot run.

    Raises:
        OSError: the disk of temporary files is full or may not be written.
    """
    sweep_memory()
    folder = temporary.make(_KIND, remove_memory)
    names = {"folder": folder.path, "game": game, "arguments": _ARGUMENTS}
    guarded = bool(shutil.which("setsid") and shutil.which("setpriv"))
    if guarded:
        watch = _WATCH.format(game=game, started=_STARTED, ended=_ENDED)
        (folder.path / "watch").write_text(watch)
    run = _GUARDED if guarded else _PLAIN.format(game=game)
    launcher = folder.path / "launch"
    launcher.write_text(_SCRIPT.format(run=run, **names))
    launcher.chmod(0o700)
    # False on a file system mounted noexec, as /tmp sometimes is.
    runs = os.name == "posix" and os.access(launcher, os.X_OK)
    return folder, launcher if runs else game


def note_started(folder: Path, instance: str) -> None:
    """Note that a game has started, and its name where the launcher could not.

    Args:
        folder: of the game.
        instance: ViZDoom's own name of the game, part of its shared memory's names.
    """
    (folder / _STARTED).touch()
    if not (folder / _ARGUMENTS).exists():
        (folder / _ARGUMENTS).write_text(f"+viz_instance_id {instance}\n")


def ended(folder: Path) -> str | None:
    """The exit code of a game that has ended, as the shell counts; None while it runs."""
    with suppress(OSError):
        return (folder / _ENDED).read_text().strip() or None
    return None


@cache
def sweep_memory() -> None:
    """Remove, once a process, the shared memory of killed games whose folder is gone too.

    A folder among the temporary files names its game's memory; schedulers give each job a place
    for those of its own, and take it away. Memory is left alone that a process of ours has open,
    or that is young: a game opens it as it starts. Processes of other containers are not seen, and
    lose nothing, since they keep what they have open.
    """
    left = {}
    for path in SHARED.glob("ViZDoom*"):
        with suppress(OSError):  # another process sweeps too
            found = path.lstat()
            old = time.time() - found.st_mtime > _OLD
            if _MEMORY.fullmatch(path.name) and old and owned.is_own(found):
                left[str(path)] = path
    if not left:
        return
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with suppress(OSError):  # of another user, or ended meanwhile
            for line in maps.read_text(errors="replace").splitlines():
                left.pop(line.rpartition(" ")[2], None)
    for path in left.values():
        with suppress(OSError):
            path.unlink()


def remove_memory(folder: Path) -> None:
    """Remove the shared memory of the game that a folder is of, once that has ended."""
    with suppress(OSError):  # it had not begun
        for instance in _INSTANCE.findall(owned.read_note(folder / _ARGUMENTS)):
            for name in ("SM", "MQCtr", "MQDoom"):
                memory = SHARED / f"ViZDoom{name}{instance}"
                if memory.exists() and owned.is_own(memory.lstat()):
                    memory.unlink()
