"""V against plain PyTorch: the textbook network, fp32, in the memory format that is faster here.

Run by itself: ``python -m benchmarks.vision``; takes about a minute. All take turns, and the median
of the turns' ratios counts.
"""

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.turns import Call, Times, ratio, take_turns
from world_models.formulations import VARIABLE, choose
from world_models.vision.formulation import open_training
from world_models.vision.loss import vae_loss
from world_models.vision.model import Vision
from world_models.vision.network import PAPER_CHANNELS, VAE, as_images
from world_models.vision.training import in_memory_order

ENCODE_BATCH, TRAIN_BATCH = 64, 100
SECONDS = 30.0
"""For each comparison."""
PLAIN = {
    "plain, channels first": torch.contiguous_format,
    "plain, channels last": torch.channels_last,
}
_open = ExitStack()  # threads live as long as the contender's process


def measure() -> list[dict[str, Any]]:
    """Measure encoding and training; see ``make bench`` for the fields."""
    choice = choose("V", VAE(32, PAPER_CHANNELS).shapes)
    names, threads = (choice.formulation, *PLAIN), torch.get_num_threads()
    targets = (2.5, 2.5) if choice.precision == "bfloat16" else (1.3, 1.5)
    encoding = {name: partial(encoder, name, ENCODE_BATCH, threads) for name in names}
    training = {name: partial(trainer, name, TRAIN_BATCH) for name in names}
    frames = ENCODE_BATCH * threads
    return [
        line("V encodes", take_turns(encoding, SECONDS), choice.formulation, frames, targets[0]),
        line(
            "V trains", take_turns(training, SECONDS), choice.formulation, TRAIN_BATCH, targets[1]
        ),
    ]


def line(
    name: str, times: dict[str, Times], ours: str, frames: int, target: float
) -> dict[str, Any]:
    """One line of the table."""
    peer = best_plain(times)
    found = float(ratio(times[ours], times[peer])[0])
    return {
        "name": f"{name} ({ours}) beside {peer}",
        "ours": round(frames / float(np.median(times[ours][:, 0])), 1),
        "peer": round(frames / float(np.median(times[peer][:, 0])), 1),
        "unit": "frames/s",
        "ratio": round(found, 2),
        "target": target,
        "met": found >= target,
    }


def best_plain(times: dict[str, Times]) -> str:
    """The plain contender with the lower median of wall time."""
    return min(
        (name for name in times if name.startswith("plain")),
        key=lambda name: float(np.median(times[name][:, 0])),
    )


def encoder(name: str, batch: int, threads: int) -> Call:
    """Encode a batch for each thread: ours each on its own thread, plain one after another."""
    torch.set_num_threads(threads)
    frames, network = picture_like(batch), VAE(32, PAPER_CHANNELS)
    if name in PLAIN:
        network.to(memory_format=PLAIN[name])  # type: ignore[call-overload]

        def plain() -> None:
            with torch.inference_mode():
                for _ in range(threads):
                    x = as_images(torch.from_numpy(frames))
                    network.encode(x.contiguous(memory_format=PLAIN[name]))

        return plain
    os.environ[VARIABLE] = name
    vision = Vision(network)
    if threads == 1:
        return lambda: vision.encode(frames)
    initialise: Callable[[int], None] = torch.set_num_threads
    pool = _open.enter_context(ThreadPoolExecutor(threads, "encode", initialise, (1,)))
    return lambda: list(pool.map(vision.encode, [frames] * threads))


def trainer(name: str, batch: int) -> Call:
    """A gradient step, Adam included, on all threads; ours as the stage takes it."""
    frames, noise = torch.from_numpy(picture_like(batch)), torch.randn(batch, 32)
    network = VAE(32, PAPER_CHANNELS)
    if name in PLAIN:
        network.to(memory_format=PLAIN[name])  # type: ignore[call-overload]
        return gradient_step(
            network,
            lambda: network(as_images(frames).contiguous(memory_format=PLAIN[name]), noise),
            frames,
            fused=False,
        )
    choice = choose("V", network.shapes, wish=name)
    model = _open.enter_context(open_training(network, choice))
    return gradient_step(network, lambda: model(frames, noise), frames, fused=True)


def gradient_step(
    network: VAE,
    forward: Callable[[], tuple[torch.Tensor, ...]],
    frames: torch.Tensor,
    *,
    fused: bool,
) -> Call:
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


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
