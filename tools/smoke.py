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
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def clone(target: Path) -> None:
    """Clone the project into ``target``, with the working tree's changes on top."""
    run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(target)], ROOT)
    listing = ["git", "ls-files", "--modified", "--deleted", "--others", "--exclude-standard", "-z"]
    changed = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, changed.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
        else:
            (target / name).unlink(missing_ok=True)


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


def main() -> None:
    """Parse arguments, run, and say how long it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="where the clone goes (default: temporary)")
    parser.add_argument("--keep", action="store_true", help="leave the clone there afterwards")
    known = sorted(path.parent.name for path in ROOT.glob("experiments/*/smoke.yaml"))
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help=", ".join(known))
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="world-models-smoke-"))
    start = time.monotonic()
    try:
        smoke(folder, arguments.experiments)
    finally:
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"smoke: fourteen stages in {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
