"""Bad input to real stages: one clear line with the cure, and nothing lost or left behind."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("pipeline")]


OFF = {"WORLD_MODELS_TRACKING": "off"}
"""Other tests count the clone's runs."""


def stage(pipeline, name: str, out: Path, **inputs: Path | str) -> subprocess.CompletedProcess[str]:
    environment = str(inputs.pop("environment", "carracing"))
    words = [f"world_models.stages.{name}", "--environment", environment]
    for kind, path in inputs.items():
        words += [f"--{kind}", str(path)]
    outs = ["--out", out / "out", "--metrics", out / "metrics.json", "--reports", out / "reports"]
    return subprocess.run(
        [sys.executable, "-m", *words, *map(str, outs)],
        cwd=pipeline.folder,
        env=pipeline.environment(**OFF),
        capture_output=True,
        text=True,
        check=False,
    )


def assert_refused(done, out: Path, *words: str) -> None:
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    assert not list(out.iterdir()), "half-written output"


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "outputs"
    folder.mkdir()
    return folder


def copied(pipeline, tmp_path: Path, name: str) -> Path:
    target = tmp_path / "input"
    shutil.copytree(pipeline.folder / name, target)
    return target


def largest(folder: Path) -> Path:
    return max(
        (p for p in folder.iterdir() if p.name != "card.json"), key=lambda p: p.stat().st_size
    )


def test_missing_input(pipeline, tmp_path, out):
    done = stage(pipeline, "vae", out, rollouts=tmp_path / "nowhere")
    assert_refused(done, out, "nowhere", "missing", "dvc")


def test_truncated_shard(pipeline, tmp_path, out):
    folder = copied(pipeline, tmp_path, "data/carracing/rollouts")
    victim = largest(folder)
    victim.chmod(0o644)
    os.truncate(victim, victim.stat().st_size // 2)
    assert_refused(stage(pipeline, "vae", out, rollouts=folder), out, victim.name, "dvc")


def test_flipped_bit(pipeline, tmp_path, out):
    folder = copied(pipeline, tmp_path, "data/carracing/latents")
    victim = largest(folder)
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.unlink()
    victim.write_bytes(content)
    assert_refused(stage(pipeline, "mdnrnn", out, latents=folder), out, victim.name, "damaged")


def test_foreign_folder(pipeline, out):
    done = stage(pipeline, "vae", out, rollouts="models/carracing/vae")
    assert_refused(done, out, "models/carracing/vae", "'vae'", "'rollouts'")


def test_other_environment(pipeline, out):
    done = stage(pipeline, "vae", out, rollouts="data/takecover/rollouts")
    assert_refused(done, out, "takecover", "carracing")


def test_checkpoint_of_another_z_size(pipeline, tmp_path, out):
    """V of one size with M of another: both sound, but not for each other."""
    folder = pipeline.folder
    params = folder / "params.yaml"
    before = params.read_text()
    try:
        head, below = before.split("vae:", 1)
        params.write_text(f"{head}vae:{below.replace('z_size: 32', 'z_size: 16', 1)}")
        small = tmp_path / "small"
        small.mkdir()
        done = stage(pipeline, "vae", small, rollouts="data/carracing/rollouts")
        assert done.returncode == 0, done.stderr
    finally:
        params.write_text(before)
    done = stage(pipeline, "evolve", out, vae=small / "out", mdnrnn="models/carracing/mdnrnn")
    assert_refused(done, out, "z_size 32, this one 16")


def test_no_space_left_keeps_the_earlier_output(pipeline, tmp_path):
    """A tiny file-size limit stands for a full disk: the kernel refuses the write for real."""
    out = tmp_path / "outputs"
    (out / "out").mkdir(parents=True)
    (out / "out/earlier").write_text("kept")
    command = [sys.executable, "-m", "world_models.stages.encode", "--environment", "carracing"]
    inputs = ["--rollouts", "data/carracing/rollouts", "--vae", "models/carracing/vae"]
    outs = ["--out", out / "out", "--metrics", out / "metrics.json", "--reports", out / "reports"]
    limited = "import resource, signal, sys, runpy; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    limited += "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000)); "
    limited += "sys.argv = sys.argv[1:]; runpy.run_module(sys.argv[0], run_name='__main__')"
    done = subprocess.run(
        [command[0], "-c", limited, *command[2:], *inputs, *map(str, outs)],
        cwd=pipeline.folder,
        env=pipeline.environment(**OFF),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "space" in done.stderr
    assert (out / "out/earlier").read_text() == "kept"
    assert [path.name for path in out.iterdir()] == ["out"]


def test_no_vizdoom(pipeline, tmp_path, out):
    """A package that cannot be imported, as on a machine where it was not installed."""
    blocked = tmp_path / "blocked/vizdoom"
    blocked.mkdir(parents=True)
    (blocked / "__init__.py").write_text("raise ImportError('libopenal.so.1: not found')\n")
    command = [sys.executable, "-m", "world_models.stages.rollouts", "--environment", "takecover"]
    outs = ["--out", str(out / "o"), "--metrics", str(out / "m"), "--reports", str(out / "r")]
    done = subprocess.run(
        [*command, *outs],
        cwd=pipeline.folder,
        env=pipeline.environment(PYTHONPATH=f"src:{tmp_path / 'blocked'}", **OFF),
        capture_output=True,
        text=True,
        check=False,
    )
    assert_refused(done, out, "vizdoom", "pip install")
