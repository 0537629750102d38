"""A genuine Dask scheduler and genuine workers on loopback, one of them killed."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import cluster_work as work
import numpy as np
import pytest

import world_models
from world_models.engine.api import Task
from world_models.engine.cluster import ClusterEngine
from world_models.engine.kind import kind
from world_models.engine.processes import ProcessEngine
from world_models.engine.settings import EngineSettings, open_engine
from world_models.errors import EngineError

pytest.importorskip("distributed")
HERE = Path(__file__).parent
WEIGHTS = np.random.default_rng(0).normal(0, 0.1, size=(256, 256)).astype(np.float32)


@contextmanager
def dask(kind: str, *arguments: str, log: Path, **variables: str):
    """A process of Dask's command line; killed with all its children at the end."""
    path = os.pathsep.join([str(HERE), variables.pop("PYTHONPATH")])
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.dask_{kind}", *arguments],
            env={**os.environ, "PYTHONPATH": path, **variables},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def scheduler(folder: Path):
    """A scheduler without workers; gives its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = ("--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
    with dask("scheduler", *arguments, log=folder / "scheduler.log", PYTHONPATH="") as process:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"tcp://127.0.0.1:{port}"


@contextmanager
def workers(address: str, log: Path, *arguments: str, **variables: str):
    defaults = ("--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1")
    with dask("worker", address, *defaults, *arguments, log=log, **variables) as process:
        yield process


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The project's modules as they are now: workers that start later must not see edits."""
    folder = tmp_path_factory.mktemp("package")
    shutil.copytree(Path(world_models.__file__).parent, folder / "world_models")
    assert kind()  # remembered from here on
    return folder


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, package):
    """A scheduler with two workers, each with a nanny that restarts it."""
    folder, path = tmp_path_factory.mktemp("dask"), {"PYTHONPATH": str(package)}
    with ExitStack() as stack:
        address = stack.enter_context(scheduler(folder))
        stack.enter_context(workers(address, folder / "workers.log", "--nworkers", "2", **path))
        yield address


@pytest.fixture(scope="module")
def engine(cluster):
    with ClusterEngine(cluster, timeout=60) as engine:
        deadline = time.monotonic() + 60
        while engine.workers < 2 and time.monotonic() < deadline:
            engine.idle(0)
            time.sleep(0.1)
        yield engine


@pytest.mark.slow
def test_bits_equal_those_of_processes_and_units_spread(engine):
    task = Task(work.setup, WEIGHTS, work.simulate)
    there = dict(engine.run(task, range(10)))
    with ProcessEngine(workers=1, timeout=60) as processes:
        here = dict(processes.run(task, range(10)))
    assert sorted(there) == list(range(10))
    assert all(here[index].tobytes() == there[index].tobytes() for index in here)
    pids = {pid for _, pid in engine.run(Task(None, None, work.pid), range(6))}
    assert len(pids) == 2


@pytest.mark.slow
def test_a_killed_worker_costs_its_unit_which_is_done_again(engine, tmp_path, capfd):
    flag = tmp_path / "flag"
    task = Task(None, (WEIGHTS, str(flag)), work.simulate_and_die_once)
    results = dict(engine.run(task, range(8)))
    assert flag.exists()
    assert sorted(results) == list(range(8))
    assert all((results[seed] == work.simulate(WEIGHTS, seed)).all() for seed in results)
    err = capfd.readouterr().err
    assert "Unit 3 (of 0 to 7) of cluster_work.simulate_and_die_once lost its worker" in err


@pytest.mark.slow
def test_a_worker_of_another_kind_is_refused_with_the_reason(tmp_path, package):
    changed = tmp_path / "changed" / "world_models"
    shutil.copytree(package / "world_models", changed)
    with (changed / "seeding.py").open("a") as file:
        file.write("\nSPLIT_SIZE = 7\n")
    path = {"PYTHONPATH": str(changed.parent)}
    reason = r"No worker .* is fit.*\n.*code: [0-9a-f]{12} there, [0-9a-f]{12} here"
    with (
        scheduler(tmp_path) as address,
        workers(address, tmp_path / "workers.log", "--no-nanny", **path),
        pytest.raises(EngineError, match=reason),
    ):
        open_engine(EngineSettings(1, address, 60))


@pytest.mark.slow
def test_a_worker_that_joins_with_many_threads_gets_no_work(
    cluster, engine, package, tmp_path, capfd
):
    log, path = tmp_path / "workers.log", {"PYTHONPATH": str(package)}
    with workers(cluster, log, "--no-nanny", **path, OPENBLAS_NUM_THREADS="2") as unfit:
        said, deadline = "", time.monotonic() + 60
        while "OPENBLAS_NUM_THREADS" not in said:
            assert time.monotonic() < deadline, said
            list(engine.run(Task(None, None, work.hang), [0]))
            said += capfd.readouterr().err
            time.sleep(0.1)
        assert "is refused: " in said
        pids = {pid for _, pid in engine.run(Task(None, None, work.pid), range(4))}
    assert unfit.pid not in pids


@contextmanager
def patient(address: str):
    """An engine on a cluster whose fit worker is still starting."""
    deadline = time.monotonic() + 60
    while True:
        try:
            engine = ClusterEngine(address, timeout=60)
            break
        except EngineError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
    with engine:
        yield engine


@pytest.mark.slow
def test_a_unit_that_hangs_is_given_up_and_its_worker_replaced(cluster):
    started = time.monotonic()
    with ClusterEngine(cluster, timeout=1.5) as engine:
        with pytest.raises(EngineError, match=r"Unit 1 \(of 0 to 1\) of cluster_work.hang was not"):
            list(engine.run(Task(None, None, work.hang), [0, 1]))
        assert time.monotonic() - started < 30
    with patient(cluster) as engine:
        assert sorted(engine.run(Task(None, None, work.hang), [0, 0])) == [(0, 0), (1, 0)]
