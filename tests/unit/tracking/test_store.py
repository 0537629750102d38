from pathlib import Path

import pytest

from world_models.errors import UserError
from world_models.tracking import store


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("DVC_ROOT", raising=False)


def test_default_lies_under_the_root_from_any_folder(tmp_path, monkeypatch):
    (tmp_path / ".dvc").mkdir()
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    location = store.locate()
    assert store.database_path(location.uri) == tmp_path / "mlflow.db"
    assert location.artifacts == (tmp_path / "mlartifacts").as_uri()


def test_dvc_root_wins_over_the_copy_that_an_experiment_runs_in(tmp_path, monkeypatch):
    copy = tmp_path / ".dvc" / "tmp" / "exps" / "x"
    (copy / ".dvc").mkdir(parents=True)
    monkeypatch.chdir(copy)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert store.database_path(store.locate().uri) == tmp_path / "mlflow.db"


@pytest.mark.parametrize(
    "uri", ["http://host:5000", "https://host", "postgresql+psycopg2://u:p@h/db", "databricks"]
)
def test_other_stores_are_taken_as_they_are(uri, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert store.locate().uri == uri
    assert store.database_path(uri) is None


def test_own_sqlite_keeps_artifacts_beside_it(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mine.db?timeout=9")
    location = store.locate()
    assert store.database_path(location.uri) == tmp_path / "mine.db"
    assert location.artifacts == (tmp_path / "mlartifacts").as_uri()


@pytest.mark.parametrize("uri", ["./mlruns", "file:///tmp/mlruns", "htp://host", "ftp://host"])
def test_a_uri_that_can_never_work_is_refused_at_the_start(uri, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UserError, match="MLFLOW_TRACKING_URI"):
        store.locate()


def test_a_missing_folder_is_refused_with_its_name(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/no/mlflow.db")
    with pytest.raises(UserError, match=f"{tmp_path}/no"):
        store.locate()
