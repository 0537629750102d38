import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from world_models.tracking import provenance

PARAMS = "carracing:\n  vae:\n    rate: 3e-4\n    sizes: [1, 2]\n  evolve:\n    k: 1\n"
SLICE = {"rate": 3e-4, "sizes": [1, 2]}


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [n for n in os.environ if n.startswith("GIT_")]:
        monkeypatch.delenv(name)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("x = 1\n")
    (tmp_path / "params.yaml").write_text(PARAMS)
    (tmp_path / "dvc.lock").write_text("schema: '2.0'\n")
    monkeypatch.chdir(tmp_path)
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "start"]):
        subprocess.run(["git", *command], check=True)
    return tmp_path


def _describe(parameters: dict[str, object] = SLICE) -> tuple[str, str, str]:
    tags = provenance.describe_code("carracing", "vae", parameters)
    return tags["dirty"], tags["dirty.code"], tags["dirty.parameters"]


def test_clean(repository: Path):
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    tags = provenance.describe_code("carracing", "vae", SLICE)
    assert tags["mlflow.source.git.commit"] == head.stdout.strip()
    assert _describe() == ("false", "false", "false")


def test_lock_and_other_stages_parameters_are_no_dirt(repository: Path):
    (repository / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
    (repository / "params.yaml").write_text(PARAMS.replace("k: 1", "k: 2"))
    assert _describe() == ("false", "false", "false")


def test_changed_parameters_are_dirt(repository: Path):
    assert _describe(SLICE | {"rate": 1e-3}) == ("true", "false", "true")


def test_an_overlay_that_is_committed_is_no_dirt(repository: Path):
    (repository / "more.yaml").write_text("cell:\n  vae:\n    rate: 0.1\n")
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["add", "-A"], [*identity, "commit", "-qm", "overlay"]):
        subprocess.run(["git", *command], check=True)

    def dirty(parameters):
        given = ("carracing", "vae", parameters, "params.yaml", "more.yaml:cell")
        return provenance.describe_code(*given)["dirty.parameters"]

    assert dirty(SLICE | {"rate": 0.1}) == "false"
    assert dirty(SLICE) == "true"


@pytest.mark.parametrize("name", ["a.py", "new.py"])
def test_changed_and_new_code_is_dirt(repository: Path, name: str):
    (repository / "src" / name).write_text("x = 2\n")
    assert _describe() == ("true", "true", "false")


def test_changes_that_the_index_is_told_to_hide_are_dirt(repository: Path):
    subprocess.run(["git", "update-index", "--assume-unchanged", "src/a.py"], check=True)
    (repository / "src" / "a.py").write_text("x = 2\n")
    assert _describe() == ("true", "true", "false")


def test_without_git_it_says_unknown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    tags = provenance.describe_code("carracing", "vae", SLICE)
    assert tags == {"dirty": "unknown"}


LOCK = """schema: '2.0'
stages:
  vae@carracing:
    cmd: python
    deps:
    - path: data/rollouts
      hash: md5
      md5: stale.dir
    params:
      params.yaml:
        carracing.vae.rate: 1
    outs:
    - path: models/vae
      hash: md5
      md5: 00000000000000000000000000000002.dir
      size: 3
  rollouts@carracing:
    cmd: python
    outs:
    - path: data/rollouts
      hash: md5
      md5: 00000000000000000000000000000001.dir
"""


def test_digest_is_that_of_the_stage_that_makes_the_output(tmp_path: Path):
    lock = tmp_path / "dvc.lock"
    lock.write_text(LOCK)
    found = provenance.dvc_digest(lock, tmp_path / "data" / "rollouts")
    assert found == "00000000000000000000000000000001.dir"
    assert len(found) == 36
    assert provenance.dvc_digest(lock, tmp_path / "data" / "other") is None
    assert provenance.dvc_digest(tmp_path / "none", tmp_path / "data") is None
    lock.write_text("stages: [")
    assert provenance.dvc_digest(lock, tmp_path / "data" / "rollouts") is None


def test_gone_means_ended_on_this_machine():
    sleeper = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    identity = provenance.process_identity(sleeper.pid)
    assert not provenance.is_gone(identity)
    assert sleeper.stdin is not None
    sleeper.stdin.close()
    while psutil.Process(sleeper.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert provenance.is_gone(identity)  # although nobody has asked for its exit code yet
    sleeper.wait()
    assert not psutil.pid_exists(sleeper.pid)
    assert provenance.is_gone(identity)


def test_same_number_but_later_start_is_another_process():
    host, pid, start = provenance.process_identity(os.getpid()).rsplit(" ", 2)
    assert provenance.is_gone(f"{host} {pid} {float(start) - 100:.2f}")
    assert not provenance.is_gone(f"elsewhere {pid} {start}")
    assert not provenance.is_gone("")
