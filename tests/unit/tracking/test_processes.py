import os
import subprocess
import sys
import time

import psutil
import pytest

from world_models.tracking import processes


def test_gone_means_ended_on_this_machine():
    sleeper = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    identity = processes.identity(sleeper.pid)
    assert not processes.is_gone(identity)
    assert sleeper.stdin is not None
    sleeper.stdin.close()
    while psutil.Process(sleeper.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert processes.is_gone(identity)  # although nobody has asked for its exit code yet
    sleeper.wait()
    assert not psutil.pid_exists(sleeper.pid)
    assert processes.is_gone(identity)


def test_same_number_but_later_start_is_another_process():
    host, pid, start = processes.identity(os.getpid()).rsplit(" ", 2)
    assert processes.is_gone(f"{host} {pid} {float(start) - 100:.2f}")
    assert not processes.is_gone(f"elsewhere {pid} {start}")
    assert not processes.is_gone("")


def test_a_process_of_another_container_is_not_gone():
    """Another namespace of process numbers, under the same host's name."""
    elsewhere = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc")
    if subprocess.run([*elsewhere, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no private namespaces here")
    code = (
        "import sys\n"
        "from world_models.tracking import processes\n"
        "print(processes.is_gone(sys.argv[1]))\n"
    )
    command = [*elsewhere, sys.executable, "-c", code, processes.identity(os.getpid())]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
