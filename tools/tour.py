"""Do what the tutorial says, in a temporary clone, and check what each step prints.

Runs are recorded by a tracking server, and a bucket lies on a server that speaks S3; both run on
this machine meanwhile. At the end Chromium, if it is installed, takes the documentation's pictures
of MLflow's pages. `--keep` leaves the clone there, `--folder` says where it goes.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mlflow.tracking import MlflowClient

import screenshots
import servers
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


def check_records(clone: Path, client: MlflowClient) -> None:
    """All of the tutorial's runs stand on the server, and its agents have champions.

    Raises:
        AssertionError: they do not.
    """
    deadline = time.monotonic() + 120
    while any((clone / ".scratch/tracking").glob("*.jsonl")):  # what is not recorded yet
        assert time.monotonic() < deadline, "some runs are not recorded"
        time.sleep(1)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments, screenshots.PIPELINES)
    assert [run.data.tags["variant"] for run in runs] == ["hotter", "workspace", "workspace"], runs
    for run in runs:
        assert run.info.status == "FINISHED", run
        client.get_model_version_by_alias(run.data.tags["environment"], "champion")
    print(f"  {len(runs)} pipelines recorded, with a champion each", flush=True)


def tour(place: Path) -> None:
    """Follow the tutorial in an empty folder, and say how long each step took.

    Raises:
        AssertionError: a step does not do what the tutorial says.
    """
    clone, recorded = place / "world-models", place / "tracking"
    recorded.mkdir(parents=True)
    smoke.clone(clone)
    with servers.s3() as bucket, servers.mlflow(recorded, servers.free_port()) as tracking:
        variables = shell(MLFLOW_TRACKING_URI=tracking, **bucket)
        for step in steps(TUTORIAL.read_text(encoding="utf-8")):
            start = time.monotonic()
            print(step.code.rstrip(), flush=True)
            follow(step, clone, variables)
            print(f"  … {time.monotonic() - start:.0f} s", flush=True)
        check_records(clone, MlflowClient(tracking))
        program = screenshots.browser()
        if program is None:
            print("no Chromium is installed here: no pictures")
        else:
            screenshots.take(program, tracking, ROOT / "docs/images")


def main() -> None:
    """Parse arguments, follow the tutorial, and clear up."""
    arguments = smoke.parser(__doc__).parse_args()
    with smoke.place(arguments, "tour") as folder:
        tour(folder)


if __name__ == "__main__":
    main()
