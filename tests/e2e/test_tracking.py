"""Real stage processes on a real store: started together, failed, interrupted, killed, resumed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

import servers
from world_models.errors import UserError
from world_models.tracking.costs import core_hours

STAGE = """
import pickle, signal, subprocess, sys
from pathlib import Path
from world_models.errors import Interrupted
from world_models.storage.artifact import Card
from world_models.storage.scratch import Scratch
from world_models.tracking.run import open_run

def interrupt(*_):
    raise Interrupted

name, ending, first = sys.argv[1], sys.argv[2], int(sys.argv[3])
signal.signal(signal.SIGINT, interrupt)
signal.signal(signal.SIGTERM, interrupt)
made = {"parameters": {"seed": 3, "episodes": 9}, "metrics": {"frames": 40}}
card = Card(1, "rollouts", "carracing", "vae", {"learning_rate": 0.5}, {"loss": {"kl": 2.5}}, {},
            {"rollouts": made}, {})
with (
    Scratch.open(Path(), name, "carracing", "0" * 64) as scratch,
    open_run(name, "carracing", {"seed": 7, "n": {"a": 1}}, [card], scratch) as tracker,
):
    for step in range(first, 1500):
        tracker.log_metrics({"loss": 1 / (step + 1)}, step)
    Path(f"{name}.txt").write_text("hello")
    tracker.log_artifact(Path(f"{name}.txt"), "reports")
    tracker.log_input("rollouts", Path("data"), card)
    tracker.log_result(Path("made"))
    if ending == "spreads":  # as a training on several devices does
        code = "import pickle, sys; pickle.load(sys.stdin.buffer).log_metrics({'x': 5.0}, 8)"
        subprocess.run([sys.executable, "-c", code], input=pickle.dumps(tracker), check=True)
    if ending == "fails":
        raise ValueError("as asked")
    if ending == "waits":
        print("ready", flush=True)
        sys.stdin.readline()
"""
LOCK = """
stages:
  rollouts:
    outs:
    - path: data
      md5: 0123456789abcdef0123456789abcdef.dir
"""
QUICK = [f"stage{i}" for i in range(7)]
WAITING = {
    "interrupted": signal.SIGINT,
    "terminated": signal.SIGTERM,
    "killed": signal.SIGKILL,
    "both": signal.SIGKILL,
}


@dataclass
class Store:
    """A store that twelve stages were started on at the same time."""

    folder: Path
    exits: dict[str, int]

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(f"sqlite:///{self.folder / 'mlflow.db'}")

    def runs(self) -> dict[str, list[Run]]:
        experiments = [e.experiment_id for e in self.client.search_experiments()]
        found: dict[str, list[Run]] = {}
        for run in self.client.search_runs(experiments):
            if "stage" in run.data.tags:  # else a pipeline's row
                found.setdefault(run.data.tags["stage"], []).append(run)
        return found

    def row(self, run: Run) -> Run:
        """The row of a stage's pipeline."""
        return self.client.get_run(run.data.tags["mlflow.parentRunId"])

    def run(self, name: str) -> Run:
        (run,) = self.runs()[name]
        return run


