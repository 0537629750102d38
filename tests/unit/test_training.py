"""The harness: what it refuses, and who does not pay for it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from world_models.devices import DeviceSettings
from world_models.errors import UserError
from world_models.training.fit import strategy
from world_models.training.launch import meeting


def test_several_devices_are_processes_that_do_not_start_the_stage_again():
    assert strategy(DeviceSettings()) == "auto"
    assert strategy(DeviceSettings(devices=2)) == "ddp_spawn"
    assert strategy(DeviceSettings(num_nodes=2, strategy="ddp_spawn")) == "ddp_spawn"


@pytest.mark.parametrize("name", ["ddp", "ddp_fork", "fsdp", "deepspeed"])
def test_a_strategy_that_starts_the_stage_again_is_refused(name):
    with pytest.raises(UserError, match=f"WORLD_MODELS_STRATEGY = '{name}'.*Unset it"):
        strategy(DeviceSettings(devices=2, strategy=name))


def test_inference_does_not_load_lightning():
    modules = "vision.model, memory.model, worlds.reality, worlds.dream, stages.encode"
    names = ", ".join(f"world_models.{name}" for name in modules.split(", "))
    code = f"import sys, {names}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "world_models.vision.model" in done.stdout.split()
    assert not {"pytorch_lightning", "mlflow"} & set(done.stdout.split())


SBATCH = {"SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": "1"}
SRUN = SBATCH | {"SLURM_PROCID": "1", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}
TORCHRUN = {
    "RANK": "1",
    "LOCAL_RANK": "1",
    "WORLD_SIZE": "4",
    "MASTER_ADDR": "nowhere.invalid",
    "MASTER_PORT": "1",
    "TORCHELASTIC_RUN_ID": "1",
    "TORCHELASTIC_USE_AGENT_STORE": "True",
}
"""Of a process that is the second of four: a stage under it is the first, and alone."""


@pytest.mark.slow
@pytest.mark.parametrize("devices", ["1", "2"])
@pytest.mark.parametrize("surroundings", [SRUN, TORCHRUN], ids=["SLURM", "torchrun"])
def test_a_scheduler_s_variables_change_nothing(surroundings, devices):
    hidden = ("SLURM_", "TORCHELASTIC_", "MASTER_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("launched.py")],
        env={**clean, **surroundings, "WORLD_MODELS_DEVICES": devices},
        stdout=subprocess.PIPE,
        text=True,
        timeout=300,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["logged"] == 2
    assert found["loss"] == pytest.approx(39.187, rel=1e-4)


def test_several_machines_meet_where_srun_or_a_person_says():
    srun = {"SLURM_JOB_NODELIST": "gpu[7-9],big1", "SLURM_JOB_ID": "120042", "SLURM_NODEID": "2"}
    assert meeting(srun) == ("gpu7", 15_042, 2)
    named = {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500", "NODE_RANK": "1"}
    assert meeting(srun | named) == ("10.0.0.1", 29_500, 1)
