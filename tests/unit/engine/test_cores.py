"""Cores are counted as the system gives them, whatever OpenMP or a container does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from world_models.engine import cores
from world_models.engine.api import Task
from world_models.engine.processes import ProcessEngine

V2, V1 = "0::/user/me", "4:cpu,cpuacct:/user/me"


def system(root: Path, groups: str, files: dict[str, str]) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(f"{groups}\n")
    for name, text in files.items():
        file = root / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        (V2, {}, 64),
        (V2, {"user/me/cpu.max": "max 100000\n"}, 64),
        (V2, {"user/me/cpu.max": "50000 100000\n"}, 1),
        (V2, {"user/cpu.max": "150000 100000\n", "user/me/cpu.max": "max 100000\n"}, 2),
        (V2, {"cpu.max": "300000 100000\n"}, 3),
        (V1, {f"cpu/user/me/cpu.cfs_{k}_us": v for k, v in (("quota", "-1"), ("period", "9"))}, 64),
        (V1, {f"cpu/cpu.cfs_{k}_us": v for k, v in (("quota", "40"), ("period", "10"))}, 4),
        ("no such line", {}, 64),
    ],
)
def test_a_quota_of_any_group_around_the_process_counts(
    tmp_path, monkeypatch, groups, files, expected
):
    monkeypatch.setattr(cores, "STARTED_ON", frozenset(range(64)))
    assert cores.usable(system(tmp_path, groups, files)) == expected


def test_without_control_groups_the_affinity_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(cores, "STARTED_ON", frozenset({3, 5}))
    assert cores.usable(tmp_path) == 2


PINNED = """
import world_models, torch, os
torch.ones(512, 512) @ torch.ones(512, 512)
from world_models.engine import cores, surroundings
surroundings.settle()
print(cores.usable(), len(os.sched_getaffinity(0)))
"""


def affinity_with_torch(_: None, __: int) -> list[int]:
    import torch

    torch.ones(512, 512) @ torch.ones(512, 512)
    return sorted(os.sched_getaffinity(0))


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core cannot be pinned to another")
@pytest.mark.parametrize("setting", ["OMP_PROC_BIND=true", "GOMP_CPU_AFFINITY=0"])
def test_openmp_pins_neither_the_stage_nor_its_workers(monkeypatch, setting):
    name, _, value = setting.partition("=")
    monkeypatch.setenv(name, value)
    done = subprocess.run(
        [sys.executable, "-c", PINNED], capture_output=True, text=True, check=True
    )
    usable, allowed = map(int, done.stdout.split())
    assert usable == cores.usable()
    assert allowed == len(os.sched_getaffinity(0))
    with ProcessEngine(1, 60) as engine:
        ((_, found),) = engine.run(Task(None, None, affinity_with_torch), [0])
    assert found == sorted(os.sched_getaffinity(0))
