"""Whether the fast V and M learn as the textbook's do: final losses after equal steps, by seed.

    python -m benchmarks.study_losses --rollouts data/carracing/rollouts \
        --latents data/carracing/latents --seeds 3

A seed fixes the initial weights, the order of the data and the noise; what differs between the
rows of one seed is the formulation alone. The losses are of held-out episodes, which are the same
for all.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from world_models.fast.allocator import keep_memory
from world_models.fast.lanes import Lanes, open_lanes
from world_models.fast.vision import columns, winograd
from world_models.fast.vision.training import FastVAE
from world_models.formulations import choose
from world_models.memory.data import Steps, Windows
from world_models.memory.network import MDNRNN
from world_models.memory.objective import objective
from world_models.memory.sizes import Sizes
from world_models.seeding import hold_out
from world_models.storage.episodes import EpisodeReader
from world_models.storage.latents import LatentsReader
from world_models.vision.data import FrameStream
from world_models.vision.loss import vae_loss
from world_models.vision.network import PAPER_CHANNELS, VAE, as_images

RATE, WARMUP = 1e-3, 50
HELD_OUT = 512
Model = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


class Found(NamedTuple):
    """A final loss."""

    network: str
    formulation: str
    seed: int
    loss: float


def descend(parameters: Iterator[nn.Parameter], losses_: Iterator[Tensor], steps: int) -> None:
    """Adam with warm-up and a cosine, a step for each loss."""
    optimizer = torch.optim.Adam(list(parameters), RATE)
    for step, loss in enumerate(losses_):
        for group in optimizer.param_groups:
            fall = 0.5 * (1 + math.cos(math.pi * step / steps))
            group["lr"] = RATE * min((step + 1) / WARMUP, fall)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def formulations(lanes: Lanes) -> dict[str, Callable[[VAE], Model]]:
    """What makes a model of a network: frames uint8 and noise to (reconstruction, mu, logvar)."""
    return {
        "textbook": lambda v: lambda frames, noise: v(as_images(frames), noise),
        "winograd-float32": lambda v: FastVAE(v.channels_last().weights, winograd.LAYERS, lanes),
        "columns-bfloat16": lambda v: FastVAE(v.channels_last().weights, columns.LAYERS, lanes),
    }


def vision_losses(model: Model, stream: FrameStream, steps: int, batch: int) -> Iterator[Tensor]:
    """V's loss at each step."""
    for step, frames in enumerate(stream.batches(batch, 0, steps)):
        images = torch.from_numpy(frames.copy())
        found = model(images, torch.from_numpy(stream.noise(step, batch, 32)))
        yield vae_loss(as_images(images), *found, 0.5).total


def vision(rollouts: Path, seed: int, steps: int, batch: int) -> Iterator[Found]:
    """V's squared error and clamped KL, judged by the textbook's own forward pass."""
    reader = EpisodeReader(rollouts)
    parts = hold_out(reader.index["seed"].to_numpy(), 0.05)
    held_out = as_images(torch.from_numpy(reader.spread(parts.held_out.tolist(), HELD_OUT)))
    noise = torch.randn(HELD_OUT, 32, generator=torch.Generator().manual_seed(0))
    with open_lanes(torch.get_num_threads()) as lanes:
        for name, make in formulations(lanes).items():
            network, stream = (
                VAE(32, PAPER_CHANNELS, seed),
                FrameStream(reader, parts.training.tolist(), seed),
            )
            losses_ = vision_losses(make(network), stream, steps, batch)
            descend(network.parameters(), losses_, steps)
            with torch.no_grad():
                final = vae_loss(held_out, *network(held_out, noise), 0.5).total
            yield Found("V", name, seed, float(final))


def memory(latents: Path, seed: int, steps: int, batch: int) -> Iterator[Found]:
    """M's mean NLL of a dimension."""
    data = LatentsReader(latents).load()
    chosen, held_out = hold_out(data.seeds, 0.05)
    cut = {"length": 100, "batch_size": batch, "seed": seed}
    windows = Windows(Steps.of(data, chosen), **cut)
    fixed = Windows(Steps.of(data, held_out), **cut).spread()
    sizes = Sizes(data.z_size, data.action_size, 256, 5, False, False, False)
    for name in ("textbook", "compiled-float32", "compiled-bfloat16"):
        torch.manual_seed(seed)
        network = MDNRNN(sizes)
        with objective(network, choose("M", sizes._asdict(), wish=name), 1.0) as losses_of:
            nlls = (losses_of(windows.batch(i))[0].nll for i in range(steps))
            descend(network.parameters(), nlls, steps)
        exact = choose("M", sizes._asdict(), wish="textbook")
        with torch.no_grad(), objective(network, exact, 1.0) as losses_of:
            yield Found("M", name, seed, float(losses_of(fixed)[0].nll))


def table(found: list[Found]) -> str:
    """A row for each formulation: each seed's loss, mean, SD, and the distance to the textbook."""
    frame = pd.DataFrame(found)
    lines = []
    for network, part in frame.groupby("network", sort=False):
        wide = part.pivot_table(index="formulation", columns="seed", values="loss", sort=False)
        away = wide.sub(wide.loc["textbook"], axis=1)
        seeds = [f"seed {s}" for s in wide.columns]
        header = [f"{network}, formulation", *seeds, "mean", "SD of seeds", "− textbook ± SE"]
        lines += ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
        for name, row in wide.iterrows():
            se = away.loc[name].std(ddof=1) / np.sqrt(len(row))
            difference = f"{away.loc[name].mean():+.4f} ± {se:.4f}"
            values = [f"{v:.4f}" for v in (*row, row.mean(), row.std(ddof=1))]
            lines.append("| " + " | ".join([str(name), *values, difference]) + " |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Train everything, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rollouts", type=Path, required=True)
    parser.add_argument("--latents", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--vision-steps", type=int, default=600, help="of 32 frames")
    parser.add_argument("--memory-steps", type=int, default=300, help="of 32 × 100 steps")
    a = parser.parse_args()
    keep_memory()
    found: list[Found] = []
    for seed in range(1, a.seeds + 1):
        for one in vision(a.rollouts, seed, a.vision_steps, 32):
            print(one, flush=True)
            found.append(one)
        for one in memory(a.latents, seed, a.memory_steps, 32):
            print(one, flush=True)
            found.append(one)
    print("\n" + table(found))


if __name__ == "__main__":
    main()
