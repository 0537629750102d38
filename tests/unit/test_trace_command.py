"""``world-models trace RUN`` of runs that made equal bytes from different inputs."""

import hashlib
import json
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from world_models import cli
from world_models.origin import digests

CARDS = {"hot": b'{"tau": 1.3}', "cold": b'{"tau": 0.5}'}


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def runs(tmp_path, monkeypatch) -> dict[str, str]:
    """Two evaluations with one score; the project holds what the hot one, the older, came from."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    Path(".dvc").mkdir()
    Path("models").mkdir()
    Path("models/card.json").write_bytes(CARDS["hot"])
    Path("score.json").write_text("170")
    md5 = {name: digests.of_disk(Path(name)) for name in ("models", "score.json")}
    out = "    outs:\n    - path: {0}\n      md5: {1}\n"
    dep = "    deps:\n    - path: models\n      md5: {models}\n"
    Path("dvc.lock").write_text(
        f"stages:\n  evolve@x:\n    cmd: a\n{out.format('models', md5['models'])}"
        f"  evaluate@x:\n    cmd: b\n{dep.format(**md5)}"
        f"{out.format('score.json', md5['score.json'])}"
    )
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.create_experiment("e")
    made = {}
    for name in CARDS:
        tags = {"stage": "evolve", "dvc.stage": "evolve@x", "output": sha(CARDS[name])}
        above = client.create_run(experiment, tags=tags, run_name=f"evolve {name}").info.run_id
        tags = {"stage": "evaluate", "dvc.stage": "evaluate@x", "output": sha(b"170")}
        tags |= {"upstream.controller": above}
        run = client.create_run(experiment, tags=tags, run_name=f"evaluate {name}")
        made[name] = run.info.run_id
    return made


def trace(what: str, capsys) -> dict:
    with pytest.raises(SystemExit):
        cli.main(["trace", what, "--json"])
    found: dict = json.loads(capsys.readouterr().out)
    return found


def test_a_run_whose_inputs_lie_here_is_told_by_dvc(runs, capsys):
    found = trace(runs["hot"], capsys)
    assert (found["path"], found["run"]["run"]) == ("score.json", runs["hot"])
    (above,) = found["inputs"]
    assert (above["path"], above["run"]["name"]) == ("models", "evolve hot")
    assert found["problems"] == above["problems"] == []


def test_a_run_whose_inputs_were_others_is_told_by_mlflow(runs, capsys):
    found = trace(runs["cold"], capsys)
    assert (found["run"], found["name"]) == (runs["cold"], "evaluate cold")
    assert found["inputs"][0]["name"] == "evolve cold"
    assert "no longer in dvc.lock" in found["problems"][0]


def test_without_a_repository_no_commit_is_asked_for(runs, capsys):
    with pytest.raises(SystemExit):
        cli.main(["trace", "score.json"])
    told = " ".join(capsys.readouterr().out.split())
    assert "there is no git repository" in told
    assert "commit dvc.lock" not in told


def test_a_path_that_nothing_made_is_told_with_the_nearest_ones(runs, capsys):
    with pytest.raises(SystemExit):
        cli.main(["trace", "scores"])
    assert "Name what one made (score.json" in capsys.readouterr().err
