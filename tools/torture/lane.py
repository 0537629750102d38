"""A finished pipeline at toy scale to do harm to, and what it was before."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from torture.rows import Outcome
from world_models.schema import read_yaml

HOOK = Path(__file__).parent / "hook"
PATIENCE = 300.0
"""Seconds in which a stage at toy scale has ended, whatever was done to it."""
COUNT = "count"
"""Name of the file that a process counts its file operations in."""
KEPT = ("history.safetensors", "looked.safetensors")
"""What stage evolve keeps after success, for a longer run."""


class BrokenPromiseError(Exception):
    """What should have held did not."""


@dataclass
class Lane:
    """A clone of the project that is nobody else's, with a temporary folder of its own.

    Attributes:
        source: the sound clone that it is a copy of.
        folder: the clone, whose pipeline was reproduced.
        temporary: its ``TMPDIR``.
        stages: by name such as ``vae@takecover``, as ``dvc.lock`` has them.
        before: checksums of each stage's outputs.
        seconds: that each stage takes alone.
        changes: file operations that each stage's process makes.
    """

    source: Path
    folder: Path
    temporary: Path
    stages: dict[str, Any] = field(default_factory=dict)
    before: dict[str, dict[str, str]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    changes: dict[str, int] = field(default_factory=dict)

    @classmethod
    def copy(cls, source: Path, folder: Path) -> "Lane":
        """Copy a clone, and look at what its pipeline made."""
        shutil.copytree(source, folder / "clone", symlinks=True)
        (folder / "tmp").mkdir()
        lane = cls(source, folder / "clone", folder / "tmp")
        lane.stages = read_yaml(lane.folder / "dvc.lock")["stages"]
        lane.before = {name: lane.digests(name) for name in lane.stages}
        return lane

    def outs(self, stage: str) -> list[Path]:
        """What the stage writes."""
        return [self.folder / out["path"] for out in self.stages[stage]["outs"]]

    def digests(self, stage: str) -> dict[str, str]:
        """SHA-256 of each file that the stage wrote."""
        files = [file for out in self.outs(stage) for file in _files(out)]
        return {
            str(file.relative_to(self.folder)): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in files
        }

    def measure(self, stage: str) -> None:
        """Run the stage in peace, to know how long it takes and what it does to files."""
        count, start = self.temporary / COUNT, time.monotonic()
        self.finish(stage, TORTURE_COUNT=str(count))
        self.seconds[stage] = time.monotonic() - start
        self.changes[stage] = int(count.read_text())
        count.unlink()

    def environment(self, **variables: str) -> dict[str, str]:
        """A user's, in the clone."""
        hidden = ("DVC_", "MLFLOW_", "WORLD_MODELS_", "OMP_", "PYTEST_")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        own = {"PATH": path, "TMPDIR": str(self.temporary), "PYTHONPATH": f"{HOOK}:src"}
        return kept | own | variables

    def start(
        self, stage: str, before: Callable[[], None] | None = None, **variables: str
    ) -> "subprocess.Popen[str]":
        """Begin the stage as DVC does: without its outputs, by its own command.

        Args:
            stage: which.
            before: called in the new process before it begins.
            variables: of its environment.
        """
        self.clear(stage)
        return self._open([sys.executable, *self._words(stage)], before, **variables)

    def again(self, stage: str) -> "subprocess.CompletedProcess[str]":
        """Run the stage while it runs already; its outputs are left as they are."""
        return subprocess.run(
            [sys.executable, *self._words(stage)],
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def _words(self, stage: str) -> list[str]:
        words: list[str] = self.stages[stage]["cmd"].partition(" python ")[2].split()
        return words

    def start_dvc(self, stage: str) -> "subprocess.Popen[str]":
        """Let DVC begin the stage."""
        command = ["dvc", "repro", "--force", "--single-item", stage]
        return self._open([sys.executable, "-m", *command])

    def _open(
        self, command: list[str], before: Callable[[], None] | None = None, **variables: str
    ) -> "subprocess.Popen[str]":
        # Into a file: who reads no pipe would let a talkative process wait for ever.
        with (self.temporary.parent / "said").open("w") as said:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment(**variables),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                text=True,
                start_new_session=True,
                preexec_fn=before,
            )

    @property
    def said(self) -> str:
        """What the last process said."""
        return (self.temporary.parent / "said").read_text(errors="replace")

    def clear(self, stage: str) -> None:
        """Remove the stage's outputs."""
        for out in self.outs(stage):
            shutil.rmtree(out) if out.is_dir() else out.unlink(missing_ok=True)

    def restore(self, stage: str) -> None:
        """Give the stage its sound outputs back, and nothing to go on from."""
        shutil.rmtree(self.folder / ".scratch", ignore_errors=True)
        self.clear(stage)
        for out in self.outs(stage):
            sound = self.source / out.relative_to(self.folder)
            if sound.is_dir():
                shutil.copytree(sound, out, symlinks=True)
            else:
                shutil.copy2(sound, out)

    def finish(self, stage: str, **variables: str) -> None:
        """Run the stage to its end.

        Raises:
            BrokenPromiseError: it fails, or does not end.
        """
        process = self.start(stage, **variables)
        code = self.wait(process)
        if code:
            raise BrokenPromiseError(f"{stage} ends with {code}: {self.said[-600:]}")

    def wait(self, process: "subprocess.Popen[str]", seconds: float = PATIENCE) -> int:
        """Wait for a process's end.

        Raises:
            BrokenPromiseError: it does not end; it is killed with all that it began.
        """
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise BrokenPromiseError(
                f"still at work after {seconds:.0f} s: {self.said[-600:]}"
            ) from None

    def equal(self, stage: str) -> bool:
        """Whether the outputs are what they were, byte for byte."""
        return self.digests(stage) == self.before[stage]

    def judge(self, stage: str) -> Outcome:
        """What came of all that was done to a stage, which has run to its end since."""
        same, left = self.equal(stage), self.remains()
        why = "" if same else "other bytes"
        for path in self._temporaries():  # told once, not after each later harm as well
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        return Outcome(same, bool(left), f"{left[:3]} remain" if left else why)

    def remains(self) -> list[str]:
        """What nobody needs any more: processes, half-written and temporary files, state."""
        deadline = time.monotonic() + 20
        while (alive := list(self.processes())) and time.monotonic() < deadline:
            time.sleep(0.1)
        found = [f"process {command(process)[-120:]}" for process in alive]
        state = self.folder / ".scratch"
        found += [str(path) for path in _files(state) if not _belongs(path.relative_to(state))]
        found += [str(path) for path in self.folder.rglob("*.partial") if ".dvc" not in path.parts]
        return found + [str(path) for path in self._temporaries()]

    def _temporaries(self) -> list[Path]:
        """What lies in the temporary folder, beside this tool's own.

        Our empty folder may stay, and torch's folder of compiled code, one for each user.
        """
        ours = self.temporary / f"world-models-{os.geteuid()}"
        kept = (ours, self.temporary / COUNT, *self.temporary.glob("torchinductor_*"))
        beside = [path for path in self.temporary.iterdir() if path not in kept]
        return beside + (list(ours.iterdir()) if ours.is_dir() else [])

    def processes(self) -> Iterator[psutil.Process]:
        """All that live in this clone."""
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                ours = Path(process.cwd()) == self.folder
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    yield process


def command(process: psutil.Process) -> str:
    """A process's command line; empty if it has ended meanwhile."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(file for file in path.rglob("*") if file.is_file())


def _belongs(path: Path) -> bool:
    """Whether a file of the state may stay after success."""
    return path.name in KEPT or path.suffix == ".lock" or path.parts[0] == "tracking"
