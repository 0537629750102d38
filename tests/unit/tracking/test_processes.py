import os
import subprocess
import sys
import time

import psutil

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
