"""Run all fourteen stages at toy scale in a temporary clone; the workspace stays untouched.

Named experiments under `experiments/` follow, whole, at toy scale too.
The clone holds the working tree as it is, uncommitted changes included. `--keep` leaves it there
to be looked at; `--folder` says where it goes.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def clone(target: Path) -> None:
    """Clone the project into ``target``, with the working tree's changes on top."""
    run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(target)], ROOT)
    changed = listed("diff", "--name-only", "HEAD")  # staged files too
    added = listed("ls-files", "--others", "--exclude-standard")
    for name in (*changed, *added):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
        else:
            (target / name).unlink(missing_ok=True)


def listed(*command: str) -> list[str]:
    """The files that git names."""
    said = subprocess.run(
        ["git", *command, "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return said.stdout.split("\0")[:-1]


def run(command: list[str], folder: Path) -> None:
    """Run a command with the clone's own source; exit with its code if it fails."""
    hidden = ("DVC_ROOT", "DVC_STAGE", "DVC_EXP_NAME", "MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID")
    environment = {k: v for k, v in os.environ.items() if k not in hidden}
    environment["PYTHONPATH"] = "src"
    # Stages run as `python -m …`: this environment's own python has to come first.
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(command, cwd=folder, env=environment, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def smoke(folder: Path, experiments: Sequence[str] = ()) -> None:
    """Clone, apply the smoke profile, reproduce everything, and see that nothing is left to do."""
    clone(folder)
    python = sys.executable
    run([python, "-m", "world_models.cli", "profile", "smoke"], folder)
    run([python, "-m", "dvc", "repro", "--quiet"], folder)
    run([python, "-m", "dvc", "status", "dvc.yaml"], folder)
    status = [python, "-m", "dvc", "status", "--quiet", "dvc.yaml"]  # exit 1 if anything is stale
    run(status, folder)
    for name in experiments:
        run([python, "-m", "dvc", "repro", "--quiet", f"experiments/{name}/dvc.yaml"], folder)


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options of `place`."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--folder", type=Path, help="where the clone goes (default: temporary)")
    made.add_argument("--keep", action="store_true", help="leave it there afterwards")
    return made


@contextmanager
def place(arguments: argparse.Namespace, name: str) -> Iterator[Path]:
    """A folder to work in, removed afterwards unless it is to be kept; says how long that took."""
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix=f"world-models-{name}-"))
    start = time.monotonic()
    try:
        yield folder
    finally:
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"{name}: done in {time.monotonic() - start:.0f} s")


def main() -> None:
    """Parse arguments, and run."""
    options = parser(__doc__)
    known = sorted(path.parent.name for path in ROOT.glob("experiments/*/smoke.yaml"))
    options.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help=", ".join(known))
    arguments = options.parse_args()
    with place(arguments, "smoke") as folder:
        smoke(folder, arguments.experiments)


if __name__ == "__main__":
    main()
