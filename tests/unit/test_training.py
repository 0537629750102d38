"""The harness: what it refuses, and who does not pay for it."""

import subprocess
import sys

import pytest

from world_models.devices import DeviceSettings
from world_models.errors import UserError
from world_models.training.fit import strategy


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
