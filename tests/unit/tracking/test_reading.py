"""A store that cannot be read is one sentence, soon, and without the password."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from world_models import cli
from world_models.errors import InputError
from world_models.tracking import moved, reading, store
from world_models.tracking.runs import Runs

RUN = "0" * 32


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A project of which one output has been made."""
    for name in ("DVC_ROOT", "MLFLOW_TRACKING_URI", *reading.IMPATIENT):
        monkeypatch.setenv(name, "")  # so that what the tests set is taken back
        monkeypatch.delenv(name)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "made").write_text("x")
    (tmp_path / "dvc.lock").write_text(
        "stages:\n  make:\n    cmd: x\n    outs:\n    - path: made\n"
        "      md5: 9dd4e461268c8034f5c8564e155c67a6\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ended(*words: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        cli.main(list(words))
    return int(stopped.value.code or 0)


def test_nothing_recorded_yet_is_no_fault(project):
    assert reading.client() is None
    runs = Runs()
    assert (runs.fault, runs.makers(["a"]), runs.has(RUN)) == (None, {}, False)
    with pytest.raises(InputError, match=f"holds no run {RUN}"):
        runs.get(RUN)


def test_a_server_that_is_away_is_told_within_seconds_and_without_the_password(
    project, monkeypatch, capsys
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://someone:secret@127.0.0.1:9")
    start = time.monotonic()
    assert ended("trace", "made") == 0  # DVC knows enough
    assert time.monotonic() - start < 60
    out, said = capsys.readouterr()
    assert "9dd4e461" in out
    assert "without MLflow's runs: http://127.0.0.1:9 cannot be read" in said
    assert ended("trace", RUN) == 2
    said += capsys.readouterr().err
    assert "holds no run" not in said
    assert "secret" not in said


@pytest.mark.parametrize("content", [b"no database" * 1000, b"SQLite format 3\0" + b"\1" * 8000])
def test_a_damaged_database_is_told(project, content, capsys):
    (project / "mlflow.db").write_bytes(content)
    with pytest.raises(InputError, match=r"mlflow\.db"):
        reading.client()
    assert ended("trace", "made") == 0
    assert "without MLflow's runs" in capsys.readouterr().err
    assert ended("ui") == 2
    assert "The file is damaged" in capsys.readouterr().err


def test_a_database_that_is_in_use_is_waited_for_not_moved_away(project, capsys):
    path = project / "mlflow.db"
    with closing(sqlite3.connect(path)) as user:
        user.execute("CREATE TABLE experiments (name TEXT, artifact_location TEXT)")
        user.commit()
        user.execute("BEGIN EXCLUSIVE")
        assert ended("ui") == 2
    said = capsys.readouterr().err
    assert "Another process writes to it" in said
    assert "move it away" not in said


@pytest.mark.parametrize(
    ("why", "cure"),
    [
        ("OperationalError: database is locked", "Another process"),
        ("OperationalError: attempt to write a readonly database", "chmod"),
        ("OperationalError: database or disk is full", "Free some space"),
        ("OperationalError: unable to open database file", "may not be read"),
        ("DatabaseError: database disk image is malformed", "move it away"),
        ("MlflowException: Connection refused", "whether the server runs"),
    ],
)
def test_each_fault_has_the_cure_that_fits(why, cure):
    assert cure in reading.cure(why, "sqlite:///mlflow.db")


def test_a_database_that_needs_a_driver_says_which(project, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql+nosuchdriver://u:secret@127.0.0.1:9/db")
    with pytest.raises(InputError, match=r"postgresql\+nosuchdriver://127") as told:
        reading.client()
    assert "secret" not in str(told.value)


def test_a_fault_later_on_has_no_password_either(project):
    with pytest.raises(InputError) as told, reading.answering("http://host"):
        raise OSError("no answer from http://u:secret@host/api")
    assert "secret" not in str(told.value)


def test_a_database_of_something_else_moves_nothing(project):
    sqlite3.connect(project / "mlflow.db").close()
    (project / "mlflow.db").write_bytes(b"")
    with pytest.raises(sqlite3.Error, match="no such table"):
        moved.follow(store.locate())
    with pytest.raises(InputError, match="no database of MLflow"):
        reading.client()
