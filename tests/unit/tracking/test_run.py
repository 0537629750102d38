import subprocess
import sys
import time

import pytest

from world_models.errors import UserError
from world_models.tracking import channel, run


def test_opening_and_reporting_do_not_load_mlflow():
    code = "import sys, world_models.tracking.run; print(*sorted(sys.modules))"
    names = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(names.stdout.split())
    assert not loaded & {"mlflow", "torch", "pandas", "matplotlib"}


def test_switched_off_it_starts_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("WORLD_MODELS_TRACKING", "off")
    monkeypatch.chdir(tmp_path)
    with run.open_run("vae", "carracing", {"seed": 1}) as tracker:
        tracker.log_metrics({"loss": 1.0}, 1)
        tracker.log_artifact(tmp_path)
        assert tracker.run_id is None
    assert list(tmp_path.iterdir()) == []


def test_bad_uri_ends_the_stage_before_its_work(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "./mlruns")
    with pytest.raises(UserError, match="mlruns"), run.open_run("vae", "carracing", {}):
        pytest.fail("the body must not start")


def test_unreachable_server_is_a_warning_and_the_stage_goes_on(monkeypatch, capfd, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    start = time.monotonic()
    with run.open_run("vae", "carracing", {"seed": 1}) as tracker:
        tracker.log_metrics({"loss": 1.0}, 1)
        inside = time.monotonic() - start
    assert inside < 1.0
    told = capfd.readouterr().err
    assert "tracking: cannot record in http://127.0.0.1:9" in told
    assert "not recorded" in told
    assert list(tmp_path.iterdir()) == []


def test_recorder_that_dies_is_a_warning(monkeypatch, capfd, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(channel.sys, "executable", "/bin/false")
    with run.open_run("vae", "carracing", {"seed": 1}) as tracker:
        tracker.log_metrics({"loss": 1.0}, 1)
    assert "the recorder ended early; the stage goes on" in capfd.readouterr().err


def test_recorder_that_cannot_start_is_a_warning(monkeypatch, capfd, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(channel.sys, "executable", str(tmp_path / "none"))
    with run.open_run("vae", "carracing", {"seed": 1}) as tracker:
        tracker.log_metrics({"loss": 1.0}, 1)
    assert "cannot start" in capfd.readouterr().err
