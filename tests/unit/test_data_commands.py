"""``world-models data``: what it says of real folders, sound, damaged, and of two versions."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import psutil
import pytest
from data_sets import make_episode, write_rollouts
from dvc.repo import Repo

from world_models import cli
from world_models.reports.readme.write import write_readme

EPISODES = [make_episode(seed, length) for seed, length in ((5, 12), (6, 60), (7, 4), (8, 10))]


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("first") / "rollouts"
    write_rollouts(out, EPISODES[:2], EPISODES[2:3])
    write_readme(out)
    return out


@pytest.fixture(scope="module")
def second(tmp_path_factory) -> Path:
    """The same shards and one more."""
    out = tmp_path_factory.mktemp("second") / "rollouts"
    write_rollouts(out, EPISODES[:2], EPISODES[2:3], EPISODES[3:], behaviour="drifting")
    return out


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(["data", *map(str, words)])
    return int(ended.value.code or 0)


def test_show_counts_what_is_there(first, tmp_path, capsys):
    sheet, video = tmp_path / "sheet.png", tmp_path / "episodes.mp4"
    assert run("show", first, "--json", "--sheet", sheet, "--video", video) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["episodes"], shown["frames"], shown["shards"]) == (3, 76, 2)
    assert shown["length"] == {"min": 4, "mean": 76 / 3, "median": 12, "max": 60}
    assert shown["ended"] == {"stopped": 2, "terminated": 1}
    assert shown["seeds"] == {"min": 5, "max": 7}
    assert sheet.read_bytes() == (first / "frames.png").read_bytes()
    with av.open(str(video)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 6 + 30 + 2
    small = frames[0].reshape(64, 4, 64, 4, 3).mean((1, 3))
    assert np.abs(small - EPISODES[0].frames[0]).mean() < 40  # the video loses colour, not place


def test_show_says_it_in_words_too(first, models, capsys):
    assert run("show", first) == 0
    words = capsys.readouterr().out
    assert "episodes      3" in words
    assert "behaviour  held" in words
    assert run("show", models / "vae") == 0
    assert "z_size  4" in capsys.readouterr().out


def test_show_refuses_before_it_works(first, models, tmp_path, capsys):
    for words, fault in (
        ((first, "--sheet", tmp_path / "sheet.jpg"), "ends in .png"),
        ((first, "--video", tmp_path / "nowhere" / "a.mp4"), "does not exist"),
        ((models / "vae", "--sheet", tmp_path / "sheet.png"), "no frames"),
        ((tmp_path,), "no data set and no model"),
    ):
        assert run("show", *words) == 2
        assert fault in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_verify_names_every_fault(first, models, tmp_path, capsys):
    damaged = tmp_path / "damaged"
    shutil.copytree(first, damaged)
    (damaged / "README.md").write_text("of no consequence")
    assert run("verify", damaged, models / "vae") == 0
    shard = damaged / "shard-00000.h5"
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    (damaged / "shard-00001.h5").unlink()
    (damaged / "notes.txt").write_text("of somebody")
    capsys.readouterr()
    assert run("verify", models / "vae", damaged, tmp_path / "nothing") == 1
    out = capsys.readouterr().out
    assert "vae: 1 files are as their card says" in out
    assert f"{shard}: SHA-256 begins with" in out
    assert "shard-00001.h5: No such file" in out
    assert "notes.txt: the card does not list it" in out
    assert "nothing is no data set" in out
    assert "index.parquet" not in out


def test_verify_compares_the_card_with_what_dvc_keeps(first, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(first, tmp_path / "rollouts")
    with Repo.init(no_scm=True) as repo:
        (tmp_path / "dvc.yaml").write_text("stages: {a: {cmd: 'true', outs: [rollouts]}}")
        repo.commit(force=True)
    assert run("verify", "rollouts") == 0
    assert "which is what DVC keeps" in capsys.readouterr().out
    card = json.loads(Path("rollouts/card.json").read_text())
    Path("rollouts/card.json").write_text(json.dumps(card | {"metrics": {"episodes": 9}}))
    assert run("verify", "rollouts") == 1
    assert "card.json: other bytes than DVC keeps" in capsys.readouterr().out


def test_diff_names_what_was_added_and_what_a_push_sends(first, second, capsys):
    assert run("diff", first, second, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["episodes"] == {"same": 3, "added": [8], "removed": [], "changed": []}
    shared = [first / f"shard-0000{k}.h5" for k in (0, 1)]
    assert found["files"]["shared"] == 2
    assert found["files"]["shared_bytes"] == sum(path.stat().st_size for path in shared)
    new = [second / name for name in ("shard-00002.h5", "index.parquet")]
    assert found["files"]["new_bytes"] == sum(path.stat().st_size for path in new)
    assert found["parameters"] == {
        "rollouts.behaviour": ["held", "drifting"],
        "rollouts.episodes": [3, 4],
    }
    assert found["metrics"] == {"episodes": [3, 4], "frames": [76, 86]}
    assert run("diff", second, first) == 0
    assert "0 added, 1 (seeds 8) removed, 0 changed, 3 the same" in capsys.readouterr().out


@pytest.mark.parametrize("missing", ["shard-00000.h5", "index.parquet"])
def test_diff_says_that_a_file_is_missing_or_damaged(first, tmp_path, capsys, missing):
    other = shutil.copytree(first, tmp_path / "other")
    (other / missing).unlink()
    assert run("diff", first, other) == 2
    assert f"other lacks {missing}" in capsys.readouterr().err
    (other / missing).write_bytes(b"")
    if missing == "index.parquet":
        assert run("diff", first, other) == 2
        assert "index.parquet cannot be read" in capsys.readouterr().err


def test_diff_looks_into_episodes_whose_shards_differ(first, tmp_path, capsys):
    """Other shards, other order, and one reward that differs."""
    rewards = EPISODES[0].rewards + np.float32(1)
    other = tmp_path / "other"
    write_rollouts(other, EPISODES[2:3], EPISODES[1:2], [replace(EPISODES[0], rewards=rewards)])
    assert run("diff", first, other, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["episodes"] == {"same": 2, "added": [], "removed": [], "changed": [5]}


def test_diff_refuses_what_cannot_be_compared(first, models, capsys):
    assert run("diff", first, models / "vae") == 2
    assert "cannot be compared" in capsys.readouterr().err


PYGTRIE = "ignore:_NoneStep.value will soon raise:DeprecationWarning"
"""Of a library of DVC's, in a data index without remotes."""


