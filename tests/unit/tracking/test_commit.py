import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from world_models.tracking import commit

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
    tags = commit.describe_code("carracing", "vae", parameters)
    return tags["dirty"], tags["dirty.code"], tags["dirty.parameters"]


def test_clean(repository: Path):
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    tags = commit.describe_code("carracing", "vae", SLICE)
    assert tags["mlflow.source.git.commit"] == head.stdout.strip()
    assert _describe() == ("false", "false", "false")


def test_lock_and_other_stages_parameters_are_no_dirt(repository: Path):
    (repository / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
    (repository / "params.yaml").write_text(PARAMS.replace("k: 1", "k: 2"))
    assert _describe() == ("false", "false", "false")


def test_changed_parameters_are_dirt(repository: Path):
    assert _describe(SLICE | {"rate": 1e-3}) == ("true", "false", "true")


@pytest.mark.parametrize(
    ("taken", "said"),
    [
        ({"vae.rate": "0.0003", "vae.sizes": "[1, 2]", "evolve.k": "1"}, "nothing"),
        ({"vae.rate": "0.1", "vae.sizes": "[1]"}, "vae.rate=0.1, vae.sizes=[1]"),
        ({"evolve.k": "1.0", "collect.noise": "0.5"}, "nothing"),
        ({"evolve.k": "None"}, "evolve.k=None"),
    ],
)
def test_parameters_that_are_not_the_commits_are_named(repository: Path, taken, said):
    assert commit.differs("carracing", taken) == said
    assert commit.differs("mars", taken) == "unknown"


def test_an_overlay_that_is_committed_is_no_dirt(repository: Path):
    (repository / "more.yaml").write_text("cell:\n  vae:\n    rate: 0.1\n")
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["add", "-A"], [*identity, "commit", "-qm", "overlay"]):
        subprocess.run(["git", *command], check=True)

    def dirty(parameters):
        given = ("carracing", "vae", parameters, "params.yaml", "more.yaml:cell")
        return commit.describe_code(*given)["dirty.parameters"]

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
    tags = commit.describe_code("carracing", "vae", SLICE)
    assert tags == {"dirty": "unknown"}


LOCK = """schema: '2.0'
stages:
  rollouts@carracing:
    cmd: python
    deps:
    - path: src/a.py
      md5: {code}
    params:
      params.yaml:
        carracing.rollouts:
          episodes: {episodes}
    outs:
    - path: data/rollouts
      md5: 00000000000000000000000000000001.dir
  vae@carracing:
    cmd: python
    deps:
    - path: data/rollouts
      md5: 00000000000000000000000000000001.dir
    outs:
    - path: models/vae
      md5: 00000000000000000000000000000002.dir
"""
CODE = hashlib.md5(b"x = 1\n").hexdigest()


@pytest.mark.parametrize(
    ("episodes", "code", "expected"),
    [
        ("3", CODE, "false"),
        ("4", CODE, "rollouts@carracing: carracing.rollouts.episodes = 4 (3 in params.yaml)"),
        ("3", "0" * 32, "rollouts@carracing: src/a.py: other content"),
    ],
)
def test_what_made_the_inputs_is_dirt_too(repository: Path, episodes, code, expected):
    """As in an experiment whose V was trained with parameters that its commit does not have."""
    (repository / "params.yaml").write_text(f"{PARAMS}  rollouts:\n    episodes: 3\n")
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *identity, "commit", "-qam", "rollouts"], check=True)
    (repository / "dvc.lock").write_text(LOCK.format(episodes=episodes, code=code))
    tags = commit.describe_code("carracing", "vae", SLICE, inputs=["models/vae"])
    assert tags["dirty.upstream"] == expected
    assert tags["dirty"] == str(expected != "false").lower()


def test_an_input_that_no_stage_made_is_dirt(repository: Path):
    tags = commit.describe_code("carracing", "vae", SLICE, inputs=["elsewhere/vae"])
    assert tags["dirty.upstream"] == "elsewhere/vae: no stage in dvc.lock made it"


def test_a_token_in_the_repository_s_address_is_recorded_nowhere(repository: Path):
    remote = ["git", "remote", "add", "origin", "https://me:token@example.com/a/b.git"]
    subprocess.run(remote, check=True)
    tags = commit.describe_code("takecover", "vae", SLICE, "params.yaml", "", ())
    assert tags["mlflow.source.git.repoURL"] == "https://example.com/a/b.git"
