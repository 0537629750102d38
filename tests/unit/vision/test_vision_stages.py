"""Stages vae and encode on a small data set: artifacts, reports, equal bytes."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from data_sets import write_shards
from moving_squares import moving_square

from world_models import devices
from world_models.engine.settings import EngineSettings
from world_models.errors import UserError
from world_models.stages import encode, vae
from world_models.stages.command import Context, Input, Outputs
from world_models.storage import artifact
from world_models.storage.artifact import Card, open_artifact
from world_models.storage.episodes import EpisodeReader
from world_models.storage.latents import LatentsReader
from world_models.storage.scratch import Scratch
from world_models.tracking.tracker import Tracker
from world_models.vision.encode_parameters import EncodeParameters
from world_models.vision.encoding import LatentStatistics, encode_episodes
from world_models.vision.model import Vision
from world_models.vision.network import PAPER_CHANNELS, VAE
from world_models.vision.parameters import VAEParameters


def write_rollouts(folder: Path) -> Input:
    made = {"parameters": {}, "metrics": {}, "details": {}}
    episodes = [moving_square(number, 40 + number) for number in range(5)]
    with artifact.create(
        folder, kind="rollouts", environment="carracing", stage="rollouts", **made
    ) as draft:
        write_shards(draft, episodes[:3], episodes[3:])
    return Input(folder, open_artifact(folder, "rollouts", "carracing"))


def pipeline(root: Path, parameters: VAEParameters) -> tuple[Card, Card]:
    root.mkdir()
    inputs = {"rollouts": write_rollouts(root / "rollouts")}
    settings = EngineSettings(workers=1, scheduler=None, timeout=60.0)
    with Scratch.open(root, "vae", "carracing", "0" * 12) as scratch:
        context = Context("carracing", Tracker(), settings, scratch)
        vae.run(parameters, inputs, Outputs(root / "vae", root / "vae.json", root / "r"), context)
        inputs["vae"] = Input(root / "vae", open_artifact(root / "vae", "vae", "carracing"))
        outputs = Outputs(root / "latents", root / "encode.json", root / "e")
        encode.run(EncodeParameters(seed=0, batch_size=16), inputs, outputs, context)
    return inputs["vae"].card, open_artifact(root / "latents", "latents", "carracing")


def test_both_stages_and_equal_bytes_the_second_time(
    tmp_path: Path, parameters: VAEParameters
) -> None:
    one = pipeline(tmp_path / "one", parameters)
    assert one == pipeline(tmp_path / "two", parameters)
    root, (made, encoded) = tmp_path / "one", one
    assert made.details["z_size"] == encoded.details["z_size"] == parameters.z_size
    assert encoded.details["action_size"] == 3
    assert set(encoded.lineage) == {"rollouts", "vae"}
    assert json.loads((root / "vae.json").read_text()) == made.metrics
    assert json.loads((root / "encode.json").read_text()) == encoded.metrics
    assert encoded.metrics["frames"] == 210
    names = {path.name for path in (root / "r").iterdir()}
    assert names == {"curves.csv", "frames.safetensors"}
    assert list(pd.read_csv(root / "r" / "curves.csv")["step"]) == [4, 6]
    check_latents(root)


def check_latents(root: Path) -> None:
    latents = LatentsReader(root / "latents").load()
    vision, reader = Vision.load(root / "vae", "carracing"), EpisodeReader(root / "rollouts")
    assert latents.episodes == len(reader) == 5
    for number in range(5):
        episode, span = reader.episode(number), latents.span(number)
        mu, logvar = vision.encode(episode.frames)
        np.testing.assert_allclose(latents.mu[span], mu, atol=1e-5)
        np.testing.assert_allclose(latents.logvar[span], logvar, atol=1e-5)
        np.testing.assert_array_equal(latents.actions[span], episode.actions)
        np.testing.assert_array_equal(latents.rewards[span], episode.rewards)
        assert latents.terminated[number] == episode.terminated
        assert latents.truncated[number] == episode.truncated
        assert latents.seeds[number] == episode.seed


def test_three_layers_of_other_widths_train_encode_and_decode(
    tmp_path: Path, parameters: VAEParameters
) -> None:
    narrow = parameters.model_copy(update={"channels": (6, 10, 12)})
    made, encoded = pipeline(tmp_path / "narrow", narrow)
    assert made.details["channels"] == [6, 10, 12]
    assert made.details["formulation"] == encoded.details["formulation"] == "textbook"
    check_latents(tmp_path / "narrow")
    vision = Vision.load(tmp_path / "narrow/vae", "carracing")
    assert vision.decode(np.zeros((2, parameters.z_size), np.float32)).shape == (2, 64, 64, 3)


def test_both_cards_say_how_it_was_computed_and_a_wish_is_granted(
    tmp_path: Path, parameters: VAEParameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_MODELS_ACCELERATOR", "cpu")
    losses = {}
    for name, precision in (("textbook", "float32"), ("winograd-float32", "float32")):
        monkeypatch.setenv("WORLD_MODELS_FORMULATION", name)
        for card in (cards := pipeline(tmp_path / name, parameters)):
            found = {key: card.details[key] for key in ("device", "formulation", "precision")}
            assert found == {"device": "cpu", "formulation": name, "precision": precision}
        losses[name] = cards[0].metrics["loss"]
    assert losses["textbook"] == pytest.approx(losses["winograd-float32"], rel=1e-3)
    assert losses["textbook"] != losses["winograd-float32"]  # it was computed in another way


@pytest.mark.parametrize("accelerator", ["cuda", "mps", "tpu"])
def test_a_device_that_is_not_there_stops_both_stages(
    tmp_path: Path, parameters: VAEParameters, monkeypatch: pytest.MonkeyPatch, accelerator: str
) -> None:
    monkeypatch.setattr(devices, "is_available", lambda device: device == "cpu")
    pipeline(tmp_path / "made", parameters.model_copy(update={"steps": 1}))
    monkeypatch.setenv("WORLD_MODELS_ACCELERATOR", accelerator)
    with pytest.raises(UserError, match=f"WORLD_MODELS_ACCELERATOR = '{accelerator}'"):
        pipeline(tmp_path / "again", parameters)
    assert not (tmp_path / "again/vae").exists()
    root = tmp_path / "made"
    inputs = {
        kind: Input(root / kind, open_artifact(root / kind, kind, "carracing"))
        for kind in ("rollouts", "vae")
    }
    with Scratch.open(root, "encode", "carracing", "0" * 12) as scratch:
        settings = EngineSettings(workers=1, scheduler=None, timeout=60.0)
        context = Context("carracing", Tracker(), settings, scratch)
        outputs = Outputs(tmp_path / "latents", tmp_path / "encode.json", tmp_path / "e")
        with pytest.raises(UserError, match=f"WORLD_MODELS_ACCELERATOR = '{accelerator}'"):
            encode.run(EncodeParameters(seed=0, batch_size=16), inputs, outputs, context)
    assert not (tmp_path / "latents").exists()


def test_encoding_does_not_depend_on_threads(
    make_data: Callable[[list[int]], EpisodeReader],
) -> None:
    vision, reader = Vision(VAE(8, PAPER_CHANNELS, seed=1)), make_data([30, 5, 21, 17])
    one, three = (list(encode_episodes(vision, reader, 16, threads)) for threads in (1, 3))
    assert [len(part.mu) for part in one] == [30, 5, 21, 17]
    for a, b in zip(one, three, strict=True):
        np.testing.assert_array_equal(a.mu, b.mu)
        np.testing.assert_array_equal(a.logvar, b.logvar)


def test_statistics_equal_numpy_over_all_frames(
    make_data: Callable[[list[int]], EpisodeReader],
) -> None:
    vision, reader = Vision(VAE(8, PAPER_CHANNELS, seed=1)), make_data([30, 5, 21])
    statistics, parts = LatentStatistics(8), list(encode_episodes(vision, reader, 16, 1))
    for part in parts:
        statistics.add(part)
    mu = np.concatenate([part.mu for part in parts]).astype(float)
    logvar = np.concatenate([part.logvar for part in parts]).astype(float)
    found = statistics.by_dimension()
    np.testing.assert_allclose(found["mu_variance"], mu.var(0), atol=1e-9)
    np.testing.assert_allclose(found["posterior_variance"], np.exp(logvar).mean(0))
    metrics = statistics.metrics()
    np.testing.assert_allclose(metrics["mean_abs_mu"], np.abs(mu).mean())
    assert metrics["active_dimensions"] == int((mu.var(0) > 0.01).sum())
