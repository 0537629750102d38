"""Do what the tutorial says, in a temporary clone, and check what each step prints.

`--keep` leaves the clone there, `--folder` says where it goes.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import smoke

ROOT = Path(__file__).resolve().parents[1]
TUTORIAL = ROOT / "docs/tutorial.md"
BLOCK = re.compile(
    r"(?P<skip><!-- not run -->\n)?```bash\n(?P<code>.*?)```\n"
    r"(?P<said>(?:<!-- expect: .*? -->\n)*)",
    re.DOTALL,
)
WHO = ("tour", "tour@example.com")


@dataclass(frozen=True)
class Step:
    """Commands of the tutorial, and what must appear in their output."""

    code: str
    expected: list[str]


def steps(text: str) -> Iterator[Step]:
    """The steps of a page that are run, in order."""
    for found in BLOCK.finditer(text):
        if not found["skip"]:
            yield Step(found["code"], re.findall(r"<!-- expect: (.*?) -->", found["said"]))


def follow(step: Step, folder: Path, environment: dict[str, str]) -> str:
    """Run a step in a shell; returns what it printed.

    Raises:
        AssertionError: a command failed, or something is missing in the output.
    """
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", step.code],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (
        f"{step.code}\nended with {done.returncode}:\n{done.stdout[-4000:]}"
    )
    for text in step.expected:
        assert text in done.stdout, f"{step.code}\nlacks {text!r}:\n{done.stdout[-4000:]}"
    return done.stdout


def shell(**variables: str) -> dict[str, str]:
    """The environment of a reader's shell, with this project's commands."""
    hidden = ("DVC_", "MLFLOW_", "WORLD_MODELS_", "OMP_", "GIT_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    who = {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in zip(("NAME", "EMAIL"), WHO, strict=True)
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**kept, **who, "PATH": path, "PYTHONPATH": "src", "COLUMNS": "160", **variables}


def main() -> None:
    """Parse arguments, follow the tutorial, and say how long each step took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="an empty place (default: temporary)")
    parser.add_argument("--keep", action="store_true", help="leave it there afterwards")
    arguments = parser.parse_args()
    place = arguments.folder or Path(tempfile.mkdtemp(prefix="world-models-tour-"))
    begin = time.monotonic()
    try:
        smoke.clone(place / "world-models")
        for step in steps(TUTORIAL.read_text(encoding="utf-8")):
            start = time.monotonic()
            print(step.code.rstrip(), flush=True)
            follow(step, place / "world-models", shell())
            print(f"  … {time.monotonic() - start:.0f} s", flush=True)
    finally:
        if not arguments.keep:
            shutil.rmtree(place, ignore_errors=True)
    print(f"tour: done in {time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    main()
