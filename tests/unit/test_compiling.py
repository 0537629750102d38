"""The cache of compiled kernels: what makes it anew, and that nothing about it can crash."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KERNEL = """
from world_models.compiling import compiled
from parts import double

@compiled(error_model="numpy")
def kernel(x):
    return double(x) + 1
"""
PARTS = """
from world_models.compiling import inlined

@inlined()
def double(x):
    return {factor} * x
"""
RUN = """
from kernels import kernel
print(kernel(20))
hits = getattr(kernel, "stats", None)
print("disabled" if hits is None else f"hits {sum(hits.cache_hits.values())}")
"""


@pytest.fixture
def area(tmp_path) -> Path:
    """A folder of two files with kernels, one of which is inlined into the other."""
    folder = tmp_path / "area"
    folder.mkdir()
    (folder / "kernels.py").write_text(KERNEL)
    (folder / "parts.py").write_text(PARTS.format(factor=2))
    return folder


def run(area: Path, cache: Path | str, **variables: str) -> tuple[list[str], str]:
    """What a new process prints, and says on stderr."""
    path = f"{ROOT / 'src'}:{area}"
    own = {"PYTHONPATH": path, "NUMBA_CACHE_DIR": str(cache), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        env={**os.environ, **own, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[:2], done.stderr


def test_a_second_process_compiles_nothing(area, tmp_path):
    assert run(area, tmp_path / "cache") == (["41", "hits 0"], "")
    assert run(area, tmp_path / "cache") == (["41", "hits 1"], "")


def test_a_change_in_another_file_of_the_area_is_seen(area, tmp_path):
    run(area, tmp_path / "cache")
    before = (area / "kernels.py").stat().st_mtime
    (area / "parts.py").write_text(PARTS.format(factor=3))
    assert run(area, tmp_path / "cache")[0] == ["61", "hits 0"]
    assert (area / "kernels.py").stat().st_mtime == before
    assert len(list((tmp_path / "cache").glob("numba-area-*"))) == 2


@pytest.mark.parametrize(("suffix", "size"), [("nbi", 0), ("nbc", 40)])
def test_a_truncated_file_is_told_and_made_anew(area, tmp_path, suffix, size):
    run(area, tmp_path / "cache")
    (victim,) = (tmp_path / "cache").glob(f"numba-area-*/kernels/*.{suffix}")
    assert victim.stat().st_size > size
    os.truncate(victim, size)
    found, said = run(area, tmp_path / "cache")
    assert found == ["41", "hits 0"]
    assert re.fullmatch(r"warning: .*numba-area-.* holds a damaged file .*\n", said)


def test_a_folder_that_cannot_be_written_costs_time_only(area, tmp_path):
    (tmp_path / "file").write_text("no folder can be made below this")
    found, said = run(area, tmp_path / "file" / "cache")
    assert found == ["41", "hits 0"]
    assert said.startswith("warning: Kernels are compiled in every process")
    assert said.count("\n") == 1


def test_a_cache_that_vanishes_or_fills_the_disk_while_it_is_used_costs_time_only(area, tmp_path):
    blocked = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    blocked += "resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))\n"
    (area / "parts.py").write_text(PARTS.format(factor=2) + blocked)
    found, said = run(area, tmp_path / "cache")
    assert found == ["41", "hits 0"]
    assert "compiled again next time" in said


def test_without_compilation_kernels_are_plain_functions(area, tmp_path):
    found, _ = run(area, tmp_path / "cache", NUMBA_DISABLE_JIT="1")
    assert found == ["41", "disabled"]
    assert not (tmp_path / "cache").exists()


def test_caches_that_nobody_used_for_a_month_go(area, tmp_path):
    for name, days in {"numba-area-old": 31, "numba-area-new": 29, "numba-other-old": 31}.items():
        (tmp_path / "cache" / name).mkdir(parents=True)
        used = time.time() - days * 86_400
        os.utime(tmp_path / "cache" / name, (used, used))
    run(area, tmp_path / "cache")
    left = {path.name for path in (tmp_path / "cache").iterdir()}
    assert {"numba-area-new", "numba-other-old"} < left
    assert "numba-area-old" not in left


def test_kernels_use_code_of_their_own_area_only():
    """What else they froze would not be seen when it changes."""
    package = ROOT / "src/world_models"
    for path in package.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if "world_models.compiling" not in text or path.name == "compiling.py":
            continue
        area = path.relative_to(package).parts[0]
        for module in re.findall(r"^from world_models(?:\.| import )(\w+)", text, re.M):
            assert module in (area, "compiling"), f"{path}: {module}"
