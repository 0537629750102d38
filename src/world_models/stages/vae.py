"""Stage vae: V learns to see, by reconstruction and KL alone (paper 3.2, App. A.1).

Reads the rollouts; writes ``models/<env>/vae``, curves, and frames with their reconstructions.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from world_models.devices import DeviceSettings
from world_models.seeding import hold_out, stream
from world_models.stages.command import Context, Input, Outputs, Stage, main
from world_models.storage import artifact, atomic, tensors
from world_models.storage.episodes import EpisodeReader
from world_models.vision.data import Batch, FrameStream, as_batch
from world_models.vision.model import WEIGHTS, Frames, Vision, load_arrays, state_arrays
from world_models.vision.network import VAE
from world_models.vision.parameters import VAEParameters

if TYPE_CHECKING:
    from world_models.training.module import Row

SHOWN = 32
"""Frames of each kind that are stored to be looked at."""


def run(
    parameters: VAEParameters, inputs: Mapping[str, Input], outputs: Outputs, context: Context
) -> None:
    """Train V, from where an interrupted run was, first with the weights of ``start`` if any."""
    # It loads Lightning, which takes seconds: by now the inputs are known to be sound.
    from world_models.vision.training import train, training_choice

    reader = EpisodeReader(inputs["rollouts"].path)
    parts = hold_out(reader.index["seed"].to_numpy(np.int64), parameters.validation_fraction)
    frames = FrameStream(reader, parts.training.tolist(), parameters.seed)
    held_out = _held_out(parameters, reader, parts.held_out.tolist())
    devices, folder = DeviceSettings.from_environment(), context.scratch.folder
    log = context.tracker.log_metrics
    network = VAE(parameters.z_size, parameters.channels, parameters.seed).channels_last()
    if "start" in inputs:  # with the weights of another V, which must have these shapes
        start = inputs["start"]
        load_arrays(tensors.load(artifact.listed(start.path, start.card, WEIGHTS)), network)
    history = train(network, parameters, frames, held_out, folder, devices, log)
    metrics: dict[str, Any] = {
        name: history[-1][f"validation_{name}"] for name in ("loss", "reconstruction", "kl")
    }
    metrics |= {"frames": frames.frames, "steps": parameters.steps}
    choice = training_choice(parameters, devices)
    details = {"z_size": parameters.z_size, "channels": list(parameters.channels)}
    details |= choice.details()
    with artifact.create(
        outputs.artifact,
        kind="vae",
        environment=context.environment,
        stage="vae",
        parameters=parameters.model_dump(mode="json"),
        metrics=metrics,
        details=details,
        upstream=[given.card for given in inputs.values()],
    ) as draft:
        tensors.save(draft / WEIGHTS, state_arrays(network))
    vision, shown = Vision(network), held_out.frames.numpy()
    write_reports(history, vision, shown, parameters.seed, outputs.reports)
    outputs.write_metrics(metrics)


def _held_out(parameters: VAEParameters, reader: EpisodeReader, episodes: list[int]) -> Batch:
    frames = reader.spread(episodes, parameters.validation_frames)
    generator = stream(parameters.seed, "vae held-out noise")
    return as_batch(frames, generator.standard_normal((len(frames), parameters.z_size), np.float32))


def write_reports(
    history: "list[Row]", vision: Vision, held_out: Frames, seed: int, reports: Path
) -> None:
    """Write curves, and frames with their reconstructions beside frames drawn from N(0, 1)."""
    table = pd.DataFrame(history)
    shown = held_out[np.linspace(0, len(held_out) - 1, min(SHOWN, len(held_out))).astype(int)]
    mu, _ = vision.encode(np.ascontiguousarray(shown))
    z = stream(seed, "vae samples").standard_normal((SHOWN, vision.z_size), np.float32)
    frames = {
        "originals": shown,
        "reconstructions": vision.decode(mu),
        "samples": vision.decode(z),
    }
    with atomic.atomic_folder(reports) as folder:
        table.to_csv(folder / "curves.csv", index=False)
        tensors.save(folder / "frames.safetensors", frames)


STAGE = Stage(
    name="vae",
    description="Train V to see: a frame becomes z.",
    schema=VAEParameters,
    inputs=("rollouts",),
    optional={"start": "vae"},
    run=run,
)

if __name__ == "__main__":
    main(STAGE)
