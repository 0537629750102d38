import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from world_models.errors import Interrupted, UserError
from world_models.storage.scratch import Scratch
from world_models.tracking import run
from world_models.tracking.journal import Journal
from world_models.tracking.tracker import Tracker

PYTHON = sys.executable


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
    assert list(tmp_path.iterdir()) == []


def test_bad_uri_ends_the_stage_before_its_work(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "./mlruns")
    with pytest.raises(UserError, match="mlruns"), run.open_run("vae", "carracing", {}):
        pytest.fail("the body must not start")


def test_unreachable_server_is_a_warning_and_what_was_logged_is_kept(monkeypatch, capfd, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    (tmp_path / "curves.csv").write_text("1")
    start = time.monotonic()
    with run.open_run("vae", "carracing", {"seed": 1}) as tracker:
        tracker.log_metrics({"loss": 1.0}, 1)
        tracker.log_artifact(tmp_path / "curves.csv")
        inside = time.monotonic() - start
    assert inside < 1.0
    (tmp_path / "curves.csv").write_text("of a later run")
    printed = capfd.readouterr().err
    assert "tracking: not all is recorded in http://127.0.0.1:9" in printed
    (path,) = (tmp_path / ".scratch" / "tracking").glob("*.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    kinds = [line["do"] for line in lines if line["do"] != "tags"]
    assert kinds == ["open", "parameters", "upstream", "metrics", "artifact", "metrics", "end"]
    (kept,) = (Path(line["path"]) for line in lines if line["do"] == "artifact")
    assert kept.name == "curves.csv"


def test_recorder_that_fails_is_a_warning(monkeypatch, capfd, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run.sys, "executable", "/bin/false")
    with run.open_run("vae", "carracing", {"seed": 1}) as tracker:
        tracker.log_metrics({"loss": 1.0}, 1)
    assert "the recorder failed, see" in capfd.readouterr().err


def test_recorder_that_cannot_start_is_a_warning(monkeypatch, capfd, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run.sys, "executable", str(tmp_path / "none"))
    with run.open_run("vae", "carracing", {"seed": 1}) as tracker:
        tracker.log_metrics({"loss": 1.0}, 1)
    assert "the recorder cannot start" in capfd.readouterr().err


def test_the_cost_of_interrupted_attempts_is_part_of_the_runs(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run.sys, "executable", str(tmp_path / "none"))  # nobody takes the journals

    def attempt(seconds, ending=None):
        """A stage that a child process works for; the journal's figure."""
        before = set(tmp_path.glob(".scratch/tracking/*.jsonl"))
        code = f"import time\nwhile time.process_time() < {seconds}: pass"
        with (
            suppress(Interrupted),
            Scratch.open(tmp_path, "vae", "carracing", "0" * 64) as scratch,
            run.open_run("vae", "carracing", {}, scratch=scratch),
        ):
            subprocess.run([PYTHON, "-c", code], check=True)
            if ending is None:
                scratch.remove()
            else:
                raise ending
        (path,) = set(tmp_path.glob(".scratch/tracking/*.jsonl")) - before
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        (cost,) = (
            line["values"][run.COST] for line in lines if run.COST in str(line.get("values"))
        )
        return cost * 3600

    already = sum(os.times()[:4])
    first = attempt(0.5, Interrupted)
    assert already + 0.45 < first <= sum(os.times()[:4]) + 0.02  # its clock ticks every 10 ms
    second = attempt(0.5)
    assert second > first + already + 0.9
    assert attempt(0.1) < second  # after success nothing is left to add


def test_folder_that_cannot_be_written_is_a_warning(monkeypatch, capfd, tmp_path):
    (tmp_path / ".scratch").write_text("a file where the folder should be")
    monkeypatch.chdir(tmp_path)
    with run.open_run("vae", "carracing", {"seed": 1}) as tracker:
        tracker.log_metrics({"loss": 1.0}, 1)
    assert "this run is not recorded" in capfd.readouterr().err


def test_what_cannot_be_recorded_is_a_warning(capsys, tmp_path):
    journal = Journal(tmp_path / "run-1.jsonl")
    journal.create({"do": "open"})
    tracker = Tracker(journal)
    tracker.log_artifact(tmp_path / "missing.png")
    tracker.log_outputs(tmp_path / "missing.json", tmp_path / "missing")
    journal.remove()
    tracker.log_metrics({"loss": 1.0}, 1)
    printed = capsys.readouterr().err
    lines = printed.splitlines()
    assert all(line.startswith("tracking: ") for line in lines)
    expected = ("missing.png", "missing.json", "run-1.jsonl")
    assert all(name in line for name, line in zip(expected, lines, strict=True))
    assert list(tmp_path.iterdir()) == []