@pytest.fixture
def project(first, second, tmp_path, monkeypatch) -> Path:
    """A DVC repository with the first version under the tag v1, and the second one in place."""
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.com"]
    subprocess.run([*git, "init", "-q"], check=True)
    shutil.copytree(first, tmp_path / "data/rollouts")
    with Repo.init(str(tmp_path)) as repo:
        repo.add(["data/rollouts"])
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "first"], check=True)
    subprocess.run([*git, "tag", "v1"], check=True)
    shutil.rmtree(tmp_path / "data/rollouts")
    shutil.copytree(second, tmp_path / "data/rollouts")
    return tmp_path


@pytest.mark.filterwarnings(PYGTRIE)
def test_diff_fetches_a_revision(project, capsys):
    assert run("diff", "data/rollouts@v1", "data/rollouts", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["a"]["name"] == "data/rollouts@v1"
    assert found["episodes"] == {"same": 3, "added": [8], "removed": [], "changed": []}
    assert found["files"]["shared"] == 2
    opened = [file.path for file in psutil.Process().open_files()]
    assert not [path for path in opened if "dvc" in path]  # DVC's databases are closed again
    assert run("diff", "data/rollouts@v0", "data/rollouts") == 2
    assert "data/rollouts@v0 cannot be read" in capsys.readouterr().err
