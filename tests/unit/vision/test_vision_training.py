"""V's training: it learns, it repeats itself, and a resume changes no bit."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from stopping import StopError, stopping_at

from world_models.devices import DeviceSettings
from world_models.errors import UserError
from world_models.storage.episodes import EpisodeReader
from world_models.training import checkpoints
from world_models.training.fit import Log
from world_models.training.module import Row
from world_models.vision.data import FrameStream, as_batch
from world_models.vision.network import VAE
from world_models.vision.parameters import VAEParameters
from world_models.vision.training import learning_rate, train

Make = Callable[[list[int]], EpisodeReader]
ALONE = DeviceSettings(accelerator="cpu")


def run(
    reader: EpisodeReader,
    folder: Path,
    parameters: VAEParameters,
    devices: DeviceSettings = ALONE,
    log: Log | None = None,
) -> tuple[VAE, list[Row]]:
    folder.mkdir(exist_ok=True)
    frames = FrameStream(reader, range(4), parameters.seed)
    held_out = reader.spread([4], parameters.validation_frames)
    noise = np.random.default_rng(0).standard_normal((len(held_out), parameters.z_size), np.float32)
    network = VAE(parameters.z_size, parameters.channels, parameters.seed).channels_last()
    batch = as_batch(held_out, noise)
    return network, train(network, parameters, frames, batch, folder, devices, log)


def assert_same(a: VAE, b: VAE) -> None:
    for (name, one), other in zip(a.state_dict().items(), b.state_dict().values(), strict=True):
        assert torch.equal(one, other), name


def test_learns_and_reports(make_data: Make, tmp_path: Path, parameters: VAEParameters) -> None:
    longer = parameters.model_copy(update={"steps": 40, "validate_every": 20})
    logged: list[Row] = []
    _, history = run(
        make_data([40] * 5),
        tmp_path / "s",
        longer,
        log=lambda row, step: logged.append({"step": step, **row}),
    )
    assert [row["step"] for row in history] == [20, 40]
    assert history[1]["validation_reconstruction"] < 0.7 * history[0]["training_reconstruction"]
    assert logged == history
    left = {path.name.rstrip("~") for path in (tmp_path / "s").iterdir()}  # ~ is the last but one
    assert left == {"training.pt"}


def test_without_steps_the_weights_stay_as_drawn_and_are_judged(
    make_data: Make, tmp_path: Path, parameters: VAEParameters
) -> None:
    reader = make_data([40] * 5)
    network, (row,) = run(reader, tmp_path / "a", parameters.model_copy(update={"steps": 0}))
    drawn = VAE(parameters.z_size, parameters.channels, parameters.seed).channels_last()
    assert_same(network, drawn)
    still = parameters.model_copy(update={"steps": 1, "learning_rate": 1e-12})
    _, (other,) = run(reader, tmp_path / "b", still)
    assert row["validation_loss"] == pytest.approx(other["validation_loss"], rel=1e-4)


def test_same_seed_same_bytes_also_after_interruptions(
    make_data: Make, tmp_path: Path, parameters: VAEParameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "SAVE_EVERY", 0.0)
    reader = make_data([40] * 5)
    one, history = run(reader, tmp_path / "one", parameters)
    two, again = run(reader, tmp_path / "two", parameters)
    assert_same(one, two)
    assert history == again

    for last in (3, 5):
        with pytest.raises(StopError), stopping_at(last, monkeypatch):
            run(reader, tmp_path / "three", parameters)
    three, resumed = run(reader, tmp_path / "three", parameters)
    assert_same(one, three)
    assert history == resumed
    other = parameters.model_copy(update={"seed": 4})
    assert not torch.equal(
        run(reader, tmp_path / "four", other)[0].heads.mu.weight, one.heads.mu.weight
    )


@pytest.mark.slow
def test_two_processes_train_as_one_does(
    make_data: Make, tmp_path: Path, parameters: VAEParameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In float32 everywhere: rounding to bfloat16 would hide a small mistake.
    monkeypatch.setenv("WORLD_MODELS_FORMULATION", "winograd-float32")
    reader = make_data([40] * 5)
    # Adam makes a whole step of rounding where a gradient is all but zero, and after some steps the
    # weights are 5 % apart. Its first moments are sums of gradients: if weights hardly move, they
    # compare the gradients of all steps.
    still = parameters.model_copy(update={"learning_rate": 1e-9})
    _, alone = run(reader, tmp_path / "one", still)
    two = DeviceSettings(accelerator="cpu", devices=2)
    _, shared = run(reader, tmp_path / "two", still, two)
    assert [row["step"] for row in shared] == [row["step"] for row in alone] == [4, 6]
    assert shared[-1]["validation_loss"] == pytest.approx(alone[-1]["validation_loss"], rel=1e-5)
    for one, other in zip(moments(tmp_path / "one"), moments(tmp_path / "two"), strict=True):
        assert (one - other).norm() < 1e-3 * one.norm()


def moments(folder: Path) -> list[torch.Tensor]:
    checkpoint = checkpoints.load(folder)
    assert checkpoint is not None
    return [state["exp_avg"] for state in checkpoint["optimizer_states"][0]["state"].values()]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0.5e-3, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3]),
        ("cosine", [0.5e-3, 1e-3, 1e-3, 0.8535534e-3, 0.5e-3, 0.1464466e-3]),
    ],
)
def test_learning_rate(schedule: str, expected: list[float], parameters: VAEParameters) -> None:
    chosen = parameters.model_copy(update={"schedule": schedule})
    rates = [learning_rate(chosen, step) for step in range(6)]
    np.testing.assert_allclose(rates, expected, rtol=1e-6)


@pytest.mark.parametrize("validate_every", [1, 40])
def test_a_training_that_diverges_is_one_clear_line(
    make_data: Make, tmp_path: Path, parameters: VAEParameters, validate_every: int
) -> None:
    hot = {"learning_rate": 1.0, "warmup_steps": 0, "schedule": "constant", "steps": 40}
    wild = parameters.model_copy(update=hot | {"validate_every": validate_every})
    with pytest.raises(UserError, match=r"vae diverged before step .*vae\.learning_rate"):
        run(make_data([40] * 5), tmp_path / "s", wild)
