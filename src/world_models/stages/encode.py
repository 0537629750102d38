"""Stage encode: every stored frame as (mu, logvar), with actions, rewards and ends (paper 3.3).

Reads the rollouts and V; writes ``data/<env>/latents``, which M learns from.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import torch

from world_models.devices import DeviceSettings
from world_models.progress import progress
from world_models.stages.command import Context, Input, Outputs, Stage, main
from world_models.storage import artifact, atomic
from world_models.storage.episodes import EpisodeReader
from world_models.storage.latents import LatentsWriter
from world_models.vision.encode_parameters import EncodeParameters
from world_models.vision.encoding import LatentStatistics, encode_episodes, write
from world_models.vision.model import Vision


def run(
    parameters: EncodeParameters, inputs: Mapping[str, Input], outputs: Outputs, context: Context
) -> None:
    """Encode the data set; it takes seconds to minutes, so an interrupted run starts anew."""
    device = DeviceSettings.from_environment().device
    vision = Vision.load(inputs["vae"].path, context.environment, device)
    reader = EpisodeReader(inputs["rollouts"].path)
    statistics = LatentStatistics(vision.z_size)
    metrics: dict[str, Any] = {}
    details = {
        "z_size": vision.z_size,
        "action_size": reader.action_size,
    } | vision.choice.details()
    with artifact.create(
        outputs.artifact,
        kind="latents",
        environment=context.environment,
        stage="encode",
        parameters=parameters.model_dump(mode="json"),
        metrics=metrics,
        details=details,
        upstream=[given.card for given in inputs.values()],
    ) as folder:
        _encode(vision, reader, parameters.batch_size, LatentsWriter(folder), statistics)
        metrics |= statistics.metrics()
    with atomic.atomic_folder(outputs.reports) as reports:
        table = pd.DataFrame(statistics.by_dimension())
        table.to_csv(reports / "dimensions.csv", index_label="dimension")
    outputs.write_metrics(metrics)


def _encode(
    vision: Vision,
    reader: EpisodeReader,
    batch_size: int,
    writer: LatentsWriter,
    statistics: LatentStatistics,
) -> None:
    threads = torch.get_num_threads()
    with progress(reader.frames_total, "encode") as bar, writer:
        for encoded in encode_episodes(vision, reader, batch_size, threads):
            write(encoded, writer)
            statistics.add(encoded)
            bar.advance(len(encoded.episode))


STAGE = Stage(
    name="encode",
    description="Encode every stored frame as (mu, logvar).",
    schema=EncodeParameters,
    inputs=("rollouts", "vae"),
    run=run,
)

if __name__ == "__main__":
    main(STAGE)
