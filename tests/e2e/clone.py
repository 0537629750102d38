"""A clone of the project that tests run commands in."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

HOOK = Path(__file__).parent / "import_hook.py"


@dataclass(frozen=True)
class Clone:
    """A clone of the project, and how to run commands in it, with what variables."""

    folder: Path
    imports: Path
    variables: dict[str, str] = field(default_factory=dict)

    def run(self, *command: str, check: bool = True, **variables: str) -> str:
        """Run ``python -m …``; returns what it printed, both streams."""
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=self.folder,
            env=self.environment(**variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, done.stdout[-4000:]
        return done.stdout

    def dvc(self, *lines: str, **variables: str) -> str:
        """Run DVC's commands one after another in one process, which loads DVC once."""
        return self.run("e2e_dvc", *lines, PYTHONPATH=f"src:{HOOK.parent}", **variables)

    def environment(self, **variables: str) -> dict[str, str]:
        """The environment of a user's shell in the clone."""
        hidden = ("DVC_", "MLFLOW_", "WORLD_MODELS_", "OMP_")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {**kept, "PATH": path, "PYTHONPATH": "src", **self.variables, **variables}
