"""A real MLflow store whose project folder goes elsewhere."""

import shutil
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from world_models.tracking.moved import follow
from world_models.tracking.store import Location


def location(root: Path) -> Location:
    return Location(f"sqlite:///{root / 'mlflow.db'}", (root / "mlartifacts").as_uri())


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A store with an artifact in an experiment of ours, and one in a folder of the user's."""
    root = tmp_path / "a b" / "project"
    root.mkdir(parents=True)
    client = MlflowClient(location(root).uri)
    (tmp_path / "x.txt").write_text("hello")
    elsewhere = (tmp_path / "elsewhere").as_uri()
    places = {"ours": f"{location(root).artifacts}/ours", "theirs": elsewhere}
    for name, place in places.items():
        run = client.create_run(client.create_experiment(name, place))
        client.log_artifact(run.info.run_id, str(tmp_path / "x.txt"))
    return root


def addresses(root: Path) -> dict[str, str]:
    client = MlflowClient(location(root).uri)
    found = {}
    for name in ("ours", "theirs"):
        experiment = client.get_experiment_by_name(name)
        (run,) = client.search_runs([experiment.experiment_id])
        assert [a.path for a in client.list_artifacts(run.info.run_id)] == ["x.txt"]
        assert run.info.artifact_uri.startswith(experiment.artifact_location)
        found[name] = experiment.artifact_location
    return found


@pytest.mark.parametrize("how", [shutil.move, shutil.copytree])
def test_artifacts_are_found_where_the_project_is_now(project, tmp_path, how):
    before = addresses(project)
    there = tmp_path / "there"
    how(project, there)
    assert follow(location(there)) == 1
    assert addresses(there) == before | {"ours": f"{(there / 'mlartifacts').as_uri()}/ours"}
    assert follow(location(there)) == 0
    if project.exists():
        assert addresses(project) == before


def test_other_stores_are_left_alone(tmp_path):
    assert follow(Location("http://127.0.0.1:9", None)) == 0
    assert follow(location(tmp_path)) == 0
    assert list(tmp_path.iterdir()) == []
