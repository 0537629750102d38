"""The process engine on real processes, really killed and really hung."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import engine_work as work
import numpy as np
import psutil
import pytest

from world_models.engine.api import Task
from world_models.engine.processes import ProcessEngine
from world_models.errors import EngineError, InputError

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def engine():
    with ProcessEngine(workers=2, timeout=60) as engine:
        yield engine


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def wait_until(condition, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_any_number_of_workers_gives_the_same_bits(engine):
    matrix = np.random.default_rng(0).normal(size=(300, 700)).astype(np.float32)
    task = Task(work.setup, matrix, work.multiply)
    two = dict(engine.run(task, range(12)))
    with ProcessEngine(workers=1, timeout=60) as single:
        one = dict(single.run(task, range(12)))
    assert sorted(one) == sorted(two) == list(range(12))
    assert all(one[index].tobytes() == two[index].tobytes() for index in one)
    np.testing.assert_allclose(one[3], work.multiply(matrix, 3), rtol=1e-4, atol=1e-4)


def test_setup_runs_once_a_worker_whatever_the_number_of_runs(engine):
    task, other = Task(work.setup, "a", work.report), Task(work.setup, "b", work.report)
    before = dict(engine.run(task, range(6)))
    list(engine.run(other, range(6)))
    after = dict(engine.run(Task(work.setup, "a", work.report), range(6)))
    pids = {pid for pid, *_ in before.values()}
    assert len(pids) == 2
    assert pids == {pid for pid, *_ in after.values()} == set(engine.pids)
    counts = {pid: count for pid, count, *_ in before.values()}
    assert {(pid, count - 1) for pid, count, *_ in after.values()} == set(counts.items())


def test_workers_have_one_thread_and_no_torch(engine):
    for _, (_, _, torch, threads) in engine.run(Task(None, None, work.report), [0]):
        assert not torch
        assert threads == "1"


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="only Linux has batch work")
def test_workers_are_batch_work(engine):
    assert {policy for _, policy in engine.run(Task(None, None, work.policy), [0])} == {
        os.SCHED_BATCH
    }


def test_results_larger_than_the_sockets_buffer_arrive(engine):
    (_, result), = engine.run(Task(None, None, work.large), [5_000_000])  # fmt: skip
    assert result.dtype == np.float32
    assert (result == np.arange(5_000_000, dtype=np.float32)).all()


def test_no_units_no_results(engine):
    assert list(engine.run(Task(None, None, work.report), [])) == []


def test_a_killed_worker_costs_its_unit_which_is_done_again(engine, tmp_path, capfd):
    task = Task(None, str(tmp_path / "flag"), work.die_once)
    assert dict(engine.run(task, range(5))) == {index: index * 10 for index in range(5)}
    assert (tmp_path / "flag").exists()
    assert "Unit 2 (of 0 to 4) of engine_work.die_once lost its worker (SIGKILL" in (
        capfd.readouterr().err
    )


def test_a_unit_that_kills_every_worker_is_given_up(engine):
    with pytest.raises(
        EngineError, match=r"Unit 1 .* lost its worker \(exit code 7\), for the 3rd"
    ):
        list(engine.run(Task(None, None, work.die), [0, 7]))


def test_a_hung_worker_is_killed_and_its_unit_done_again(tmp_path, capfd):
    with ProcessEngine(workers=2, timeout=5) as engine:
        task = Task(None, str(tmp_path / "flag"), work.hang_once)
        assert dict(engine.run(task, range(3))) == {0: 0, 1: 1, 2: 2}
    said = capfd.readouterr().err
    assert "Unit 1 (of 0 to 2) of engine_work.hang_once was not done within 5 s" in said
    assert "engine_work.py" in said, "the worker's stack shows where it hung"


def test_a_unit_that_always_hangs_is_given_up_and_leaves_no_process():
    with ProcessEngine(workers=1, timeout=1) as engine:
        with pytest.raises(EngineError, match=r"Unit 0 .* within 1 s \(WORLD_MODELS_TIMEOUT\)"):
            list(engine.run(Task(None, None, work.hang), [0]))
        pids = engine.pids
    assert all(gone(pid) for pid in pids)


def test_an_exception_names_the_unit_and_the_line(engine):
    with pytest.raises(ZeroDivisionError) as caught:
        list(engine.run(Task(None, None, work.fail), [1, 0]))
    (note,) = caught.value.__notes__
    assert "Unit 1 (of 0 to 1) of engine_work.fail" in note
    assert "return 1 // unit" in note


def test_an_exception_in_setup_is_raised_each_time(engine):
    task = Task(work.setup_that_fails, "model", work.fail)
    for _ in range(2):
        with pytest.raises(ValueError, match="no model"):
            list(engine.run(task, [1]))


def test_errors_for_users_pass_unchanged(engine):
    with pytest.raises(InputError, match=r"^data is missing. Bring it back.$") as caught:
        list(engine.run(Task(None, None, work.fail), ["user"]))
    assert not hasattr(caught.value, "__notes__")


def test_an_exception_that_does_not_travel_is_put_into_words(engine):
    with pytest.raises(RuntimeError, match="StubbornError: 1 and 2"):
        list(engine.run(Task(None, None, work.fail), ["stubborn"]))


def test_a_run_that_is_left_early_leaves_the_engine_fit(engine):
    results = engine.run(Task(None, None, work.report), range(20))
    next(results)
    results.close()
    assert len(dict(engine.run(Task(None, None, work.report), range(4)))) == 4


DRIVER = textwrap.dedent("""
    import sys
    sys.path.insert(0, {here!r})
    import engine_work as work
    from world_models.engine.api import Task
    from world_models.engine.processes import ProcessEngine
    with ProcessEngine(workers=2, timeout=60) as engine:
        list(engine.run(Task(None, {folder!r}, work.hang_with_child), [0, 1]))
