"""Our worker processes beside Dask's local cluster and loky, on evolution's own units of work.

    python -m benchmarks.study_engines

Every case runs in a driver process of its own, in turns, with two workers: the start, the speed on
CarRacing's units (16 episodes in lockstep with V, M and C, 1 to 3 s each) and on empty units, the
memory, a worker that is killed, a unit that hangs, Ctrl-C and a killed driver. What is killed here
is really killed. Dask runs under ``ClusterEngine``, which a cluster needs anyway; loky under some
20 lines that start its workers anew after a loss. All take the same time-out for a unit.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from benchmarks.engine_units import die_once, hang_once, perform, pid, play_on, remember
from world_models.engine.api import ONE_THREAD, Engine, Task
from world_models.engine.cluster import ClusterEngine
from world_models.engine.processes import ProcessEngine

WORKERS, TIMEOUT = 2, 10.0
"""Processes; seconds after which a unit counts as hanging, in the case about that."""
BATCH, STEPS, EMPTY = 16, 100, 300
"""Of a real unit: episodes in lockstep, and steps of each; how many empty units."""
MARK = "WORLD_MODELS_STUDY"
"""Environment variable by which all processes of a case are found, whoever their parent is."""


class LokyEngine:
    """What it would take: loky has neither a state in a worker, nor time-outs, nor retries."""

    def __init__(self, timeout: float) -> None:
        self._executor: Any = None
        self._timeout = timeout

    def run(self, task: Task, units: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """As :meth:`Engine.run`, without its errors."""
        todo = dict(enumerate(units))
        while todo:
            self._open(task)
            submit = self._executor.submit
            running = {submit(perform, unit): i for i, unit in todo.items()}
            while running:
                done, _ = wait(running, self._timeout, FIRST_COMPLETED)
                if not done or any(future.exception() for future in done):
                    self.close()  # no single worker can be told apart: all of them go
                    break
                for future in done:
                    index = running.pop(future)
                    del todo[index]
                    yield index, future.result()

    def _open(self, task: Task) -> None:
        from loky import get_reusable_executor

        self._executor = get_reusable_executor(
            WORKERS, timeout=None, env=ONE_THREAD, initializer=remember,
            initargs=(task.key, task.content), reuse="auto",
        )  # fmt: skip

    def close(self) -> None:
        """End the workers."""
        if self._executor is not None:
            self._executor.shutdown(kill_workers=True)


@contextmanager
def ours(timeout: float) -> Iterator[Engine]:
    """``ProcessEngine``."""
    with ProcessEngine(WORKERS, timeout) as engine:
        yield engine


@contextmanager
def dask(timeout: float) -> Iterator[Engine]:
    """``ClusterEngine`` on a scheduler in this process and workers with nannies."""
    from distributed import LocalCluster

    local: Any = LocalCluster
    os.environ |= ONE_THREAD
    settings = {"threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with (
        local(n_workers=WORKERS, silence_logs=50, **settings) as cluster,
        ClusterEngine(cluster.scheduler_address, timeout) as engine,
    ):
        yield engine


@contextmanager
def loky(timeout: float) -> Iterator[Any]:
    """Loky's reusable executor."""
    engine = LokyEngine(timeout)
    yield engine
    engine.close()


ENGINES: dict[str, Callable[[], Any]] = {"ours": ours, "dask": dask, "loky": loky}


def drive(name: str, case: str, folder: str) -> dict[str, Any]:
    """One case, in a process of its own; figures."""
    start = time.perf_counter()
    with ENGINES[name](TIMEOUT if case == "hung worker" else 300.0) as engine:
        list(engine.run(Task(None, None, pid), [0.2] * WORKERS))
        started = time.perf_counter() - start
        figures = CASES[case](engine, folder)
        start = time.perf_counter()
    return {"start": started, "close": time.perf_counter() - start, **figures}


def speed(engine: Engine, _: str) -> dict[str, Any]:
    """Real units, empty units, memory."""
    from benchmarks.evolution import arena_plan, bout
    from world_models.worlds import arena

    task = Task(arena.setup, arena_plan(BATCH), arena.work)
    begin = time.perf_counter()
    list(engine.run(task, [bout(seed, 5, BATCH) for seed in range(WORKERS)]))
    ready = time.perf_counter() - begin
    units = [bout(seed, STEPS, BATCH) for seed in range(6 * WORKERS)]
    begin = time.perf_counter()
    steps = sum(int(outcome.lengths.sum()) for _, outcome in engine.run(task, units))
    rate = steps / (time.perf_counter() - begin)
    megabytes = [process.memory_full_info().pss / 1e6 for process in _relatives()]
    empty = Task(None, None, pid)
    list(engine.run(empty, [0.0] * WORKERS))
    begin = time.perf_counter()
    list(engine.run(empty, [0.0] * EMPTY))
    each = (time.perf_counter() - begin) / EMPTY
    return {
        "ready": ready,
        "steps a second": rate,
        "ms an empty unit": each * 1e3,
        "MB of all processes": sum(megabytes),
        "processes": len(megabytes),
    }


