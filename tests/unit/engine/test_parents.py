"""What a killed DVC leaves: nothing that goes on working."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

STAGE = """
import os, signal, sys, time
from world_models.engine.parents import end_with_dvc
signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
end_with_dvc()
print(os.getpid(), flush=True)
time.sleep(60)
"""
DVC = """
import subprocess, sys
subprocess.run(f"env A=b {sys.executable} -c '{sys.argv[1]}'; true", shell=True)
"""


@pytest.mark.parametrize(("stage", "ends"), [("vae@carracing", True), ("", False)])
def test_a_stage_ends_when_its_dvc_is_killed(stage, ends):
    settings = os.environ | {"DVC_STAGE": stage}
    command = [sys.executable, "-c", DVC, STAGE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=settings) as dvc:
        assert dvc.stdout is not None
        work = psutil.Process(int(dvc.stdout.readline()))
        dvc.send_signal(signal.SIGKILL)
        try:  # nobody has asked yet how it ended: it is a zombie
            _, alive = psutil.wait_procs([work], timeout=10 if ends else 3)
            assert bool(alive) is not ends
        finally:
            if work.is_running():
                work.kill()
