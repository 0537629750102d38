"""V against plain PyTorch: the textbook network, fp32, channels-first, default threads.

Run by itself: ``python benchmarks/vision.py``; takes under a minute. Both sides of a ratio are
measured in turns, and the median of the turns' ratios counts, so that a busy machine slows both.
"""

import json
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch

from world_models.devices import cpu_multiplies_bfloat16
from world_models.formulations import choose
from world_models.vision.formulation import open_training
from world_models.vision.loss import vae_loss
from world_models.vision.model import Vision
from world_models.vision.network import PAPER_CHANNELS, VAE, as_images
from world_models.vision.training import in_memory_order

ENCODE_BATCH, TRAIN_BATCH = 64, 100
SECONDS = 20.0
"""For each comparison."""


def measure() -> list[dict[str, Any]]:
    """Measure encoding and training; see ``make bench`` for the fields."""
    return [encoding(), training()]


def encoding() -> dict[str, Any]:
    """Frames/s on all cores: ours on a batch a thread, as the stage encode does, and plain."""
    threads = torch.get_num_threads()
    frames, vision = picture_like(ENCODE_BATCH), Vision(VAE(32, PAPER_CHANNELS))
    with (
        elsewhere(plain_encoder) as theirs,
        ThreadPoolExecutor(threads, "encode", torch.set_num_threads, (1,)) as pool,
    ):

        def ours() -> None:
            list(pool.map(vision.encode, [frames] * threads))

        return compare("V encodes", ours, theirs, ENCODE_BATCH * threads)


def plain_encoder() -> Callable[[], None]:
    """Encodes as many batches as there are threads, one after another."""
    frames, plain = picture_like(ENCODE_BATCH), VAE(32, PAPER_CHANNELS)

    def encode() -> None:
        with torch.no_grad():
            for _ in range(torch.get_num_threads()):
                plain.encode(as_images(torch.from_numpy(frames)).contiguous())

    return encode


def training() -> dict[str, Any]:
    """Frames/s of gradient steps (Adam included) against plain, on all threads."""
    frames, noise = training_batch()
    network = VAE(32, PAPER_CHANNELS)
    choice = choose("V", network.shapes)
    with open_training(network, choice) as model, elsewhere(plain_trainer) as theirs:
        ours = trainer(network, lambda: model(frames, noise), frames, fused=True)
        return compare("V trains", ours, theirs, TRAIN_BATCH)


def training_batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Frames and noise."""
    return torch.from_numpy(picture_like(TRAIN_BATCH)), torch.randn(TRAIN_BATCH, 32)


@contextmanager
def elsewhere(make: Callable[[], Callable[[], None]]) -> Iterator[Callable[[], None]]:
    """What ``make`` makes, in a process of its own: threads and memory as PyTorch leaves them."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=obey, args=(there, make), daemon=True)
    process.start()
    there.close()  # so that its death is told

    def call() -> None:
        here.send(None)
        here.recv()

    yield call
    process.kill()


def obey(orders: Connection, make: Callable[[], Callable[[], None]]) -> None:
    """A call for each order."""
    function = make()
    while True:
        orders.recv()
        orders.send(function())


def plain_trainer() -> Callable[[], None]:
    """A plain gradient step."""
    frames, noise = training_batch()
    plain = VAE(32, PAPER_CHANNELS)
    return trainer(plain, lambda: plain(as_images(frames).contiguous(), noise), frames, fused=False)


def trainer(
    network: VAE,
    forward: Callable[[], tuple[torch.Tensor, ...]],
    frames: torch.Tensor,
    *,
    fused: bool,
) -> Callable[[], None]:
    """A gradient step; fused: Adam as :class:`world_models.vision.training.Training` runs it."""
    weights = list(network.parameters())
    views = [in_memory_order(weight) for weight in weights] if fused else weights
    optimizer = torch.optim.Adam(views, lr=1e-4, fused=fused)

    def step() -> None:
        network.zero_grad()
        reconstruction, mu, logvar = forward()
        vae_loss(as_images(frames), reconstruction, mu, logvar, 0.5).total.backward()
        if fused:
            for view, weight in zip(views, weights, strict=True):
                assert weight.grad is not None
                view.grad = in_memory_order(weight.grad)
        optimizer.step()

    return step


def picture_like(n: int) -> np.ndarray:
    """Frames uint8 (n, 64, 64, 3) of coarse squares."""
    coarse = np.random.default_rng(0).integers(0, 256, (n, 8, 8, 3), np.uint8)
    return np.ascontiguousarray(coarse.repeat(8, axis=1).repeat(8, axis=2))


def compare(
    name: str, ours: Callable[[], object], peer: Callable[[], object], frames: int
) -> dict[str, Any]:
    """Time both in turns for ``SECONDS``; the median ratio and each side's median rate."""
    for side in (ours, peer):
        side()
    times: list[tuple[float, float]] = []
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(times) < 5:
        times.append((seconds(ours), seconds(peer)))
    ratio = statistics.median(theirs / mine for mine, theirs in times)
    target = 2.5 if cpu_multiplies_bfloat16() else 1.0
    return {
        "name": f"{name} ({choose('V', VAE(32, PAPER_CHANNELS).shapes).formulation})",
        "ours": round(frames / statistics.median(mine for mine, _ in times), 1),
        "peer": round(frames / statistics.median(theirs for _, theirs in times), 1),
        "unit": "frames/s",
        "ratio": round(ratio, 2),
        "target": target,
        "met": ratio >= target,
    }


def seconds(function: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
