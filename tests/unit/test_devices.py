"""The environment's accelerator as a device of torch, or as one clear line."""

import pytest
import torch

from world_models.devices import DeviceSettings
from world_models.errors import UserError


def machine(monkeypatch: pytest.MonkeyPatch, *, cuda: bool, mps: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "accelerator", "device"),
    [
        (False, False, "auto", "cpu"),
        (True, False, "auto", "cuda"),
        (False, True, "auto", "cpu"),  # Apple's GPU has to be asked for
        (False, True, "gpu", "mps"),
        (True, False, "gpu", "cuda"),
        (True, False, "cuda", "cuda"),
        (False, True, "mps", "mps"),
        (True, True, "cpu", "cpu"),
    ],
)
def test_device(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, accelerator: str, device: str
) -> None:
    machine(monkeypatch, cuda=cuda, mps=mps)
    assert DeviceSettings(accelerator=accelerator).device == device


@pytest.mark.parametrize("accelerator", ["gpu", "cuda", "mps"])
def test_a_device_that_is_not_there_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, accelerator: str
) -> None:
    machine(monkeypatch, cuda=False, mps=False)
    message = f"WORLD_MODELS_ACCELERATOR = '{accelerator}'.* finds cpu\\."
    with pytest.raises(UserError, match=message) as fault:
        _ = DeviceSettings(accelerator=accelerator).device
    assert len(str(fault.value).splitlines()) == 1


def test_settings_come_from_the_environment() -> None:
    found = DeviceSettings.from_environment(
        {
            "WORLD_MODELS_ACCELERATOR": "cpu",
            "WORLD_MODELS_DEVICES": "4",
            "WORLD_MODELS_NODES": "2",
            "MASTER_ADDR": "10.0.0.1",
            "MASTER_PORT": "29500",
            "NODE_RANK": "1",
            "WORLD_MODELS_STRATEGY": "ddp",
        }
    )
    assert found == DeviceSettings("cpu", 4, 2, "ddp")
    assert DeviceSettings.from_environment({}) == DeviceSettings()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("WORLD_MODELS_ACCELERATOR", "tpu", "'tpu': give one of auto, cpu, gpu, cuda, mps"),
        ("WORLD_MODELS_STRATEGY", "fsdp", "'fsdp': give one of auto, ddp, ddp_spawn"),
        ("WORLD_MODELS_DEVICES", "two", "'two': give a whole number from 1"),
        ("WORLD_MODELS_NODES", "0", "'0': give a whole number from 1"),
        ("WORLD_MODELS_NODES", "2", "= 2: nothing says where the other machines are"),
    ],
)
def test_bad_settings_are_one_clear_line(key: str, value: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as fault:
        DeviceSettings.from_environment({key: value})
    assert str(fault.value).startswith(key)


@pytest.mark.parametrize(
    "known",
    [
        {"SLURM_JOB_NODELIST": "n1,n2", "SLURM_JOB_ID": "7"},  # of sbatch: srun says which node
        {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500"},
        {"LSB_JOBID": "7"},
    ],
)
def test_several_machines_that_could_not_meet_are_refused(known: dict[str, str]) -> None:
    with pytest.raises(UserError, match=r"srun --ntasks-per-node=1.*NODE_RANK"):
        DeviceSettings.from_environment({"WORLD_MODELS_NODES": "2", **known})
