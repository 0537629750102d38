"""Stages that are really killed: the finished result equals an uninterrupted one, byte for byte."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import psutil
import pytest

from world_models.schema import read_yaml

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("pipeline")]
ENVIRONMENT = "takecover"
PATIENCE = 120.0
"""Seconds until a stage must have begun, or ended."""


def command(stage: str, root: Path, out: Path) -> list[str]:
    """The stage's own command of ``dvc.yaml``, writing elsewhere."""
    line = read_yaml(root / "dvc.yaml")["stages"][stage]["do"]["cmd"]
    words = line.replace("${key}", ENVIRONMENT).partition(" python ")[2].split()
    for option in ("--out", "--metrics", "--reports"):
        words[words.index(option) + 1] = str(out / option.strip("-"))
    return [sys.executable, *words]


def start(pipeline, stage: str, out: Path, *more: str, **settings: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*command(stage, pipeline.folder, out), *more],
        cwd=pipeline.folder,
        env=pipeline.environment(**({"WORLD_MODELS_TRACKING": "off"} | settings)),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def scratch(pipeline, stage: str) -> list[Path]:
    """What the stage has saved so far, beside who holds it and the tracker's run id."""
    files = (pipeline.folder / ".scratch").glob(f"{stage}-{ENVIRONMENT}-*/**/*")
    others = ("holder", "mlflow-run")
    return [f for f in files if f.is_file() and not f.name.startswith((".", *others))]


def wait_for_progress(pipeline, stage: str, process: subprocess.Popen[str]) -> None:
    """Until the stage has saved something to go on from."""
    deadline = time.monotonic() + PATIENCE
    while not scratch(pipeline, stage):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline, "the stage saved nothing"
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def _nothing_to_resume(pipeline):
    """What an earlier test or the pipeline left would be taken for this one's progress."""
    forget(pipeline)
    yield
    forget(pipeline)


def forget(pipeline) -> None:
    shutil.rmtree(pipeline.folder / ".scratch", ignore_errors=True)


def contents(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(f.relative_to(folder)): sha256(f.read_bytes()).hexdigest() for f in files}


def artifact(pipeline, stage: str) -> Path:
    line = command(stage, pipeline.folder, Path("x"))
    original = read_yaml(pipeline.folder / "dvc.yaml")["stages"][stage]["do"]["cmd"].split()
    assert "--out" in line
    return pipeline.folder / original[original.index("--out") + 1].replace("${key}", ENVIRONMENT)


@pytest.mark.parametrize("stage", ["rollouts", "vae", "mdnrnn", "evolve"])
def test_killed_stage_ends_with_the_same_bytes(pipeline, tmp_path, stage):
    killed = start(pipeline, stage, tmp_path)
    wait_for_progress(pipeline, stage, killed)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()

    again = start(pipeline, stage, tmp_path)
    _, said = again.communicate(timeout=PATIENCE)
    assert again.returncode == 0, said
    assert contents(tmp_path / "out") == contents(artifact(pipeline, stage))
    kept = {"history.safetensors", "looked.safetensors"} if stage == "evolve" else set()
    assert {path.name for path in scratch(pipeline, stage)} == kept


def test_stage_that_is_killed_while_its_run_is_recorded_loses_nothing(pipeline, tmp_path):
    """Its work is done, DVC has not heard of it yet, and the tracking server does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        on = {"WORLD_MODELS_TRACKING": "on", "MLFLOW_TRACKING_URI": address}
        killed = start(pipeline, "vae", tmp_path, **on)
        journals = pipeline.folder / ".scratch/tracking"
        deadline = time.monotonic() + PATIENCE
        while not any('"do": "end"' in path.read_text() for path in journals.glob("vae-*.jsonl")):
            assert killed.poll() is None, killed.stderr.read()
            assert time.monotonic() < deadline, "the stage did not come to its end"
            time.sleep(0.02)
        family = psutil.Process(killed.pid).children(recursive=True)  # the recorder would wait
        os.killpg(killed.pid, signal.SIGKILL)
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        killed.communicate()
        assert killed.returncode == -signal.SIGKILL
    assert scratch(pipeline, "vae")
    (tmp_path / "metrics").unlink()
    again = start(pipeline, "vae", tmp_path)
    _, said = again.communicate(timeout=PATIENCE)
    assert again.returncode == 0, said
    assert contents(tmp_path / "out") == contents(artifact(pipeline, "vae"))


def test_more_generations_go_on_to_the_bytes_of_one_long_run(pipeline, tmp_path):
    """Three generations, then seven that are killed, then seven: as seven at once."""

    def evolve(generations: int, out: Path) -> subprocess.Popen[str]:
        values = (pipeline.folder / "params.yaml").read_text()
        params = tmp_path / f"{generations}.yaml"
        params.write_text(values.replace("generations: 3", f"generations: {generations}"))
        return start(pipeline, "evolve", out, "--params", str(params))

    def finish(process: subprocess.Popen[str]) -> None:
        _, said = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, said

    finish(evolve(3, tmp_path / "continued"))
    (history,) = (f for f in scratch(pipeline, "evolve") if f.name.startswith("history"))
    before = history.read_bytes()
    killed = evolve(7, tmp_path / "continued")
    deadline = time.monotonic() + PATIENCE
    while not history.exists() or history.read_bytes() == before:
        assert killed.poll() is None, killed.stderr.read()
        assert time.monotonic() < deadline, "no generation was stored"
        time.sleep(0.005)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    finish(evolve(7, tmp_path / "continued"))
    forget(pipeline)
    finish(evolve(7, tmp_path / "at once"))
    assert contents(tmp_path / "continued") == contents(tmp_path / "at once")


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("stage", ["vae", "evolve"])
def test_interrupted_stage_says_how_to_go_on(pipeline, tmp_path, stage, stop):
    process = start(pipeline, stage, tmp_path)
    wait_for_progress(pipeline, stage, process)
    asked = time.monotonic()
    process.send_signal(stop)
    _, said = process.communicate(timeout=PATIENCE)
    assert time.monotonic() - asked < 10
    assert process.returncode == 130
    assert "interrupted; run the same command again" in said
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()


def test_second_start_of_the_same_work_is_refused(pipeline, tmp_path):
    first = start(pipeline, "evolve", tmp_path / "a")
    wait_for_progress(pipeline, "evolve", first)
    os.killpg(first.pid, signal.SIGSTOP)  # so that it is not done before the second has begun
    second = start(pipeline, "evolve", tmp_path / "b")
    _, said = second.communicate(timeout=PATIENCE)
    assert second.returncode == 2
    assert "evolve" in said
    assert "Traceback" not in said
    os.killpg(first.pid, signal.SIGCONT)
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=PATIENCE)
