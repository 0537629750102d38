"""Paths, and the one run of the whole DAG that several tests look at."""

import os
import signal
import sys
import threading
from pathlib import Path

# Before anything imports torch: the suite shares few cores, and results must not depend on them.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# One cache of compiled kernels for all copies of the project that tests make: its folders are named
# by the code, so a copy whose code differs compiles its own.
CACHE = Path(__file__).resolve().parents[1] / "src/world_models/__pycache__"
os.environ.setdefault("NUMBA_CACHE_DIR", str(CACHE))

# A shell starts its background jobs with Ctrl-C ignored, and all children inherit that; tests that
# interrupt a process want it as on a terminal.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
sys.path.insert(0, str(ROOT / "tests" / "unit" / "memory"))  # small_memory, for the dream's tests