""")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_and_their_children_die_with_the_driver(tmp_path, how):
    script = DRIVER.format(here=str(HERE), folder=str(tmp_path))
    driver = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    assert wait_until(lambda: len(list(tmp_path.iterdir())) == 4, 30)
    pids = [int(path.name) for path in tmp_path.iterdir()]
    assert not any(gone(pid) for pid in pids)
    driver.send_signal(how)
    assert driver.wait(3) != 0
    assert wait_until(lambda: all(gone(pid) for pid in pids), 3)


def test_work_in_a_module_run_as_main_is_refused_at_once(tmp_path):
    (tmp_path / "stage.py").write_text(
        textwrap.dedent("""
        from world_models.engine.api import Task
        from world_models.engine.processes import ProcessEngine
        def work(state, unit):
            return unit
        if __name__ == "__main__":
            with ProcessEngine(workers=1, timeout=60) as engine:
                list(engine.run(Task(None, None, work), [5]))
        """)
    )
    command = [sys.executable, "-m", "stage"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "AssertionError: a worker cannot import __main__" in done.stderr


def test_a_dead_simulator_costs_its_unit_which_is_done_again(tmp_path, capfd):
    task = Task(None, str(tmp_path / "flag"), work.lose_the_simulator_once)
    with ProcessEngine(workers=2, timeout=60) as engine:
        assert dict(engine.run(task, range(4))) == {0: 0, 1: 1, 2: 2, 3: 3}
    said = capfd.readouterr().err
    assert "warning: the game ended" in said
    assert "Unit 2 (of 0 to 3) of engine_work.lose_the_simulator_once lost its worker" in said
    assert "(its simulator died); it is done again" in said
    assert "Traceback" not in said


def test_a_killed_game_costs_its_unit_and_changes_no_result(tmp_path, capfd):
    pytest.importorskip("vizdoom")
    task, frames = Task(None, str(tmp_path), work.play_doom), []
    for _ in range(2):  # in the second round the flag is there: nothing is killed
        with ProcessEngine(workers=1, timeout=300) as engine:
            frames.append(dict(engine.run(task, [1, 2, 3])))
        said = capfd.readouterr().err
        assert ("Unit 1 (of 0 to 2)" in said) == (len(frames) == 1), said
    assert all((frames[0][i] == frames[1][i]).all() for i in range(3))
