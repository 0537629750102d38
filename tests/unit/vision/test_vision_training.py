"""V's training: it learns, it repeats itself, and a resume changes no bit."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from world_models.devices import DeviceSettings
from world_models.storage.episodes import EpisodeReader
from world_models.vision.data import FrameStream, as_batch, spread_frames
from world_models.vision.network import PAPER_CHANNELS, VAE
from world_models.vision.parameters import VAEParameters
from world_models.vision.training import Row, learning_rate, train

Make = Callable[[list[int]], EpisodeReader]
ALONE = DeviceSettings(accelerator="cpu")


def run(
    reader: EpisodeReader,
    folder: Path,
    parameters: VAEParameters,
    devices: DeviceSettings = ALONE,
    report: Callable[[int, Row], None] | None = None,
) -> tuple[VAE, list[Row]]:
    folder.mkdir(exist_ok=True)
    frames = FrameStream(reader, range(4), parameters.seed)
    held_out = spread_frames(reader, [4], parameters.validation_frames)
    noise = np.random.default_rng(0).standard_normal((len(held_out), parameters.z_size), np.float32)
    return train(parameters, frames, as_batch(held_out, noise), folder, devices, report)


def assert_same(a: VAE, b: VAE) -> None:
    for (name, one), other in zip(a.state_dict().items(), b.state_dict().values(), strict=True):
        assert torch.equal(one, other), name


def test_learns_and_reports(make_data: Make, tmp_path: Path, parameters: VAEParameters) -> None:
    longer = parameters.model_copy(update={"steps": 40, "validate_every": 20})
    seen: list[tuple[int, Row]] = []
    _, history = run(
        make_data([40] * 5), tmp_path / "s", longer, report=lambda *told: seen.append(told)
    )
    assert [row["step"] for row in history] == [20, 40]
    assert history[1]["validation_reconstruction"] < 0.7 * history[0]["training_reconstruction"]
    assert [step for step, _ in seen] == list(range(1, 41))
    assert [step for step, row in seen if row] == [20, 40]
    left = {path.name.rstrip("~") for path in (tmp_path / "s").iterdir()}  # ~ is the last but one
    assert left == {"training.pt"}


class StopError(Exception):
    pass


def test_same_seed_same_bytes_also_after_interruptions(
    make_data: Make, tmp_path: Path, parameters: VAEParameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("world_models.vision.training.SAVE_EVERY", 0.0)
    reader = make_data([40] * 5)
    one, history = run(reader, tmp_path / "one", parameters)
    two, again = run(reader, tmp_path / "two", parameters)
    assert_same(one, two)
    assert history == again

    def stop_at(last: int) -> Callable[[int, Row], None]:
        def report(step: int, _row: Row) -> None:
            if step == last:
                raise StopError

        return report

    for last in (3, 5):
        with pytest.raises(StopError):
            run(reader, tmp_path / "three", parameters, report=stop_at(last))
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
    one, _ = run(reader, tmp_path / "one", parameters)
    spread = DeviceSettings(accelerator="cpu", devices=2, strategy="ddp_spawn")
    two, history = run(reader, tmp_path / "two", parameters, spread)
    assert history[-1]["step"] == parameters.steps
    # Adam makes whole steps of rounding where a gradient is all but zero: compare the weights that
    # went one way all the time.
    start = VAE(parameters.z_size, PAPER_CHANNELS, parameters.seed)
    trained = [dict(network.named_parameters()) for network in (start, one, two)]
    for name, before in trained[0].items():
        moved, apart = trained[1][name] - before, trained[1][name] - trained[2][name]
        far = moved.abs() > 0.5 * moved.abs().max()
        assert apart[far].norm() < 0.05 * moved[far].norm(), name


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
