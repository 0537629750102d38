"""Stage joint: V trains on while M's losses reach it too (an addition; the paper trains V alone).

Reads the rollouts, their latents, V and M; writes another V, and curves and frames as stage vae. M
is then trained anew on the latents of this V, as it is on those of any other.
"""

from collections.abc import Mapping
from typing import Any

from world_models.devices import DeviceSettings
from world_models.formulations import choose
from world_models.joint.parameters import JointParameters
from world_models.memory.data import until_given_up
from world_models.memory.model import WEIGHTS as M_WEIGHTS
from world_models.memory.model import Memory, load_weights
from world_models.memory.network import MDNRNN
from world_models.seeding import hold_out
from world_models.stages.command import Context, Input, Outputs, Stage, main
from world_models.stages.vae import write_reports
from world_models.storage import artifact, tensors
from world_models.storage.episodes import EpisodeReader
from world_models.storage.latents import LatentsReader
from world_models.vision.data import share
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
    from world_models.joint.training import JointTraining, Pair
    from world_models.training.fit import fit

    devices = DeviceSettings.from_environment()
    share(parameters.batch_size, 0, devices.devices * devices.num_nodes)
    memory = Memory.load(inputs["mdnrnn"].path, context.environment)
    network, mdnrnn = _networks(inputs, memory, context.environment)
    choice = choose("V", network.shapes, devices.device)
    reader, given = EpisodeReader(inputs["rollouts"].path), inputs["latents"]
    latents = LatentsReader(given.path, given.card.files).load()
    parts = hold_out(latents.seeds, parameters.validation_fraction)
    kept = until_given_up(latents, memory.patience)
    shape = {"length": parameters.sequence_length, "batch_size": parameters.batch_size}
    training, held_out = (
        Sequences(reader, kept, episodes, **shape, seed=parameters.seed) for episodes in parts
    )
    module = JointTraining(Pair(network, mdnrnn), parameters, choice, training, held_out)
    history = fit(module, context.scratch.folder, devices, context.tracker.log_metrics)
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
        details=network.shapes | choice.details(),
        upstream=[one.card for one in inputs.values()],
    ) as draft:
        tensors.save(draft / WEIGHTS, state_arrays(network))
    shown = reader.spread(parts.held_out.tolist(), SHOWN)
    write_reports(history, Vision(network), shown, parameters.seed, outputs.reports)
    outputs.write_metrics(metrics)


def _networks(inputs: Mapping[str, Input], memory: Memory, environment: str) -> tuple[VAE, MDNRNN]:
    """V and M with their weights, to be trained on; ``memory`` is that M for inference."""
    vision = Vision.load(inputs["vae"].path, environment)
    memory.check(vision.z_size)
    arrays, shapes = vision.payload()
    network, mdnrnn = VAE(shapes["z_size"], shapes["channels"]), MDNRNN(memory.sizes)
    load_arrays(arrays, network)
    given = inputs["mdnrnn"]
    load_weights(tensors.load(artifact.listed(given.path, given.card, M_WEIGHTS)), mdnrnn)
    return network.channels_last(), mdnrnn


STAGE = Stage(
    name="joint",
    description="Train V on, with M's losses reaching it too.",
    schema=JointParameters,
    inputs=("rollouts", "latents", "vae", "mdnrnn"),
    run=run,
)

if __name__ == "__main__":
    main(STAGE)
