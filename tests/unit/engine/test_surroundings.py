"""What the surroundings set for other programs: undone, or refused with the cure."""

import os
import subprocess
import sys


def test_as_many_files_may_be_open_as_the_system_lets(tmp_path):
    code = (
        "from world_models.engine.surroundings import settle; import resource; settle();"
        "print(*resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    command = f"ulimit -Sn 64; exec {sys.executable} -c '{code}'"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    soft, hard = done.stdout.split()
    assert soft == hard


def test_a_terminal_with_ascii_alone_and_a_wrong_backend_end_nothing():
    command = [sys.executable, "-m", "world_models.cli", "describe", "takecover"]
    settings = os.environ | {"PYTHONIOENCODING": "ascii", "MPLBACKEND": "nonsense"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=settings)
    assert done.returncode == 0, done.stderr
    assert "?" in done.stdout  # in place of ×


def test_kernels_that_may_not_be_compiled_are_refused_in_a_line():
    command = [sys.executable, "-m", "world_models.cli", "doctor"]
    settings = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=settings)
    assert done.returncode == 2
    assert done.stderr.startswith("world-models doctor: NUMBA_DISABLE_JIT is set")
