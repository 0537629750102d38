"""Stage joint: V trains on while M's losses reach it too (an addition; the paper trains V alone).

Reads the rollouts, their latents, V and M; writes another V, and curves and frames as stage vae. M
is then trained anew on the latents of this V, as it is on those of any other.
"""

from collections.abc import Mapping
from typing import Any

from world_models.devices import DeviceSettings
from world_models.joint.parameters import JointParameters
from world_models.memory.data import until_given_up
from world_models.memory.model import Memory, load_weights
from world_models.seeding import hold_out
from world_models.stages.command import Context, Input, Outputs, Stage, main
from world_models.stages.vae import write_reports
from world_models.storage import artifact, tensors
from world_models.storage.episodes import EpisodeReader
from world_models.storage.latents import LatentsReader
from world_models.vision.model import WEIGHTS, Vision, load_arrays, state_arrays
from world_models.vision.network import VAE

SHOWN = 512
"""Held-out frames that the reports' are chosen from."""


def run(
    parameters: JointParameters, inputs: Mapping[str, Input], outputs: Outputs, context: Context
) -> None:
    """Train V with M beside it, from where an interrupted run was."""
    # It loads Lightning, which takes seconds: by now the inputs are known to be sound.
    from world_models.joint.data import Sequences
    from world_models.joint.training import Pair, train, training_choice
    from world_models.memory.training import build

    vision = Vision.load(inputs["vae"].path, context.environment)
    memory = Memory.load(inputs["mdnrnn"].path, context.environment)
    memory.check(vision.z_size)
    arrays, shapes = vision.payload()
    network = VAE(shapes["z_size"], shapes["channels"]).channels_last()
    load_arrays(arrays, network)
    mdnrnn, (arrays, _) = build(memory.sizes, parameters.seed), memory.payload()
    load_weights({k: v for k, v in arrays.items() if not k.startswith("initial.")}, mdnrnn)

    reader, given = EpisodeReader(inputs["rollouts"].path), inputs["latents"]
    latents = LatentsReader(given.path, given.card.files).load()
    parts = hold_out(latents.seeds, parameters.validation_fraction)
    kept = until_given_up(latents, memory.patience)
    shape = {"length": parameters.sequence_length, "batch_size": parameters.batch_size}
    training, held_out = (
        Sequences(reader, kept, episodes, **shape, seed=parameters.seed) for episodes in parts
    )
    devices, folder = DeviceSettings.from_environment(), context.scratch.folder
    log = context.tracker.log_metrics
    history = train(Pair(network, mdnrnn), parameters, training, held_out, folder, devices, log)
    names = ("loss", "reconstruction", "kl", "nll", "restart", "reward")
    metrics: dict[str, Any] = {name: history[-1][f"validation_{name}"] for name in names}
    metrics |= {"frames": int(kept.lengths[parts.training].sum()), "steps": parameters.steps}
    with artifact.create(
        outputs.artifact,
        kind="vae",
        environment=context.environment,
        stage="joint",
        parameters=parameters.model_dump(mode="json"),
        metrics=metrics,
        details=network.shapes | training_choice(network, devices).details(),
        upstream=[one.card for one in inputs.values()],
    ) as draft:
        tensors.save(draft / WEIGHTS, state_arrays(network))
    shown = reader.spread(parts.held_out.tolist(), SHOWN)
    write_reports(history, Vision(network), shown, parameters.seed, outputs.reports)
    outputs.write_metrics(metrics)


STAGE = Stage(
    name="joint",
    description="Train V on, with M's losses reaching it too.",
    schema=JointParameters,
    inputs=("rollouts", "latents", "vae", "mdnrnn"),
    run=run,
)

if __name__ == "__main__":
    main(STAGE)
