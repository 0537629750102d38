"""Stage mdnrnn: M learns to predict the next z from z, the action and its memory (paper 3.3).

Reads latents, never a pixel; writes ``models/<env>/mdnrnn`` with the first frames that dreams start
from, and a report that says whether the dream is usable.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from world_models.devices import DeviceSettings
from world_models.memory import baselines, held_out
from world_models.memory.data import Steps, until_given_up
from world_models.memory.model import INITIAL, WEIGHTS, Initial, Memory, load_weights, state_arrays
from world_models.memory.parameters import MDNRNNParameters
from world_models.memory.rollout import dream_on
from world_models.memory.sizes import Sizes
from world_models.seeding import hold_out
from world_models.stages.command import Context, Input, Outputs, Stage, main
from world_models.storage import artifact, atomic, tensors
from world_models.storage.latents import Latents, LatentsReader
from world_models.worlds import dream_survival

WARM, SHOWN = 50, 300
"""Steps that M sees, and steps shown, of the real episode beside the dreamed ones."""


@dataclass(frozen=True, eq=False)
class Data:
    """What M is trained on and what is held out."""

    latents: Latents
    training: Steps
    held_out: Steps
    initial: Initial


def run(
    parameters: MDNRNNParameters, inputs: Mapping[str, Input], outputs: Outputs, context: Context
) -> None:
    """Train M, from where an interrupted run was, and look at what it learned."""
    # It loads Lightning, which takes seconds: by now the inputs are known to be sound.
    from world_models.memory.training import build, train, training_choice

    data = _read(inputs["latents"], parameters)
    sizes = _sizes(parameters, data.latents)
    devices = DeviceSettings.from_environment()
    folder, log = context.scratch.folder, context.tracker.log_metrics
    network = build(sizes, parameters.seed)
    if "start" in inputs:  # with the weights of another M, which must have these sizes
        start = inputs["start"]
        load_weights(tensors.load(artifact.listed(start.path, start.card, WEIGHTS)), network)
    history = train(network, parameters, data.training, data.held_out, folder, devices, log)
    memory = Memory(network, data.initial, end_weight=parameters.restart_weight)
    found = held_out.evaluate(memory, data.held_out, parameters.seed)
    without = baselines.nll(data.training, data.held_out, parameters.seed)
    metrics = held_out.metrics(found, parameters.restart_weight)
    metrics |= {f"nll_{name}": float(nll.mean()) for name, nll in without.items()}
    survival = _survival(memory, data, parameters.seed)
    if survival is not None:
        metrics["life_observed"] = float(survival["observed"].sum())
        metrics["life_dreamed"] = float(survival["dreamed"].sum())
    details = sizes._asdict() | training_choice(sizes, devices).details()
    with artifact.create(
        outputs.artifact,
        kind="mdnrnn",
        environment=context.environment,
        stage="mdnrnn",
        parameters=parameters.model_dump(mode="json"),
        metrics=metrics,
        details=details,
        upstream=[given.card for given in inputs.values()],
    ) as folder:
        tensors.save(folder / WEIGHTS, state_arrays(network))
        initial = {"mu": data.initial.mu, "logvar": data.initial.logvar}
        tensors.save(folder / INITIAL, initial)
    with atomic.atomic_folder(outputs.reports) as folder:
        _report(folder, pd.DataFrame(history), found, without)
        _report_ends(folder, found, survival, parameters.restart_weight)
        _report_rollout(folder, memory, data, parameters.seed)
    outputs.write_metrics(metrics)


def _read(given: Input, parameters: MDNRNNParameters) -> Data:
    stored = LatentsReader(given.path, given.card.files).load()
    latents = until_given_up(stored, parameters.patience)
    train_on, kept = hold_out(latents.seeds, parameters.validation_fraction)
    first = latents.offsets[:-1][train_on]
    initial = Initial(np.asarray(latents.mu[first]), np.asarray(latents.logvar[first]))
    return Data(latents, Steps.of(latents, train_on), Steps.of(latents, kept), initial)


def _sizes(parameters: MDNRNNParameters, latents: Latents) -> Sizes:
    return Sizes(
        z_size=latents.z_size,
        action_size=latents.action_size,
        hidden_size=parameters.hidden_size,
        mixtures=parameters.mixtures,
        restart=parameters.restart,
        reward_head=parameters.reward_head,
        end_head=parameters.end_head,
        cell=parameters.cell,
    )


def _survival(memory: Memory, data: Data, seed: int) -> pd.DataFrame | None:
    if "end" not in memory.predicts:
        return None
    latents = data.latents
    return dream_survival.compare(memory, data.held_out, latents.lengths, latents.terminated, seed)


def _report(
    folder: Path,
    history: pd.DataFrame,
    found: held_out.HeldOut,
    without: dict[str, NDArray[np.float64]],
) -> None:
    history.to_csv(folder / "curves.csv", index=False)
    columns = {"nll": found.nll, "nll_marginal": found.marginal}
    columns |= {f"nll_{name}": nll.astype(np.float32) for name, nll in without.items()}
    pd.DataFrame(columns).to_csv(folder / "nll_by_dimension.csv", index_label="dimension")


def _report_ends(
    folder: Path, found: held_out.HeldOut, survival: pd.DataFrame | None, restart_weight: float
) -> None:
    if survival is None:
        return
    risk = held_out.risk(found, restart_weight)
    risk.to_csv(folder / "risk.csv", index=False)
    survival.to_csv(folder / "survival.csv", index=False)


def _report_rollout(folder: Path, memory: Memory, data: Data, seed: int) -> None:
    """A dreamed rollout beside a real one: the longest held-out episode's beginning."""
    steps = data.held_out
    begin = np.append(np.flatnonzero(steps.starts), len(steps))
    longest = int(np.argmax(np.diff(begin)))
    length = min(int(begin[longest + 1] - begin[longest]), SHOWN)
    episode = slice(int(begin[longest]), int(begin[longest]) + length)
    z, actions = steps.mu[episode], steps.actions[episode]
    warm = max(min(WARM, length // 2), 1)
    dreamed = dream_on(memory, z, actions, warm=warm, samples=3, tau=1.0, seed=seed)
    tensors.save(folder / "rollout.safetensors", {"z": z, "dreamed": dreamed})


STAGE = Stage(
    name="mdnrnn",
    description="Train M to predict the next z.",
    schema=MDNRNNParameters,
    inputs=("latents",),
    optional={"start": "mdnrnn"},
    run=run,
)

if __name__ == "__main__":
    main(STAGE)