def _start(
    folder: Path,
    name: str,
    ending: str,
    first: int = 0,
    said: int | None = None,  # pytest shows it when a test fails
    **variables: str,
) -> "subprocess.Popen[str]":
    hidden = ("MLFLOW_", "DVC_", "WORLD_MODELS_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
    return subprocess.Popen(
        [sys.executable, "-c", STAGE, name, ending, str(first)],
        cwd=folder,
        env=environment | variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=said,
        text=True,
    )


def _wait(condition: Callable[[], object], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def _journals(folder: Path) -> list[Path]:
    return list((folder / ".scratch" / "tracking").glob("*.jsonl"))


def _recorder(process: "subprocess.Popen[str]") -> psutil.Process:
    (found,) = psutil.Process(process.pid).children()
    return found


def _end(store: Store, process: "subprocess.Popen[str]", name: str) -> None:
    """End a stage while it works, as a user or the system would."""
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    _wait(lambda: name in store.runs())
    if name == "both":
        _recorder(process).kill()
    process.send_signal(WAITING[name])
    process.communicate()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("store")
    (folder / "dvc.lock").write_text(LOCK)
    (folder / "made").mkdir()
    (folder / "made/card.json").write_text("{}")
    store = Store(folder, {})
    endings = dict.fromkeys(QUICK, "ends") | {"broken": "fails"} | dict.fromkeys(WAITING, "waits")
    endings["stage6"] = "spreads"
    assert len(endings) == 12
    processes = {name: _start(folder, name, ending) for name, ending in endings.items()}
    _wait((folder / "mlflow.db").exists)
    for name in WAITING:
        _end(store, processes[name], name)
    for name in {*processes} - {*WAITING}:
        processes[name].communicate()
    _wait(lambda: len(_journals(folder)) == 1)  # of "both", which nobody records yet
    store.exits.update({name: process.returncode for name, process in processes.items()})
    yield store
    shutil.rmtree(folder)


@pytest.mark.slow
def test_twelve_stages_on_a_fresh_store_do_not_collide(store: Store):
    assert {store.exits[name] for name in QUICK} == {0}
    runs = store.runs()
    assert set(runs) == {*QUICK, "broken", *WAITING}
    assert {run.info.status for name in QUICK for run in runs[name]} == {"FINISHED"}
    assert {run.data.metrics["curves/loss"] for name in QUICK for run in runs[name]} == {1 / 1500}
    history = store.client.get_metric_history(runs["stage0"][0].info.run_id, "curves/loss")
    assert [m.step for m in history] == list(range(1500))


@pytest.mark.slow
def test_a_run_holds_what_the_stage_said_and_what_lies_upstream(store: Store):
    run = store.run("stage0")
    expected = {"stage0.seed": "7", "stage0.n.a": "1"}
    upstream = {"vae.learning_rate": "0.5", "rollouts.episodes": "9", "rollouts.seed": "3"}
    assert run.data.params == expected | upstream
    assert not [
        name for name in run.data.metrics if not name.startswith(("curves/", "cost/", "system/"))
    ]
    row = store.row(run)
    assert row.data.params.items() >= (expected | upstream).items()
    assert next(iter(row.data.metrics)) == "agent/mean", "what MLflow compares first"
    assert (row.data.metrics["loss/kl"], row.data.metrics["rollouts/frames"]) == (2.5, 40)
    assert row.data.metrics["cost/stage0"] == run.data.metrics["cost/core-hours"]
    tags = run.data.tags
    assert (tags["environment"], tags["seed"], tags["variant"]) == ("carracing", "7", "workspace")
    assert tags["dirty"] == "unknown"  # outside a repository
    assert "mlflow.source.git.commit" not in tags
    assert tags["mlflow.source.name"] == "src/world_models/stages/stage0.py"
    assert run.info.run_name == f"stage0 {row.info.run_name}"
    assert row.info.run_name.startswith("workspace ")
    assert "`data`, md5 `0123456789abcdef0123456789abcdef.dir`" in tags["mlflow.note.content"]
    assert 0 < run.info.end_time - run.info.start_time < 20_000  # of the stage, not its recorder
    (dataset,) = run.inputs.dataset_inputs
    assert dataset.dataset.digest == "0123456789abcdef0123456789abcdef.dir"
    assert json.loads(dataset.dataset.source) == {"uri": (store.folder / "data").as_uri()}
    assert json.loads(dataset.dataset.profile) == {"loss.kl": 2.5}
    assert "frames" in dataset.dataset.schema
    artifact = store.folder / "mlartifacts" / "world-models-carracing" / run.info.run_id
    assert (artifact / "artifacts" / "reports" / "stage0.txt").read_text() == "hello"


@pytest.mark.slow
def test_how_a_stage_ends_is_how_its_run_ends(store: Store):
    statuses = {name: store.run(name).info.status for name in ("broken", "interrupted")}
    assert statuses == {"broken": "FAILED", "interrupted": "KILLED"}
    assert store.run("terminated").info.status == "KILLED"
    assert store.exits["broken"] == 1
    # SIGKILL reaches no handler: the recorder saw that the process had ended
    assert store.exits["killed"] == -signal.SIGKILL
    assert store.run("killed").info.status == "KILLED"


@pytest.mark.slow
def test_several_processes_log_to_one_run(store: Store):
    run = store.run("stage6")
    assert run.data.metrics["curves/loss"] == 1 / 1500
    (metric,) = store.client.get_metric_history(run.info.run_id, "curves/x")
    assert (metric.value, metric.step) == (5.0, 8)


@pytest.mark.slow
def test_nothing_stray_is_left(store: Store):
    names = {p.name for p in store.folder.iterdir() if not p.name.endswith(".txt")}
    sides = {"mlflow.db.lock", ".scratch", "dvc.lock", "made"}
    assert {"mlflow.db", "mlartifacts"} <= names <= {"mlflow.db", "mlartifacts"} | sides
    left = {path.name.split("-")[0] for path in (store.folder / ".scratch/tracking").iterdir()}
    assert left - {"pipelines.lock"} == {"both"}


@pytest.mark.slow
def test_resume_continues_the_run_and_the_next_stage_closes_what_nobody_recorded(store: Store):
    assert store.run("both").info.status == "RUNNING"  # nobody was left to say otherwise
    before = store.run("killed").info.run_id
    again = _start(store.folder, "killed", "ends", first=1000)  # repeats steps, as a resume does
    again.communicate()
    _wait(lambda: not _journals(store.folder))
    run = store.run("killed")
    assert (run.info.run_id, run.info.status) == (before, "FINISHED")
    history = store.client.get_metric_history(run.info.run_id, "curves/loss")
    assert sorted(m.step for m in history) == list(range(1500))
    both = store.run("both")
    assert both.info.status == "KILLED"
    history = store.client.get_metric_history(both.info.run_id, "curves/loss")
    assert sorted(m.step for m in history) == list(range(1500))


@pytest.mark.slow
def test_a_resumed_run_has_the_core_hours_of_its_attempts(store: Store, monkeypatch):
    again = _start(store.folder, "interrupted", "ends", first=1000)
    again.communicate()
    _wait(lambda: store.run("interrupted").info.status == "FINISHED")
    run = store.run("interrupted")
    history = store.client.get_metric_history(run.info.run_id, "cost/core-hours")
    first, both = (m.value for m in sorted(history, key=lambda m: m.step))
    assert 0 < first < both < 1
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store.folder / 'mlflow.db'}")
    found = core_hours({None})
    assert found["carracing", "interrupted"] == both
    with pytest.raises(UserError, match="no finished run"):  # all these are of the root's pipeline
        core_hours({"rounds"})
    assert set(QUICK) <= {stage for _, stage in found}


@pytest.mark.slow
def test_killed_recorder_is_replaced_at_the_stages_end(store: Store):
    stage = _start(store.folder, "bereft", "waits")
    _wait(lambda: "bereft" in store.runs())
    _recorder(stage).kill()
    stage.communicate("go on\n")
    _wait(lambda: not _journals(store.folder))
    run = store.run("bereft")
    assert (stage.returncode, run.info.status) == (0, "FINISHED")
    history = store.client.get_metric_history(run.info.run_id, "curves/loss")
    assert sorted(m.step for m in history) == list(range(1500))


@pytest.mark.slow
def test_a_pipeline_is_one_row_until_a_stage_of_it_is_repeated(store: Store):
    """Stages that start together join one row; what comes again after its end begins another."""
    runs = store.runs()
    (row,) = {run.data.tags["mlflow.parentRunId"] for name in QUICK for run in runs[name]}
    shutil.rmtree(store.folder / ".scratch/stage0-carracing-000000000000")  # else it goes on
    again = _start(store.folder, "stage0", "ends")
    again.communicate()
    _wait(lambda: len(store.runs()["stage0"]) == 2)
    newest, first = store.runs()["stage0"]
    assert first.data.tags["mlflow.parentRunId"] == row
    other = store.row(newest)
    assert other.info.run_id != row
    _wait(lambda: store.row(newest).info.status == "FINISHED")
    below = _start(store.folder, "below", "ends")
    below.communicate()
    _wait(lambda: "below" in store.runs())
    assert store.row(store.run("below")).info.run_id == other.info.run_id
    upstream = store.run("below").data.tags
    assert "upstream.rollouts" not in upstream  # nothing here has made that data set


@pytest.mark.slow
def test_a_server_with_passwords_that_is_away_and_restarted_loses_nothing(tmp_path: Path):
    """One stage ends before the server is there, one works meanwhile, one has no right to write."""
    port = servers.free_port()
    (tmp_path / "dvc.lock").write_text(LOCK)
    secret = "a-long-password"
    server_needs = {"MLFLOW_AUTH_ADMIN_PASSWORD": secret, "MLFLOW_FLASK_SERVER_SECRET_KEY": "key"}
    variables = {
        "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_TRACKING_USERNAME": "admin",
        "MLFLOW_TRACKING_PASSWORD": secret,
    }

    def serve() -> AbstractContextManager[str]:
        return servers.mlflow(tmp_path, port, "--app-name", "basic-auth", **server_needs)

    early = _start(tmp_path, "early", "ends", **variables)
    early.communicate()
    assert early.returncode == 0
    working = _start(tmp_path, "working", "waits", **variables)
    assert working.stdout is not None
    assert working.stdout.readline() == "ready\n"
    assert len(_journals(tmp_path)) == 2
    store = Store(tmp_path, {})
    with serve():
        _wait(lambda: "working" in store.runs())
        wrong = variables | {"MLFLOW_TRACKING_PASSWORD": "wrong"}
        refused = _start(tmp_path, "refused", "ends", said=subprocess.PIPE, **wrong)
        _, said = refused.communicate()
        assert refused.returncode == 0
        assert "401" in said
        assert "Give MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in said
    with serve():
        working.communicate("go on\n")
        later = _start(tmp_path, "later", "ends", **variables)
        later.communicate()
        _wait(lambda: not _journals(tmp_path))
    for name in ("early", "working", "refused", "later"):
        run = store.run(name)
        assert run.info.status == "FINISHED"
        history = store.client.get_metric_history(run.info.run_id, "curves/loss")
        assert sorted(m.step for m in history) == list(range(1500))
        (artifact,) = (tmp_path / "served").rglob(f"*/{run.info.run_id}/**/{name}.txt")
        assert artifact.read_text() == "hello"


@pytest.mark.slow
def test_an_experiment_that_was_deleted_is_named_with_its_cure(tmp_path: Path):
    """Nothing is lost: once it is restored, the next stage records what was kept."""
    (tmp_path / "dvc.lock").write_text(LOCK)
    store = Store(tmp_path, {})
    _start(tmp_path, "first", "ends").communicate()
    _wait(lambda: not _journals(tmp_path))
    experiment = store.run("first").info.experiment_id
    store.client.delete_experiment(experiment)
    second = _start(tmp_path, "second", "ends", said=subprocess.PIPE)
    _, said = second.communicate()
    assert second.returncode == 0
    assert "world-models-carracing was deleted. Restore it (mlflow experiments restore" in said
    assert len(_journals(tmp_path)) == 1
    store.client.restore_experiment(experiment)
    _start(tmp_path, "third", "ends").communicate()
    _wait(lambda: not _journals(tmp_path))
    assert store.run("second").info.status == store.run("third").info.status == "FINISHED"


@pytest.mark.slow
def test_an_experiment_in_a_copy_is_recorded_in_the_repository(tmp_path: Path):
    hidden = ("MLFLOW_", "DVC_", "WORLD_MODELS_", "GIT_")
    keep = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
    environment = keep | {"DVC_NO_ANALYTICS": "1", "DVC_GLOBAL_CONFIG_DIR": str(tmp_path / "g")}
    repository = tmp_path / "repository"
    (repository / "src").mkdir(parents=True)
    (repository / "src" / "a.py").write_text("x = 1\n")
    (repository / "params.yaml").write_text("carracing:\n  vae:\n    n: 1\n    seed: 2\n")
    (repository / "stage.py").write_text(
        "import yaml\nfrom world_models.tracking.run import open_run\n"
        "values = yaml.safe_load(open('params.yaml'))['carracing']['vae']\n"
        "with open_run('vae', 'carracing', values) as tracker:\n"
        "    tracker.log_metrics({'loss': 1.0})\n"
    )
    (repository / "dvc.yaml").write_text(
        f"stages:\n  vae:\n    cmd: {sys.executable} stage.py\n    params: [carracing.vae]\n"
    )

    def call(*command: str) -> None:
        subprocess.run(command, cwd=repository, env=environment, check=True, capture_output=True)

    call("git", "init", "-q")
    call(sys.executable, "-m", "dvc", "init", "-q")
    call("git", "add", "-A")
    call("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "start")
    call(
        *(sys.executable, "-m", "dvc", "exp", "run", "--temp", "-n", "tried"),
        *("-S", "carracing.vae.n=5"),
    )
    store = Store(repository, {})
    run = store.run("vae")
    assert run.data.params == {"vae.n": "5", "vae.seed": "2"}
    tags = run.data.tags
    assert (tags["dvc.experiment"], tags["dvc.stage"], tags["variant"]) == ("tried", "vae", "tried")
    assert (tags["dirty.code"], tags["dirty.parameters"]) == ("false", "true")
    assert store.row(run).data.tags["differs"] == "vae.n=5"
