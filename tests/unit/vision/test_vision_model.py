"""The vision against the network, its files, and what it says of foreign ones."""

from pathlib import Path

import numpy as np
import pytest
import torch

from world_models.errors import InputError
from world_models.storage import artifact, tensors
from world_models.vision.model import WEIGHTS, Vision, state_arrays
from world_models.vision.network import PAPER_CHANNELS, VAE, as_images

FRAMES = np.random.default_rng(0).integers(0, 256, (11, 64, 64, 3), np.uint8)
TOLERANCE = {"float32": (2e-6, 0.51), "bfloat16": (0.02, 4)}
"""Of (mu, logvar), and of the pixels 0–255 before rounding, to the textbook in float32."""


def write(folder: Path, network: VAE, z_size: int, environment: str = "carracing") -> Path:
    made = {"parameters": {}, "metrics": {}, "details": {"z_size": z_size}}
    with artifact.create(folder, kind="vae", environment=environment, stage="vae", **made) as draft:
        tensors.save(draft / WEIGHTS, state_arrays(network))
    return folder


def test_equals_the_network(tmp_path: Path) -> None:
    network = VAE(32, PAPER_CHANNELS, seed=2)
    vision = Vision.load(write(tmp_path / "vae", network, 32), "carracing")
    mu, logvar = vision.encode(FRAMES)
    with torch.no_grad():
        expected = [part.numpy() for part in network.encode(as_images(torch.from_numpy(FRAMES)))]
        images = network.decode(torch.from_numpy(mu)).permute(0, 2, 3, 1).numpy()
    assert mu.shape == logvar.shape == (11, 32)
    assert mu.dtype == logvar.dtype == np.float32
    np.testing.assert_allclose(mu, expected[0], atol=TOLERANCE[vision.choice.precision][0])
    np.testing.assert_allclose(logvar, expected[1], atol=TOLERANCE[vision.choice.precision][0])
    frames = vision.decode(mu)
    assert frames.dtype == np.uint8
    assert frames.shape == FRAMES.shape
    assert np.abs(frames - 255 * images).max() <= TOLERANCE[vision.choice.precision][1]


def test_payload_makes_an_equal_vision_and_calls_repeat() -> None:
    vision = Vision(VAE(8, PAPER_CHANNELS, seed=2))
    again = Vision.from_arrays(*vision.payload())
    for a, b, c in zip(
        vision.encode(FRAMES), again.encode(FRAMES), vision.encode(FRAMES), strict=True
    ):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)
    z = vision.encode(FRAMES)[0]
    np.testing.assert_array_equal(vision.decode(z), again.decode(z))


@pytest.mark.parametrize("wish", ["textbook", "winograd-float32", "columns-bfloat16"])
def test_a_worker_computes_as_its_driver(wish: str) -> None:
    vision = Vision(VAE(8, PAPER_CHANNELS, seed=2), wish=wish)
    again = Vision.from_arrays(*vision.payload())
    assert again.choice == vision.choice
    assert again.choice.formulation == wish
    for one, other in zip(vision.encode(FRAMES), again.encode(FRAMES), strict=True):
        np.testing.assert_array_equal(one, other)


def test_channels_travel_and_older_cards_mean_the_papers(tmp_path: Path) -> None:
    network = VAE(8, (4, 6, 8), seed=2)
    arrays, details = Vision(network).payload()
    again = Vision.from_arrays(arrays, details)
    with torch.no_grad():
        expected, _ = network.encode(as_images(torch.from_numpy(FRAMES)))
    np.testing.assert_allclose(again.encode(FRAMES)[0], expected.numpy(), atol=1e-6)
    with pytest.raises(InputError, match=r"channels \[32, 64, 128, 256\]: .*stage vae"):
        Vision.from_arrays(arrays, {"z_size": 8})


def test_results_outlive_the_next_call() -> None:
    vision = Vision(VAE(8, PAPER_CHANNELS, seed=2))
    mu, _ = vision.encode(FRAMES[:4])
    kept = mu.copy()
    vision.encode(FRAMES[4:8])
    np.testing.assert_array_equal(mu, kept)


def test_another_environment_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "vae", VAE(32, PAPER_CHANNELS), 32, "takecover")
    with pytest.raises(InputError, match="takecover"):
        Vision.load(folder, "carracing")


def test_another_z_size_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "vae", VAE(16, PAPER_CHANNELS), 32)
    with pytest.raises(InputError, match="z_size 32"):
        Vision.load(folder, "carracing")


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "vae", VAE(8, PAPER_CHANNELS), 8)
    data = bytearray((folder / WEIGHTS).read_bytes())
    data[-5] ^= 1
    (folder / WEIGHTS).write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        Vision.load(folder, "carracing")