def killed_worker(engine: Engine, folder: str) -> dict[str, Any]:
    """Time that a loss costs, and whether the other worker with its state outlives it."""
    return _faulty(engine, Task(None, folder, die_once))


def hung_worker(engine: Engine, folder: str) -> dict[str, Any]:
    """As above, for a unit that hangs."""
    return _faulty(engine, Task(None, folder, hang_once))


def at_work(engine: Engine, folder: str) -> dict[str, Any]:
    """Work until the driver is stopped from outside."""
    list(engine.run(Task(None, folder, play_on), range(WORKERS)))
    return {}


def _faulty(engine: Engine, task: Task) -> dict[str, Any]:
    before = {p for _, p in engine.run(Task(None, None, pid), [0.3] * (2 * WORKERS))}
    begin = time.perf_counter()
    results = dict(engine.run(task, range(6)))
    seconds = time.perf_counter() - begin
    complete = sorted(results) == list(range(6))
    after = {p for _, p in engine.run(Task(None, None, pid), [0.3] * (2 * WORKERS))}
    return {"seconds": seconds, "complete": complete, "workers kept": len(before & after)}


CASES = {
    "speed": speed,
    "killed worker": killed_worker,
    "hung worker": hung_worker,
    "ctrl-c": at_work,
    "killed driver": at_work,
}


def _relatives() -> list[psutil.Process]:
    """All live processes of this case, this one included."""
    mark, found = os.environ[MARK], []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            alive = process.status() != psutil.STATUS_ZOMBIE
            if alive and process.environ().get(MARK) == mark:
                found.append(process)
    return found


def measured(name: str, case: str) -> dict[str, Any]:
    """One case from outside: its own figures, how it ended, what it left."""
    os.environ[MARK] = uuid.uuid4().hex
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.study_engines", "--drive", name, case, folder]
        driver = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        figures: dict[str, Any] = {}
        if case in ("ctrl-c", "killed driver"):
            figures = _stopped(driver, case, Path(folder))
        said, complaints = driver.communicate(timeout=300)
        if not figures:
            assert driver.returncode == 0, complaints[-2000:]
            figures = json.loads(said.splitlines()[-1])
        figures["lines on stderr"] = len(complaints.splitlines())
        del os.environ[MARK]
    return figures


def _stopped(driver: "subprocess.Popen[str]", case: str, folder: Path) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while len(list(folder.iterdir())) < WORKERS:
        assert driver.poll() is None, "the driver ended by itself"
        assert time.monotonic() < deadline, "no unit began"
        time.sleep(0.05)
    begin = time.perf_counter()
    if case == "ctrl-c":
        os.killpg(driver.pid, signal.SIGINT)  # as a terminal does
    else:
        driver.kill()
    while (driver.poll() is None or _relatives_of(driver)) and time.perf_counter() < begin + 15:
        time.sleep(0.05)
    seconds = time.perf_counter() - begin
    children = 0
    left = _relatives_of(driver)
    for process in left:
        with suppress(psutil.Error):
            children += process.name() == "sleep"
            process.kill()
    return {
        "seconds": seconds,
        "exit": driver.wait(10),
        "workers left": len(left) - children,
        "their children left": children,
    }


def _relatives_of(driver: "subprocess.Popen[str]") -> list[psutil.Process]:
    """What is left of a case beside its driver."""
    return [p for p in _relatives() if p.pid not in (os.getpid(), driver.pid)]


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians of numbers over rounds."""
    return {key: statistics.median(row[key] for row in rows) for key in rows[0]}


def main() -> None:
    """Measure everything in turns, and print a line for each case and engine."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", choices=[[], *CASES], help="default: all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--drive", nargs=3, metavar=("ENGINE", "CASE", "FOLDER"))
    a = parser.parse_args()
    if a.drive:
        print(json.dumps(drive(*a.drive)))
        return
    for case in a.cases or list(CASES):
        rows: dict[str, list[dict[str, Any]]] = {name: [] for name in ENGINES}
        for _ in range(a.rounds):
            for name, found in rows.items():
                found.append(measured(name, case))
        for name, found in rows.items():
            texts = [f"{key} {value:.4g}" for key, value in summary(found).items()]
            print(f"{case}, {name}: {', '.join(texts)}", flush=True)


if __name__ == "__main__":
    main()
